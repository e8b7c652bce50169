//! The locks, watched for a moment: one that nobody moves is told from one that is always in use.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use shmtls::{Inspector, LockState};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// What a lock protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    ProcessTable,
    TicketKeys,
    Bucket(usize),
}

/// A lock as it was at the last look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) lock: LockState,
    pub(super) changing: bool,
    generation: u32,
    since: Instant,
    last: Instant,
}

#[derive(Debug)]
pub(super) struct Sample {
    started: Instant,
    ended: Instant,
    looks: u64,
    held: BTreeMap<Place, Seen>,
}

impl Sample {
    pub(super) fn take(inspector: &Inspector, duration: Duration) -> Self {
        let started = Instant::now();
        let mut sample = Self { started, ended: started, looks: 0, held: BTreeMap::new() };
        loop {
            sample.look(inspector);
            if sample.ended.duration_since(started) >= duration {
                return sample;
            }
            thread::sleep(PAUSE.min(duration));
        }
    }

    fn look(&mut self, inspector: &Inspector) {
        let now = Instant::now();
        let beside = [
            (Place::ProcessTable, inspector.table_lock()),
            (Place::TicketKeys, inspector.keys_lock()),
        ];
        let beside = beside.into_iter().filter(|(_, lock)| *lock != LockState::Free);
        let beside = beside.map(|(place, lock)| (place, lock, 0));
        let buckets = inspector.held_locks();
        let buckets = buckets.map(|it| (Place::Bucket(it.index()), it.lock(), it.generation()));
        let held = beside.chain(buckets).map(|(place, lock, generation)| {
            let changing = !generation.is_multiple_of(2);
            let seen = Seen { lock, changing, generation, since: now, last: now };
            let before = self.held.get(&place).filter(|before| before.is_still(&seen));
            (place, Seen { since: before.map_or(now, |before| before.since), ..seen })
        });
        self.held = held.collect();
        self.looks += 1;
        self.ended = now;
    }

    pub(super) fn duration(&self) -> Duration {
        self.ended.duration_since(self.started)
    }

    pub(super) fn looks(&self) -> u64 {
        self.looks
    }

    pub(super) fn held(&self) -> impl Iterator<Item = (Place, &Seen)> {
        self.held.iter().map(|(place, seen)| (*place, seen))
    }
}

impl Seen {
    /// Over the looks in which nothing moved.
    pub(super) fn held_for(&self) -> Duration {
        self.last.duration_since(self.since)
    }

    /// Whether it is, for all that can be seen, the same hold: who waits may change.
    fn is_still(&self, later: &Self) -> bool {
        let same_owner = match (self.lock, later.lock) {
            (LockState::Held { tid, .. }, LockState::Held { tid: later, .. }) => tid == later,
            (before, later) => before == later,
        };
        same_owner && self.generation == later.generation
    }
}
