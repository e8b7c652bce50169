//! A file that readers see whole: node_exporter reads its own whenever it is asked.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

use crate::failure::Failure;

/// Everybody may read it, whatever the umask: it is another user who does.
const MODE: u32 = 0o644;

/// Puts a new one in its place, or leaves it as it is.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    // A link stays, and what it leads to is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.into());
    if fs::metadata(&target).is_ok_and(|there| !there.is_file()) {
        return Err(Failure::cannot_open(format!("{} is not a plain file", path.display()))
            .tip("without --output the metrics go to stdout"));
    }
    let new = beside(&target);
    let replaced = write(&new, text).and_then(|()| fs::rename(&new, &target));
    replaced.map_err(|error| {
        let _ = fs::remove_file(&new);
        Failure::cannot_open(format!("cannot write {}: {error}", path.display()))
            .tip("its directory must exist, be writable for you and have room")
    })
}

/// On the same file system, and with a name that node_exporter passes over.
fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{}.tmp", process::id()))
}

fn write(new: &Path, text: &str) -> io::Result<()> {
    // Left by one that was killed, in a container where all have the same process ID.
    let _ = fs::remove_file(new);
    // Never through a link that somebody else has put there.
    let mut file = OpenOptions::new().write(true).create_new(true).open(new)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())
}
