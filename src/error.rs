//! What can go wrong when a segment is made or found. Each error says what was found and what
//! was expected; [`hint`](CreateError::hint) says what to do. Lookups have no errors, see
//! [`Miss`](crate::Miss).

use std::io;
use std::path::PathBuf;

/// A size, limit or lifetime that no segment can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The segment would not hold one bucket.
    #[error("a segment of {found} bytes is too small: with these options it has at least {min}")]
    TooSmall {
        /// Bytes asked for.
        found: u64,
        /// The least that holds the header, the process table and one bucket.
        min: u64,
    },
    /// The segment would be larger than the layout can describe.
    #[error("a segment of {found} bytes is too large: the limit is {max}")]
    TooLarge {
        /// Bytes asked for.
        found: u64,
        /// The most that the layout describes.
        max: u64,
    },
    /// The limit of one session's size is out of range.
    #[error("a maximum session size of {found} bytes is out of range: {min} to {max}")]
    MaxSession {
        /// Bytes asked for.
        found: u32,
        /// The least allowed.
        min: u32,
        /// The most allowed.
        max: u32,
    },
    /// The process table's size is out of range.
    #[error("a table of {found} processes is out of range: 1 to {max}")]
    Processes {
        /// Lines asked for.
        found: u32,
        /// The most allowed.
        max: u32,
    },
    /// The number of events kept for each process is out of range, or no power of two.
    #[error("{found} events for each process are out of range: 0, or a power of two up to {max}")]
    Events {
        /// Events asked for.
        found: u32,
        /// The most allowed.
        max: u32,
    },
    /// The lifetime is out of range.
    #[error("a lifetime of {found} seconds is out of range: 1 to {max}")]
    Lifetime {
        /// Seconds asked for.
        found: u64,
        /// The most allowed: seven days (RFC 8446, section 4.6.1).
        max: u64,
    },
}

/// Why a segment could not be created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The options describe no segment.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The name is no segment name.
    #[error("{name:?} is no segment name")]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// There is a file of that name already.
    #[error("{} exists already", path.display())]
    AlreadyExists {
        /// The file found.
        path: PathBuf,
    },
    /// The file system cannot hold the segment.
    #[error(
        "cannot reserve {needed} bytes in {}: {free} of {total} bytes are free",
        path.display()
    )]
    NoSpace {
        /// The directory of the segment.
        path: PathBuf,
        /// Bytes that the segment needs.
        needed: u64,
        /// Bytes that are free there.
        free: u64,
        /// Size of the file system in bytes.
        total: u64,
    },
    /// The directory is not in memory: sessions would be written to a disk.
    #[error("{} is not on a tmpfs (file system type {found:#x})", path.display())]
    NotInMemory {
        /// The directory of the segment.
        path: PathBuf,
        /// `f_type` of its file system.
        found: i64,
    },
    /// A system call failed.
    #[error("cannot {action} {}", target.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        target: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl CreateError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Options(_) => "see the ranges in the documentation of `Options`".into(),
            Self::Name { .. } => "use letters, digits, '.', '_' and '-' (the segment is then \
                /dev/shm/shmtls.NAME), or a path with a '/'"
                .into(),
            Self::AlreadyExists { .. } => "attach to it, use open_or_create, or remove the file \
                when no process needs it any more"
                .into(),
            Self::NoSpace { free, .. } => format!(
                "ask for at most {free} bytes, enlarge the file system (docker run \
                 --shm-size=256m), or use a memfd segment"
            ),
            Self::NotInMemory { .. } => {
                "name a path below /dev/shm or on another tmpfs; sessions never go to a disk".into()
            }
            Self::Io { .. } => "check the directory and its permissions".into(),
        }
    }
}

/// Why a segment could not be attached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The name is no segment name.
    #[error("{name:?} is no segment name")]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// There is no such segment.
    #[error("no segment {} (found: {})", path.display(), list(existing))]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// The segments that do exist in /dev/shm.
        existing: Vec<String>,
    },
    /// The file cannot be opened by this user.
    #[error(
        "{}: permission denied (owner {owner}, mode {mode:04o}, you are {euid})",
        path.display()
    )]
    Permission {
        /// The file.
        path: PathBuf,
        /// User ID of its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
        /// The effective user ID of this process.
        euid: u32,
    },
    /// The file belongs to somebody else.
    #[error("the segment belongs to user {found}, expected {expected} or root")]
    WrongOwner {
        /// User ID of the owner.
        found: u32,
        /// User ID that was expected.
        expected: u32,
    },
    /// Others may write to or read the file.
    #[error("the segment has mode {found:04o}, more than the {allowed:04o} that is allowed")]
    TooOpen {
        /// Permission bits found.
        found: u32,
        /// Permission bits allowed.
        allowed: u32,
    },
    /// The file is a symbolic link, a directory, a device, or has several names.
    #[error("not a plain file of one name: {found}")]
    NotPlain {
        /// What it is instead.
        found: &'static str,
    },
    /// The file is on a disk, where sessions must not go.
    #[error("the segment is not on a tmpfs (file system type {found:#x})")]
    NotInMemory {
        /// `f_type` of its file system.
        found: i64,
    },
    /// The memfd can be shrunk under the processes that use it.
    #[error("the memfd is not sealed against shrinking and growing (seals {found:#x})")]
    NotSealed {
        /// `F_GET_SEALS`.
        found: i32,
    },
    /// The file does not begin as a segment does.
    #[error("not a shmtls segment (it begins with {found:02x?})")]
    NotASegment {
        /// The first bytes.
        found: [u8; 8],
    },
    /// The segment has another layout version.
    #[error("the segment has layout {found}, this build has layout {expected}")]
    OtherVersion {
        /// Version found.
        found: u32,
        /// Version of this build.
        expected: u32,
    },
    /// Same layout version, but built with other sizes, word size or byte order.
    #[error("the segment's layout fingerprint is {found:#018x}, this build's is {expected:#018x}")]
    OtherFingerprint {
        /// Fingerprint found.
        found: u64,
        /// Fingerprint of this build.
        expected: u64,
    },
    /// Its creator never finished it.
    #[error("the segment was never finished (state {found:#x}, expected {expected:#x})")]
    NotReady {
        /// State found.
        found: u32,
        /// State of a whole segment.
        expected: u32,
    },
    /// The file is not as long as its header says.
    #[error("the segment is {found} bytes long, its header describes {expected}")]
    WrongLength {
        /// Length of the file in bytes.
        found: u64,
        /// Length that the header describes.
        expected: u64,
    },
    /// A header field has a value that no creator writes.
    #[error("header field `{field}` is {found}, expected {expected}")]
    BadField {
        /// Name of the field as in shm-layout.md.
        field: &'static str,
        /// Value found.
        found: u64,
        /// What it would have to be.
        expected: String,
    },
    /// The segment's lock words hold thread IDs of another PID namespace.
    #[error("the segment belongs to PID namespace {found}, this process is in {expected}")]
    OtherPidNamespace {
        /// Inode of the creator's namespace.
        found: u64,
        /// Inode of this process's namespace.
        expected: u64,
    },
    /// The segment was made before the machine was started anew.
    #[error("the segment is from another boot of the machine")]
    OtherBoot,
    /// The segment is not as the options ask.
    #[error("the segment has {what} {found}, the options ask for {wanted}")]
    Differs {
        /// Which option.
        what: &'static str,
        /// The segment's value.
        found: u64,
        /// The value asked for.
        wanted: u64,
    },
    /// The segment's sessions are sealed, and the options have no key.
    #[error("the segment is sealed, and no key was given")]
    SealingKeyMissing,
    /// The segment's sessions are sealed with another key.
    #[error("the segment is sealed with another key")]
    SealingKeyWrong,
    /// The options have a key, but the segment's sessions are not sealed.
    #[error("the segment is not sealed, but a key was given")]
    SealingKeyUnused,
    /// A system call failed.
    #[error("cannot {action} {}", target.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        target: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl AttachError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name { .. } => {
                "use letters, digits, '.', '_' and '-', or a path with a '/' in it"
            }
            Self::NotFound { .. } => "create it first, or use open_or_create",
            Self::Permission { .. } | Self::TooOpen { .. } => {
                "run as the owner, or create the segment with a mode that fits, and allow that \
                 mode in the options of everyone who attaches"
            }
            Self::WrongOwner { .. } => "name the owner that you trust with `Options::owner`",
            Self::NotPlain { .. } => "somebody put this there: look before you remove it",
            Self::NotInMemory { .. } => {
                "look at this copy with `Inspector`; attach the segment itself, below /dev/shm"
            }
            Self::NotSealed { .. } => "hand over a memfd that `create_memfd` made",
            Self::NotASegment { .. } => "check the name: this file is something else",
            Self::OtherVersion { .. } | Self::OtherFingerprint { .. } => {
                "use the same shmtls version in all processes; for an upgrade give the new one a \
                 new segment name"
            }
            Self::NotReady { .. } | Self::WrongLength { .. } | Self::BadField { .. } => {
                "the file is damaged: remove it and restart the workers"
            }
            Self::OtherPidNamespace { .. } => {
                "share the PID namespace (docker run --pid=...), or attach read-only with \
                 `Inspector`"
            }
            Self::OtherBoot => {
                "mount /proc if it is missing here; otherwise remove the file: nothing in it can \
                 be of use"
            }
            Self::Differs { .. } => {
                "the segment's creator decides; drop the option, or remove the segment first"
            }
            Self::SealingKeyMissing | Self::SealingKeyWrong => {
                "give the creator's key with `Options::sealed` (feature `sealing`): inherit it \
                 over fork, or be handed it through a pipe or a file of mode 0600"
            }
            Self::SealingKeyUnused => {
                "drop the key if this is the right segment; it was created without one"
            }
            Self::Io { .. } => "check the file and its permissions",
        }
    }
}

/// Why a segment could be neither attached nor created.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There was one, but it could not be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// There was none, and it could not be created.
    #[error(transparent)]
    Create(#[from] CreateError),
}

impl OpenError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Attach(error) => error.hint().into(),
            Self::Create(error) => error.hint(),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
