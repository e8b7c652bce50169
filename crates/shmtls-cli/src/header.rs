//! The fields of a segment's header that tell where it comes from: shm-layout.md, "Header".

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Read from the file, of a segment that was found to be whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    created_unix_secs: u64,
    creator_pid: u32,
    pid_namespace: u64,
}

impl Header {
    pub(crate) fn read(path: &Path) -> Option<Self> {
        let mut bytes = [0; 112];
        File::open(path).ok()?.read_exact_at(&mut bytes, 0).ok()?;
        let word = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().expect("a word"));
        Some(Self {
            created_unix_secs: word(88),
            creator_pid: word(96) as u32,
            pid_namespace: word(104),
        })
    }

    /// Seconds since 1970.
    pub(crate) fn created(&self) -> u64 {
        self.created_unix_secs
    }

    pub(crate) fn age(&self) -> Duration {
        let created = UNIX_EPOCH.checked_add(Duration::from_secs(self.created_unix_secs));
        let age = created.and_then(|created| SystemTime::now().duration_since(created).ok());
        age.unwrap_or_default()
    }

    /// In the segment's PID namespace.
    pub(crate) fn creator(&self) -> u32 {
        self.creator_pid
    }

    /// Inode of the PID namespace in which the segment's process IDs mean something.
    pub(crate) fn pid_namespace(&self) -> u64 {
        self.pid_namespace
    }
}
