//! What a segment says of itself and of each of its buckets.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::geometry::{Geometry, slot_words};
use crate::layout::LAYOUT_VERSION;
use crate::robust::{OWNER_DIED, TID_MASK, WAITERS};
use crate::segment::{BucketRef, Segment};
use crate::sys::process;
use crate::words::WORD;

/// What the creator of a segment chose, and what follows from it.
///
/// ```
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// let inspector = shmtls::Options::new().inspect_fd(cache.fd().try_clone_to_owned()?)?;
/// assert_eq!(inspector.info().bytes(), cache.segment_bytes());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    geometry: Geometry,
    created_secs: u64,
    creator_pid: u32,
    pid_namespace: u64,
}

impl SegmentInfo {
    pub(super) fn of(segment: &Segment) -> Self {
        let header = segment.header();
        Self {
            geometry: *segment.geometry(),
            created_secs: header.created_unix_secs.load(Relaxed),
            creator_pid: header.creator_pid.load(Relaxed),
            pid_namespace: header.pid_namespace.load(Relaxed),
        }
    }

    /// The layout version that this build reads, and so the segment's.
    pub fn layout_version(&self) -> u32 {
        LAYOUT_VERSION
    }

    /// Bytes of the whole segment.
    pub fn bytes(&self) -> u64 {
        self.geometry.total_bytes
    }

    /// Buckets.
    pub fn buckets(&self) -> usize {
        self.geometry.bucket_count as usize
    }

    /// Bytes of a bucket.
    pub fn bucket_bytes(&self) -> usize {
        self.geometry.bucket_bytes as usize
    }

    /// Bytes of a bucket that hold sessions, with the head and the slot of each.
    pub fn bucket_capacity(&self) -> usize {
        self.geometry.body_words() * WORD
    }

    /// Sessions that a bucket holds at most, however small they are.
    pub fn bucket_slots(&self) -> usize {
        self.geometry.bucket_slots as usize
    }

    /// Lines of the process table.
    pub fn processes(&self) -> usize {
        self.geometry.member_count as usize
    }

    /// Events that each process keeps.
    pub fn events(&self) -> usize {
        self.geometry.event_slots as usize
    }

    /// Bytes of the largest session that is stored.
    pub fn max_session(&self) -> usize {
        self.geometry.max_session as usize
    }

    /// The longest that any session lives.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.geometry.lifetime_secs.into())
    }

    /// Whether sessions are sealed.
    pub fn is_sealed(&self) -> bool {
        self.geometry.sealing != 0
    }

    /// When it was made.
    pub fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.created_secs.min(u32::MAX.into()))
    }

    /// Who made it, in its PID namespace.
    pub fn creator_pid(&self) -> u32 {
        self.creator_pid
    }

    /// Whether process and thread IDs in the segment are those that the caller knows.
    pub fn is_in_our_pid_namespace(&self) -> bool {
        process::pid_namespace().is_ok_and(|ours| ours == self.pid_namespace)
    }
}

/// A bucket at one moment, without its sessions.
///
/// ```
/// use shmtls::LockState;
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// let inspector = shmtls::Options::new().inspect_fd(cache.fd().try_clone_to_owned()?)?;
/// assert!(inspector.buckets().all(|bucket| bucket.lock() == LockState::Free));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketInfo {
    index: usize,
    lock: u32,
    generation: u32,
    sessions: usize,
    used_bytes: usize,
    contended: u32,
    repairs: u32,
    evictions: u32,
}

/// What a lock word says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockState {
    /// Nobody has it. (Sleepers may just be being woken.)
    Free,
    /// A thread has it, which may be dead.
    Held {
        /// The thread's ID.
        tid: u32,
        /// Others may sleep.
        waiters: bool,
    },
    /// Its owner died in it; whoever comes next repairs the bucket.
    OwnerDied,
    /// A thread is looking whether the owner before it is dead.
    Claimed {
        /// That thread's ID.
        tid: u32,
    },
}

impl LockState {
    pub(super) fn of(word: u32) -> Self {
        let tid = word & TID_MASK;
        match (tid, word & OWNER_DIED != 0) {
            (0, false) => Self::Free,
            (0, true) => Self::OwnerDied,
            (_, false) => Self::Held { tid, waiters: word & WAITERS != 0 },
            (_, true) => Self::Claimed { tid },
        }
    }
}

impl BucketInfo {
    pub(super) fn of(index: usize, bucket: BucketRef<'_>) -> Self {
        let header = bucket.header;
        let end = header.records_end.load(Relaxed) as usize;
        let slots = slot_words(bucket.slot_count());
        Self {
            index,
            lock: header.lock.load(Acquire),
            generation: header.generation.load(Relaxed),
            sessions: bucket.len(),
            used_bytes: (end + slots).min(bucket.body.len()) * WORD,
            contended: header.contended.load(Relaxed),
            repairs: header.repairs.load(Relaxed),
            evictions: header.evictions.load(Relaxed),
        }
    }

    /// Its index.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Who has its lock.
    pub fn lock(&self) -> LockState {
        LockState::of(self.lock)
    }

    /// Whether somebody is changing it, or died while doing so.
    pub fn is_changing(&self) -> bool {
        !self.generation.is_multiple_of(2)
    }

    /// Goes on with each change: two looks that agree in it saw the same sessions.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Sessions in it.
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// Bytes up to where its last record ends, gaps included, and those of its slots. A record that
    /// went may still count for a while, but an empty bucket has none.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes
    }

    /// How often its lock was had only after waiting. Wraps at 2^32.
    pub fn contended(&self) -> u32 {
        self.contended
    }

    /// How often it was repaired. Wraps at 2^32.
    pub fn repairs(&self) -> u32 {
        self.repairs
    }

    /// How many live sessions had to go from it. Wraps at 2^32.
    pub fn evictions(&self) -> u32 {
        self.evictions
    }
}
