//! A memory cgroup with a small limit: whoever eats in it is killed by the kernel.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Enough for the workers themselves, and little more.
const LIMIT: &str = "16777216";
const PIECE: usize = 64 << 10;
/// Pieces after which there is no limit.
const MOST: usize = 1024;

/// Removed when dropped, after all who were in it have gone.
#[derive(Debug)]
pub(crate) struct SmallMemory(PathBuf);

impl SmallMemory {
    /// `None` where this user may not make one.
    pub(crate) fn new() -> Option<Self> {
        Self::of_version_2().or_else(|_| Self::of_version_1()).ok()
    }

    fn of_version_2() -> io::Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        set(&root.join("cgroup.subtree_control"), "+memory")?;
        let group = Self::made_in(root)?;
        set(&group.0.join("memory.max"), LIMIT)?;
        // There is no such file where there is no swap.
        let _ = set(&group.0.join("memory.swap.max"), "0");
        Ok(group)
    }

    fn of_version_1() -> io::Result<Self> {
        let group = Self::made_in(Path::new("/sys/fs/cgroup/memory"))?;
        set(&group.0.join("memory.limit_in_bytes"), LIMIT)?;
        let _ = set(&group.0.join("memory.memsw.limit_in_bytes"), LIMIT);
        Ok(group)
    }

    fn made_in(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("shmtls-storm-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Puts the process that asks into it.
    pub(crate) fn enter(&self) {
        set(&self.0.join("cgroup.procs"), "0").expect("a cgroup of our own");
    }
}

impl Drop for SmallMemory {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Writes to a file that must be there: without cgroups this is a directory like any other.
fn set(path: &Path, value: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

/// Takes memory until the kernel has had enough of it.
pub(crate) fn eat() {
    let mut eaten = Vec::new();
    for _ in 0..MOST {
        eaten.push(std::hint::black_box(vec![1_u8; PIECE]));
    }
    panic!("{} bytes are more than the limit, and nobody minds", MOST * PIECE);
}
