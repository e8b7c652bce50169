//! Files that live in memory: making them whole, opening them with suspicion.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, OFlag, SealFlag, fcntl, open, posix_fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat};
use nix::sys::statfs::{HUGETLBFS_MAGIC, TMPFS_MAGIC, fstatfs};
use nix::unistd::linkat;

use super::process::file_size_limit;

/// `f_type` of a ramfs, which the libc crate does not name (include/uapi/linux/magic.h).
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// A memfd that may be sealed; its content is never executed.
pub(crate) fn memfd() -> io::Result<File> {
    let name = c"shmtls";
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // Kernels before 6.3 do not know MFD_NOEXEC_SEAL.
    let no_exec = MFdFlags::from_bits_retain(0x8);
    let fd = memfd_create(name, flags | no_exec).or_else(|_| memfd_create(name, flags))?;
    fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
    Ok(fd.into())
}

/// A file without a name in `dir`: nobody can find it until [`publish`].
pub(crate) fn unnamed(dir: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(mode);
    let fd = open(dir, flags, mode)?;
    // The umask may have taken bits away.
    fchmod(&fd, mode)?;
    Ok(fd.into())
}

/// Gives an unnamed file its name, at once; fails if the name is taken.
pub(crate) fn publish(file: &File, path: &Path) -> io::Result<()> {
    let itself = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let cwd = nix::fcntl::AT_FDCWD;
    Ok(linkat(cwd, &itself, cwd, path, AtFlags::AT_SYMLINK_FOLLOW)?)
}

/// Makes a new file so long, all holes.
pub(crate) fn set_len(file: &File, bytes: u64) -> io::Result<()> {
    // The kernel would answer with SIGXFSZ, which ends the process.
    if bytes > file_size_limit() {
        return Err(Errno::EFBIG.into());
    }
    file.set_len(bytes)
}

/// Reserves every page of a range now: a full tmpfs is ENOSPC here and never SIGBUS later.
pub(crate) fn reserve(file: &File, bytes: Range<u64>) -> io::Result<()> {
    let len = i64::try_from(bytes.end - bytes.start).map_err(|_| Errno::EFBIG)?;
    let start = i64::try_from(bytes.start).map_err(|_| Errno::EFBIG)?;
    loop {
        match posix_fallocate(file, start, len) {
            Err(Errno::EINTR) => continue,
            result => return Ok(result?),
        }
    }
}

/// Seals a memfd's length for good.
pub(crate) fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

/// The seals of a file: `None` if it is of a kind that has none.
pub(crate) fn seals(file: &File) -> Option<i32> {
    fcntl(file, FcntlArg::F_GET_SEALS).ok()
}

/// Whether these seals keep the length as it is.
pub(crate) fn length_is_sealed(seals: i32) -> bool {
    SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)
}

/// Opens a file by its own name: not through a symbolic link, and without waiting on a FIFO.
pub(crate) fn open_existing(path: &Path, read_only: bool) -> io::Result<File> {
    let access = if read_only { OFlag::O_RDONLY } else { OFlag::O_RDWR };
    let flags = access | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    Ok(open(path, flags, Mode::empty())?.into())
}

/// `fstat`.
pub(crate) fn stat(file: &File) -> io::Result<FileStat> {
    Ok(fstat(file)?)
}

/// What the file system behind a file says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileSystem {
    pub(crate) kind: i64,
    pub(crate) free_bytes: u64,
    pub(crate) total_bytes: u64,
}

impl FileSystem {
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        let stat = fstatfs(file)?;
        let unit = stat.block_size().unsigned_abs();
        Ok(Self {
            kind: stat.filesystem_type().0,
            free_bytes: stat.blocks_available() * unit,
            total_bytes: stat.blocks() * unit,
        })
    }

    /// Whether what is written there stays in memory.
    pub(crate) fn is_memory(self) -> bool {
        [TMPFS_MAGIC.0, HUGETLBFS_MAGIC.0, RAMFS_MAGIC].contains(&self.kind)
    }
}

/// Whether a path can be handed to the kernel at all.
pub(crate) fn is_path(path: &Path) -> bool {
    CString::new(path.as_os_str().as_bytes()).is_ok()
}
