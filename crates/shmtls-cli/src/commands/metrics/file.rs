//! A file that is whole whenever somebody reads it, for node_exporter's textfile collector.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

/// For whoever collects it.
const MODE: u32 = 0o644;

/// Until interrupted. What fails at first ends it; later it is told, and tried again.
pub(super) fn write_every(
    file: &Path,
    every: Duration,
    scrape: impl Fn() -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    let update = || scrape().and_then(|text| write(file, &text));
    update()?;
    loop {
        thread::sleep(every);
        if let Err(failure) = update() {
            output::note(failure.text());
        }
    }
}

/// In the place of what is there. If that fails, what was there stays.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let beside = beside(file)?;
    let written = create(&beside, text).and_then(|()| fs::rename(&beside, file));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        Failure::cannot_open(format!("cannot write {}: {error}", file.display()))
            .tip("its directory must exist, and you must be allowed to write there")
    })
}

/// In the same directory, under a name that collectors of `*.prom` pass over.
fn beside(file: &Path) -> Result<PathBuf, Failure> {
    let name = file.file_name().ok_or_else(|| {
        Failure::usage(format!("{} is no file name", file.display())).tip("such as shmtls.prom")
    })?;
    Ok(file.with_file_name(format!(".{}.new", name.to_string_lossy())))
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    // One that was left behind, by somebody who was killed.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_or_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("shmtls.prom");
        let left_behind = directory.path().join(".shmtls.prom.new");
        fs::write(&left_behind, "half").expect("a file");
        for text in ["one", "two"] {
            write(&file, text).expect("written");
            assert_eq!(fs::read_to_string(&file).expect("there"), text);
        }
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, MODE);
        assert!(!left_behind.exists());

        // Not even root replaces a directory by a file.
        let full = directory.path().join("full");
        fs::create_dir_all(full.join("inside")).expect("a directory");
        let failure = write(&full, "three").expect_err("a directory");
        assert!(failure.text().contains("cannot write"), "{failure:?}");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 2);
    }
}
