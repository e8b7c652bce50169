//! Which segments there are on this machine, as far as this user may see.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, statfs};

/// Where named segments live unless a path is given.
pub(crate) const DIRECTORY: &str = "/dev/shm";
/// Marks them there.
pub(crate) const PREFIX: &str = "shmtls.";
/// What `/proc/PID/fd` shows for a segment without a name.
const MEMFD: &str = "/memfd:shmtls (deleted)";
/// The first bytes of every segment that is ready (shm-layout.md, 3).
const MAGIC: [u8; 8] = *b"shmtls\r\x1a";
/// `f_type` of a ramfs, which the libc crate does not name (include/uapi/linux/magic.h).
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// Device and inode: the same segment has the same in every process.
type Identity = (u64, u64);

/// A descriptor of a process that leads to a segment.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) pid: u32,
    pub(crate) fd: u32,
    /// What it leads to as the process opened it: not where it may be found by now.
    pub(crate) link: PathBuf,
    pub(crate) identity: Identity,
}

impl Descriptor {
    /// Opens the same file as the process has.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", self.pid, self.fd).into()
    }

    /// Whether the link is a path that leads there, for us too.
    pub(crate) fn is_at_its_link(&self) -> bool {
        fs::metadata(&self.link).is_ok_and(|file| identity(&file) == self.identity)
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

/// The segments that are not in [`names`], each once: in the first process that has it by a path of
/// its own, else in the first that has it.
pub(crate) fn others() -> Vec<Descriptor> {
    let named = identities_of_named();
    let mut found = BTreeMap::<Identity, Descriptor>::new();
    for pid in processes() {
        let mut descriptors = descriptors(pid).unwrap_or_default();
        descriptors.retain(|descriptor| !named.contains(&descriptor.identity));
        for descriptor in descriptors {
            let known = found.get(&descriptor.identity);
            if known.is_none_or(|known| !known.is_at_its_link() && descriptor.is_at_its_link()) {
                found.insert(descriptor.identity, descriptor);
            }
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by_key(|descriptor| (descriptor.pid, descriptor.fd));
    found
}

fn identities_of_named() -> BTreeSet<Identity> {
    let paths = names().into_iter().map(|name| format!("{DIRECTORY}/{PREFIX}{name}"));
    paths.filter_map(|path| Some(identity(&fs::metadata(path).ok()?))).collect()
}

fn identity(file: &fs::Metadata) -> Identity {
    (file.dev(), file.ino())
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
        if is_segment(&entry.path(), &file, &link) {
            found.push(Descriptor { pid, fd, link, identity: identity(&file) });
        }
    }
    found.sort_by_key(|descriptor| descriptor.fd);
    Ok(found)
}

/// Judged by the file: whoever created a named segment has it as `#48432 (deleted)`, since it got
/// its name later, and a segment may lie at any path. The link only counts where the file does not
/// say: a memfd of that name is one before it is ready, and a file need not be ours to read.
fn is_segment(path: &Path, file: &fs::Metadata, link: &Path) -> bool {
    if link == Path::new(MEMFD) {
        return file.is_file();
    }
    let may_be_one = file.is_file() && file.len() >= MAGIC.len() as u64 && is_in_memory(path);
    may_be_one && starts_as_segment(path).unwrap_or_else(|_| has_prefix(link))
}

/// Only there can a segment be, and only there is a file opened that may be anybody's.
fn is_in_memory(path: &Path) -> bool {
    let kinds = [TMPFS_MAGIC.0, HUGETLBFS_MAGIC.0, RAMFS_MAGIC];
    statfs(path).is_ok_and(|found| kinds.contains(&found.filesystem_type().0))
}

fn starts_as_segment(path: &Path) -> io::Result<bool> {
    let mut start = [0; MAGIC.len()];
    File::open(path)?.read_exact_at(&mut start, 0)?;
    Ok(start == MAGIC)
}

fn has_prefix(link: &Path) -> bool {
    link.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(PREFIX))
}

/// All processes but this one, which is gone when somebody reads of it.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut pids: Vec<u32> = pids.filter(|pid| *pid != std::process::id()).collect();
    pids.sort_unstable();
    pids
}
