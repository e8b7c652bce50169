//! Where a segment lives: a named file on a tmpfs or a memfd. Made whole before anybody can see
//! it, and opened with suspicion.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::SFlag;
use nix::unistd::geteuid;

use crate::error::{AttachError, CreateError};
use crate::geometry::{Geometry, HeaderBytes, Plan};
use crate::layout::{HEADER_FIELDS_BYTES, MAGIC, PAGE};
use crate::segment::Segment;
use crate::sys::file::{self, FileSystem};
use crate::sys::process;

/// Where named segments live unless a path is given.
const DIRECTORY: &str = "/dev/shm";
/// Marks them there.
const PREFIX: &str = "shmtls.";
/// Longest name of a segment in bytes: NAME_MAX less the prefix.
const NAME_MAX: usize = 255 - PREFIX.len();

/// Whose files are believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trust {
    /// This user besides root; without one, the effective user.
    pub(crate) owner: Option<u32>,
    /// No permission bits beyond these.
    pub(crate) mode: u32,
    pub(crate) read_only: bool,
}

/// Path of a segment: a name, or a path as it stands.
pub(crate) fn path_of(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return (file::is_path(&path) && path.file_name().is_some()).then_some(path);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let valid = (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_plain);
    valid.then(|| Path::new(DIRECTORY).join(format!("{PREFIX}{name}")))
}

/// Creates a segment at `path`, where there is none.
pub(crate) fn create_named(path: &Path, plan: &Plan, mode: u32) -> Result<Segment, CreateError> {
    let geometry = Geometry::plan(plan)?;
    let io = |action| move |source| CreateError::Io { action, target: path.into(), source };
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    if path.symlink_metadata().is_ok() {
        return Err(CreateError::AlreadyExists { path: path.into() });
    }
    let file_system =
        File::open(dir).and_then(FileSystem::of).map_err(io("open the directory of"))?;
    if !file_system.is_memory() {
        return Err(CreateError::NotInMemory { path: dir.into(), found: file_system.kind });
    }
    let file = file::unnamed(dir, mode).map_err(io("make an unnamed file for"))?;
    let segment = fill(file, geometry, dir)?;
    file::publish(segment.file(), path).map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => CreateError::AlreadyExists { path: path.into() },
        _ => io("link")(source),
    })?;
    Ok(segment)
}

/// Creates a segment that has no name: it is inherited or handed over.
pub(crate) fn create_memfd(plan: &Plan) -> Result<Segment, CreateError> {
    let geometry = Geometry::plan(plan)?;
    let target = Path::new("memfd:shmtls");
    let io = |action| move |source| CreateError::Io { action, target: target.into(), source };
    let file = file::memfd().map_err(io("create"))?;
    let segment = fill(file, geometry, target)?;
    file::seal(segment.file()).map_err(io("seal"))?;
    Ok(segment)
}

/// Attaches the segment at `path`.
pub(crate) fn attach_named(path: &Path, trust: Trust) -> Result<Segment, AttachError> {
    let file =
        file::open_existing(path, trust.read_only).map_err(|error| open_error(path, error))?;
    attach(file, path, trust)
}

/// Attaches the segment behind a file descriptor that was inherited or handed over.
pub(crate) fn attach_fd(fd: OwnedFd, trust: Trust) -> Result<Segment, AttachError> {
    attach(File::from(fd), Path::new("the file descriptor"), trust)
}

/// Maps, reserves and initialises a new file.
fn fill(file: File, geometry: Geometry, place: &Path) -> Result<Segment, CreateError> {
    let io = |action| move |source| CreateError::Io { action, target: place.into(), source };
    let bytes = geometry.total_bytes;
    file::set_len(&file, bytes).map_err(io("reserve memory for"))?;
    let segment = Segment::map(file, geometry, false).map_err(io("map"))?;
    use_huge_pages(&segment);
    file::reserve(segment.file(), 0..bytes).map_err(|source| {
        // What it got is free again, and is told as such.
        let _ = file::set_len(segment.file(), 0);
        match (source.raw_os_error(), FileSystem::of(segment.fd())) {
            (Some(libc::ENOSPC), Ok(space)) => CreateError::NoSpace {
                path: place.into(),
                needed: bytes,
                free: space.free_bytes,
                total: space.total_bytes,
            },
            _ => io("reserve memory for")(source),
        }
    })?;
    segment.initialise().map_err(io("ask /proc about"))?;
    Ok(segment)
}

/// Gives a new segment huge pages, as far as there is memory in such pieces: then one translation
/// of an address does for 64 buckets. The kernel makes none of nothing, so each begins as a small
/// page; and it copies what is there, so this comes before the rest is reserved.
fn use_huge_pages(segment: &Segment) {
    let map = segment.mapping();
    for start in map.huge_pages() {
        let first = start as u64..start as u64 + PAGE;
        if file::reserve(segment.file(), first).is_err() || map.collapse(start).is_err() {
            return;
        }
    }
}

/// Checks the file, then its header, then maps it. The header is read, not mapped: until its
/// length is known to be right a mapping of the file may end in SIGBUS.
fn attach(file: File, place: &Path, trust: Trust) -> Result<Segment, AttachError> {
    let io = |action| move |source| AttachError::Io { action, target: place.into(), source };
    let len = check_file(&file, place, trust)?;
    let header = read_header(&file, len).map_err(io("read"))??;
    let geometry = Geometry::parse(&header, len)?;
    if !trust.read_only {
        check_origin(&header).map_err(io("ask /proc about"))??;
    }
    Segment::map(file, geometry, trust.read_only).map_err(io("map"))
}

/// Refuses what somebody else may have put there, or may cut short; returns the length.
fn check_file(file: &File, place: &Path, trust: Trust) -> Result<u64, AttachError> {
    let io = |action| move |source| AttachError::Io { action, target: place.into(), source };
    let stat = file::stat(file).map_err(io("stat"))?;
    if stat.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFREG.bits() {
        return Err(AttachError::NotPlain { found: "not a regular file" });
    }
    let expected = trust.owner.unwrap_or_else(|| geteuid().as_raw());
    let root_looks = trust.read_only && geteuid().is_root();
    if stat.st_uid != expected && stat.st_uid != 0 && !root_looks {
        return Err(AttachError::WrongOwner { found: stat.st_uid, expected });
    }
    let mode = stat.st_mode & 0o777;
    if mode & !(trust.mode | 0o600) != 0 {
        return Err(AttachError::TooOpen { found: mode, allowed: trust.mode });
    }
    let file_system = FileSystem::of(file).map_err(io("examine the file system of"))?;
    if !trust.read_only && !file_system.is_memory() {
        return Err(AttachError::NotInMemory { found: file_system.kind });
    }
    match (stat.st_nlink, file::seals(file)) {
        (0, Some(seals)) if file::length_is_sealed(seals) => {}
        (0, seals) => return Err(AttachError::NotSealed { found: seals.unwrap_or(0) }),
        (1, _) => {}
        _ => return Err(AttachError::NotPlain { found: "a file of several names" }),
    }
    Ok(stat.st_size.unsigned_abs())
}

/// A private copy of the header; the inner error if the file is too short to have one.
fn read_header(file: &File, len: u64) -> io::Result<Result<HeaderBytes, AttachError>> {
    let mut bytes = [0; HEADER_FIELDS_BYTES];
    let have = bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX));
    file.read_exact_at(&mut bytes[..have], 0)?;
    let magic = *bytes.first_chunk().expect("a header has a magic");
    if u64::from_ne_bytes(magic) != MAGIC {
        return Ok(Err(AttachError::NotASegment { found: magic }));
    }
    if have < bytes.len() {
        let expected = bytes.len() as u64;
        return Ok(Err(AttachError::WrongLength { found: len, expected }));
    }
    Ok(Ok(HeaderBytes(bytes)))
}

/// The lock words hold thread IDs, which mean something in one PID namespace of one boot only.
fn check_origin(header: &HeaderBytes) -> io::Result<Result<(), AttachError>> {
    if header.boot_id() != process::boot_id()? {
        return Ok(Err(AttachError::OtherBoot));
    }
    let (found, expected) = (header.pid_namespace(), process::pid_namespace()?);
    if found != expected {
        return Ok(Err(AttachError::OtherPidNamespace { found, expected }));
    }
    Ok(Ok(()))
}

fn open_error(path: &Path, source: io::Error) -> AttachError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => AttachError::NotFound { path: path.into(), existing: existing() },
        Some(Errno::ELOOP) => AttachError::NotPlain { found: "a symbolic link" },
        Some(Errno::EISDIR) => AttachError::NotPlain { found: "a directory" },
        Some(Errno::ENXIO) => AttachError::NotPlain { found: "a socket, FIFO or device" },
        Some(Errno::EACCES) => match nix::sys::stat::lstat(path) {
            Ok(stat) => AttachError::Permission {
                path: path.into(),
                owner: stat.st_uid,
                mode: stat.st_mode & 0o7777,
                euid: geteuid().as_raw(),
            },
            Err(_) => AttachError::Io { action: "open", target: path.into(), source },
        },
        _ => AttachError::Io { action: "open", target: path.into(), source },
    }
}

/// Names of the segments in the usual directory.
fn existing() -> Vec<String> {
    let entries = std::fs::read_dir(DIRECTORY).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter_map(|name| name.strip_prefix(PREFIX).map(String::from)).collect();
    names.sort();
    names
}
