//! Which segments there are on this machine, as far as this user may see.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where named segments live unless a path is given.
pub(crate) const DIRECTORY: &str = "/dev/shm";
/// Marks them there.
pub(crate) const PREFIX: &str = "shmtls.";
/// What `/proc/PID/fd` shows for a segment without a name.
const MEMFD: &str = "/memfd:shmtls (deleted)";

/// A descriptor of a process that looks like a segment.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) pid: u32,
    pub(crate) fd: u32,
    /// What it leads to, without a name as well as with one.
    pub(crate) link: PathBuf,
    /// Device and inode: the same segment has the same in every process.
    pub(crate) identity: (u64, u64),
}

impl Descriptor {
    /// Opens the same file as the process has.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", self.pid, self.fd).into()
    }

    /// Whether it has no name in any directory.
    pub(crate) fn is_memfd(&self) -> bool {
        self.link == Path::new(MEMFD)
    }
}

/// Names of the segments in /dev/shm, in their order.
pub(crate) fn names() -> Vec<String> {
    let entries = fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter_map(|name| Some(name.strip_prefix(PREFIX)?.to_owned())).collect();
    names.sort();
    names
}

/// The segments without a name, each in the first process that has it.
pub(crate) fn memfds() -> Vec<Descriptor> {
    let mut found = BTreeMap::new();
    for pid in processes() {
        for descriptor in descriptors(pid).unwrap_or_default() {
            if descriptor.is_memfd() {
                found.entry(descriptor.identity).or_insert(descriptor);
            }
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|descriptor| (descriptor.pid, descriptor.fd));
    found
}

/// The segments that a process has open.
pub(crate) fn descriptors(pid: u32) -> io::Result<Vec<Descriptor>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(link) = fs::read_link(entry.path()) else { continue };
        // Follows the link: a stat of the file itself, which need not have a name.
        let Ok(file) = fs::metadata(entry.path()) else { continue };
        if is_segment(&link) && file.is_file() {
            found.push(Descriptor { pid, fd, link, identity: (file.dev(), file.ino()) });
        }
    }
    found.sort_by_key(|descriptor| descriptor.fd);
    Ok(found)
}

fn is_segment(link: &Path) -> bool {
    let name = link.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    link == Path::new(MEMFD) || name.starts_with(PREFIX)
}

/// All processes but this one, which is gone when somebody reads of it.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.filter(|pid| *pid != std::process::id()).collect();
    pids.sort_unstable();
    pids
}
