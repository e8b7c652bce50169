//! What one look at a segment finds, as plain data.

use std::time::{Duration, SystemTime};

use super::tally::Tally;
use crate::system::ProcessState;

#[derive(Debug, Clone)]
pub(crate) struct Shot {
    /// Since the tool started.
    pub(crate) at: Duration,
    pub(crate) time: SystemTime,
    pub(crate) identity: Identity,
    pub(crate) about: About,
    pub(crate) tally: Tally,
    /// Locks taken over from dead owners.
    pub(crate) recoveries: u64,
    pub(crate) processes: Vec<Process>,
    pub(crate) buckets: Vec<Bucket>,
    /// As `shmtls stat` has it, of fewer buckets.
    pub(crate) mean_session_bytes: Option<usize>,
    pub(crate) keys: Option<Keys>,
}

/// Two segments differ in it, also under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Device and inode.
    pub(crate) file: (u64, u64),
    pub(crate) created: SystemTime,
    pub(crate) creator: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) label: String,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) layout: u32,
    /// Bytes of a bucket that hold sessions.
    pub(crate) bucket_capacity: u64,
    pub(crate) lifetime: Duration,
    pub(crate) is_sealed: bool,
    pub(crate) keeps_events: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) writer: u16,
    pub(crate) command: String,
    pub(crate) state: ProcessState,
    pub(crate) attached: SystemTime,
    pub(crate) tally: Tally,
    /// 0 if it has used no keys.
    pub(crate) key_epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bucket {
    pub(crate) sessions: u32,
    pub(crate) used: u32,
    /// How often somebody had to wait for its lock.
    pub(crate) contended: u32,
    pub(crate) evictions: u32,
    pub(crate) repairs: u32,
    pub(crate) lock: Lock,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub(crate) enum Lock {
    #[default]
    Free,
    Held,
    /// The next one repairs the bucket.
    OwnerDied,
}

#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) epoch: u64,
    pub(crate) source: &'static str,
    pub(crate) published: SystemTime,
    pub(crate) publisher: u32,
    pub(crate) keys: Vec<Key>,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) role: &'static str,
    pub(crate) fingerprint: String,
    pub(crate) encrypts: String,
    pub(crate) decrypts: String,
}

impl Shot {
    pub(crate) fn sessions(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.sessions)).sum()
    }

    /// Bytes of all sessions, with what the table keeps of each.
    pub(crate) fn used(&self) -> u64 {
        self.buckets.iter().map(|bucket| u64::from(bucket.used)).sum()
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.about.bucket_capacity.saturating_mul(self.buckets.len() as u64)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.keys.as_ref().map_or(0, |keys| keys.epoch)
    }

    /// Processes not known to be dead that use keys, and how many of them use the current ring.
    pub(crate) fn key_users(&self) -> (usize, usize) {
        let users = self.processes.iter().filter(|it| it.key_epoch != 0 && !it.state.is_dead());
        let current = users.clone().filter(|it| it.key_epoch == self.epoch());
        (users.count(), current.count())
    }

    /// Buckets whose owner died in them and that nobody has repaired yet.
    pub(crate) fn broken(&self) -> usize {
        self.buckets.iter().filter(|bucket| bucket.lock == Lock::OwnerDied).count()
    }
}
