//! Places for segments, and what every refusal owes its reader.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::mem::discriminant;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::geteuid;
use shmtls::{AttachError, Cache, CreateError, OpenError, Options};
use tempfile::TempDir;

use crate::payload::{context, id, soon};

/// A directory in memory of this test's own, removed with all that is in it.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        let builder = tempfile::Builder::new().prefix("shmtls-attach-").tempdir_in("/dev/shm");
        Self(builder.expect("a directory in /dev/shm"))
    }

    /// Path of a segment in here, as `Options` take it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).into_os_string().into_string().expect("paths are UTF-8")
    }

    /// Creates the usual small segment here, and goes away from it.
    pub(crate) fn with_segment(name: &str) -> (Self, String) {
        let place = Self::new();
        let path = place.path(name);
        small().create(&path).expect("a segment");
        (place, path)
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).expect("our directory");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

/// Header, a process table and events of one page each, and three buckets of 32 KiB.
pub(crate) fn small() -> Options {
    Options::new().size(SMALL_BYTES).processes(4)
}

pub(crate) const SMALL_BYTES: u64 = 6 * 4096 + 3 * (32 << 10);

/// A file to be tampered with.
pub(crate) fn open(path: &str) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("the file is there")
}

pub(crate) fn read(file: &File, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, at).expect("the file is that long");
    bytes
}

pub(crate) fn write(file: &File, at: u64, bytes: &[u8]) {
    file.write_all_at(bytes, at).expect("the file can be written to");
}

/// An error of this library.
pub(crate) trait Refusal: std::error::Error {
    fn what_to_do(&self) -> String;
}

impl Refusal for AttachError {
    fn what_to_do(&self) -> String {
        self.hint().into()
    }
}

impl Refusal for CreateError {
    fn what_to_do(&self) -> String {
        self.hint()
    }
}

impl Refusal for OpenError {
    fn what_to_do(&self) -> String {
        self.hint()
    }
}

/// The error says all of this, and what to do.
#[track_caller]
pub(crate) fn assert_tells(error: &impl Refusal, facts: &[&str]) {
    let text = error.to_string();
    for fact in facts {
        assert!(text.contains(fact), "{text:?} does not tell {fact:?}");
    }
    assert!(error.what_to_do().len() > 10, "{text:?} comes without a hint");
    assert!(!format!("{error:?}").is_empty());
}

/// A refused attempt; panics if it was not.
#[track_caller]
pub(crate) fn refused<E: Refusal>(attempt: Result<impl Sized, E>) -> E {
    match attempt {
        Ok(_) => panic!("this must be refused"),
        Err(error) => {
            assert_tells(&error, &[]);
            error
        }
    }
}

/// Attaching to `path` is refused to writers and to readers, for the same reason.
#[track_caller]
pub(crate) fn refused_to_all(path: &str) -> AttachError {
    let error = refused(Options::new().attach(path));
    let to_reader = refused(Options::new().inspect(path));
    assert_eq!(discriminant(&error), discriminant(&to_reader), "{error:?}, but {to_reader:?}");
    error
}

/// A segment that works: stores, finds, takes.
#[track_caller]
pub(crate) fn assert_works(cache: &Cache) {
    // Of its own, whatever other processes do there.
    let (context, id) = (context(), id(u64::MAX - u64::from(std::process::id())));
    assert!(cache.insert(&context, &id, b"works", soon()).is_stored());
    assert_eq!(cache.take(&context, &id).expect("just stored").bytes(), b"works");
}

/// Whether this is root; if not, says what goes unchecked.
pub(crate) fn is_root_for(what: &str) -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        notice(&format!("not root: {what}"));
    }
    is_root
}

/// Whether the kernel allowed this, which a container's root may be denied.
#[track_caller]
pub(crate) fn is_allowed(attempt: nix::Result<()>, what: &str) -> bool {
    // EINVAL is for who wants mounts of his own in a chroot, where / is no mount.
    if matches!(attempt, Err(Errno::EPERM | Errno::EINVAL)) {
        notice(&format!("not permitted here: {what}"));
        return false;
    }
    attempt.expect(what);
    true
}

/// Past the test harness's capture.
pub(crate) fn notice(text: &str) {
    let _ = writeln!(std::io::stderr(), "NOTICE: this goes unchecked, {text}");
}
