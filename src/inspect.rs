//! Looking into a live segment from outside: no lock is taken and nothing is written.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use crate::check::{self, Checked};
use crate::events::{EventCursor, PastEvent};
use crate::keyring;
use crate::keys::{self, KeyStatus};
use crate::members::{self, ProcessInfo};
use crate::segment::{BucketImage, Segment};
use crate::snapshot::{self, EntryInfo};
use crate::stats::Stats;

mod info;

pub use info::{BucketInfo, LockState, SegmentInfo};

/// A read-only view of a segment, for tools. The mapping is PROT_READ.
///
/// ```
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// let inspector = shmtls::Options::new().inspect_fd(cache.fd().try_clone_to_owned()?)?;
/// assert_eq!(inspector.len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Inspector {
    segment: Segment,
}

impl Inspector {
    pub(crate) fn new(segment: Segment) -> Self {
        Self { segment }
    }

    /// Sum of the counters of all processes that ever attached.
    pub fn stats(&self) -> Stats {
        members::totals(&self.segment)
    }

    /// What the ring of ticket keys holds: never key material. `None` before there are any.
    pub fn keys(&self) -> Option<KeyStatus> {
        let region = &self.segment.header().keys;
        let ring = keyring::read(region, self.segment.geometry().seed).ok()??;
        Some(keys::status(&ring))
    }

    /// What its creator chose, and who that was.
    pub fn info(&self) -> SegmentInfo {
        SegmentInfo::of(&self.segment)
    }

    /// The processes in the table, dead ones included until somebody needs their line.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        members::list(&self.segment)
    }

    /// Sessions stored, expired ones included until they are cleared away.
    pub fn len(&self) -> usize {
        self.indices().map(|index| self.segment.bucket(index).len()).sum()
    }

    /// Whether there is no session at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether sessions are sealed: then only those who have the key can read them.
    pub fn is_sealed(&self) -> bool {
        self.segment.geometry().sealing != 0
    }

    /// What is known of a bucket without a look at its sessions: its lock, and how full it is.
    ///
    /// # Panics
    ///
    /// If there is no bucket of that index.
    pub fn bucket(&self, index: usize) -> BucketInfo {
        BucketInfo::of(index, self.segment.bucket(index))
    }

    /// Every bucket in turn, see [`bucket`](Self::bucket).
    pub fn buckets(&self) -> impl Iterator<Item = BucketInfo> {
        self.indices().map(|index| self.bucket(index))
    }

    /// The buckets whose locks somebody has, or died in. Looks at all lock words and at little
    /// else, so it can be asked often.
    pub fn held_locks(&self) -> impl Iterator<Item = BucketInfo> {
        let held = self.indices().filter(|index| {
            LockState::of(self.segment.bucket(*index).header.lock.load(Relaxed)) != LockState::Free
        });
        // By now it may be free.
        held.map(|index| self.bucket(index)).filter(|bucket| bucket.lock() != LockState::Free)
    }

    /// The lock of the process table: whoever attaches or leaves has it.
    pub fn table_lock(&self) -> LockState {
        LockState::of(self.segment.header().members_lock.load(Acquire))
    }

    /// The lock of the ring of ticket keys: whoever publishes keys has it.
    pub fn keys_lock(&self) -> LockState {
        LockState::of(self.segment.header().keys.lock.load(Acquire))
    }

    /// What happened since the last look with this cursor, in the order of time: with a new one all
    /// that is still known. Also says how many events are lost to it, overwritten before this look.
    /// Each process keeps so many as [`Options::events`](crate::Options::events) says.
    pub fn events(&self, cursor: &mut EventCursor) -> (Vec<PastEvent>, u64) {
        let (mut events, mut missed) = (Vec::new(), 0_u64);
        if self.segment.geometry().event_slots > 0 {
            for (index, line) in self.segment.members().iter().enumerate() {
                // Anything may stand in a number.
                let lost = cursor.read(index, (line, self.segment.events(index)), &mut events);
                missed = missed.saturating_add(lost);
            }
        }
        cursor.finish_look();
        events.sort_by_key(|event| (event.at(), event.pid(), event.number()));
        (events, missed)
    }

    /// How many events were ever noted, by all who were ever attached: [`events`](Self::events)
    /// knows the last of them.
    pub fn events_noted(&self) -> u64 {
        let lines = self.segment.members().iter();
        lines.fold(0, |sum: u64, line| sum.saturating_add(line.events.load(Relaxed)))
    }

    /// Looks at every byte, and says which invariants of `shm-layout.md` do not hold.
    pub fn check(&self) -> Checked {
        check::check(&self.segment, self.info().is_in_our_pid_namespace())
    }

    /// Calls `f` for every session, a consistent copy of one bucket at a time; never with its
    /// bytes. Returns the number of buckets that could not be copied: somebody is in them, or died
    /// in them.
    pub fn for_each(&self, f: impl FnMut(&EntryInfo)) -> usize {
        self.for_each_in(self.indices(), f).len()
    }

    /// [`for_each`](Self::for_each) over some of the buckets. The next index is asked for when the
    /// sessions of the bucket before it have been seen, so `buckets` can end a walk early. Returns
    /// the buckets that could not be copied.
    ///
    /// # Panics
    ///
    /// If there is no bucket of an index.
    pub fn for_each_in(
        &self,
        buckets: impl IntoIterator<Item = usize>,
        mut f: impl FnMut(&EntryInfo),
    ) -> Vec<usize> {
        let image = BucketImage::new(self.segment.geometry());
        let unread = buckets.into_iter().filter(|&index| {
            let copied = snapshot::copy(self.segment.bucket(index), &image);
            if copied {
                snapshot::for_each_record(index, &image, self.segment.geometry(), |entry, _| {
                    f(entry)
                });
            }
            !copied
        });
        unread.collect()
    }

    fn indices(&self) -> impl Iterator<Item = usize> {
        0..self.segment.geometry().bucket_count as usize
    }
}
