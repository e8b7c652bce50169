//! What the workers of a storm are to do, and what must be known of them after their death.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{Cache, Inserted, Options};

use super::payload::{self, Rng, context, id, soon};
use super::scoreboard::Zeroed;

pub(crate) const WORKERS_MAX: usize = 16;
/// Workers that live for seconds, own nothing, and see what takes longer than the others' lives.
pub(crate) const VETERANS: usize = 2;
const IDS_MAX: usize = 512;
/// The ledger knows the last half of 2^30 sessions: by then every older one has gone.
const LEDGER_WORDS: usize = 1 << 24;

/// What the workers of one storm do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) buckets: u32,
    pub(crate) bucket_bytes: u32,
    pub(crate) workers: usize,
    /// Of each worker. Threads do not share what one of them owns.
    pub(crate) threads: usize,
    /// Sessions that are there from the start and that nobody touches.
    pub(crate) residents: u64,
    /// Sessions that only one worker changes, each.
    pub(crate) owned: u64,
    /// Sessions that anybody changes, in any way.
    pub(crate) shared: u64,
    /// Whether it all fits, so that nothing ever has to go.
    pub(crate) fits: bool,
    /// Whether the workers, but not the veterans, have little memory and wait for it.
    pub(crate) starves: bool,
}

/// What must be known of the workers after their death.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Board {
    last_serial: AtomicU64,
    pub(crate) cells: [Cell; IDS_MAX],
    pub(crate) tallies: [Tally; WORKERS_MAX],
    /// Ticket keys that were made.
    pub(crate) last_key: AtomicU64,
    /// The newest ring that anybody has seen.
    pub(crate) key_epoch: AtomicU64,
    /// Of each worker, how often it was stopped and went on: odd while it stands still.
    stops: [AtomicU64; WORKERS_MAX],
    /// Workers that were ever stopped, and that have gone on.
    stopped: AtomicU64,
    gone_on: AtomicU64,
    /// One bit for each serial that was taken, in a ring.
    taken: [AtomicU64; LEDGER_WORDS],
}

/// A session that only its owner changes: what is stored, and what is under way.
///
/// A worker that reads the same state before and after a lookup knows what it must have found.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Cell {
    /// The serial, times four, and one of the constants below.
    pub(crate) state: AtomicU64,
    /// The state before the one under way.
    pub(crate) previous: AtomicU64,
}

pub(crate) const GONE: u64 = 0;
pub(crate) const STORED: u64 = 1;
pub(crate) const UNDER_WAY: u64 = 2;

/// What a worker counted, over all of its incarnations.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) ops: AtomicU64,
    pub(crate) hits: AtomicU64,
    /// Operations that gave up at the deadline, though nobody stood still.
    pub(crate) busy: AtomicU64,
    /// Those that gave up while somebody stood still.
    pub(crate) excused: AtomicU64,
    /// Operations that waited for longer than the deadline.
    pub(crate) late: AtomicU64,
    pub(crate) key_updates: AtomicU64,
    pub(crate) attaches: AtomicU64,
    pub(crate) looks: AtomicU64,
    pub(crate) longest_wait_ns: AtomicU64,
    /// The longest that an operation had no core to run on.
    pub(crate) longest_delay_ns: AtomicU64,
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

/// Who stood still at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    own: u64,
    stopped: u64,
    gone_on: u64,
}

impl Standing {
    /// How many stood still at any time from then until now.
    pub(crate) fn since(&self, then: Standing) -> u64 {
        self.stopped - then.gone_on
    }

    /// Whether this worker itself did.
    pub(crate) fn own_since(&self, then: Standing) -> bool {
        self.own != then.own || self.own % 2 == 1
    }
}

impl Board {
    pub(crate) fn sum(&self, field: impl Fn(&Tally) -> &AtomicU64) -> u64 {
        self.tallies.iter().map(|tally| field(tally).load(SeqCst)).sum()
    }

    pub(crate) fn longest(&self, field: impl Fn(&Tally) -> &AtomicU64) -> Duration {
        let times = self.tallies.iter().map(|tally| field(tally).load(SeqCst));
        Duration::from_nanos(times.max().unwrap_or(0))
    }

    /// Notes that a worker is about to be stopped.
    pub(crate) fn stops(&self, worker: usize) {
        self.stops[worker].fetch_add(1, SeqCst);
        self.stopped.fetch_add(1, SeqCst);
    }

    /// Notes that a stopped worker was let go, one way or the other.
    pub(crate) fn goes_on(&self, worker: usize) {
        self.gone_on.fetch_add(1, SeqCst);
        self.stops[worker].fetch_add(1, SeqCst);
    }

    pub(crate) fn standing(&self, worker: usize) -> Standing {
        // In this order nobody who stands is overlooked.
        let gone_on = self.gone_on.load(SeqCst);
        let stopped = self.stopped.load(SeqCst);
        Standing { own: self.stops[worker].load(SeqCst), stopped, gone_on }
    }

    /// Touches the part of the ledger that comes next, so that its memory is not a worker's.
    pub(crate) fn prepare(&self) {
        const PAGE_WORDS: usize = 512;
        let next = self.last_serial.load(SeqCst) as usize / 64;
        for word in (next..next + 64 * PAGE_WORDS).step_by(PAGE_WORDS) {
            self.taken[word % LEDGER_WORDS].load(SeqCst);
            self.taken[(word + LEDGER_WORDS / 2) % LEDGER_WORDS].load(SeqCst);
        }
    }

    pub(crate) fn serial(&self) -> u64 {
        let serial = self.last_serial.fetch_add(1, SeqCst) + 1;
        if serial.is_multiple_of(64) {
            // More than one word, in case that somebody died before it did this.
            let ahead = serial as usize / 64 + LEDGER_WORDS / 2;
            (ahead..ahead + 4).for_each(|word| self.taken[word % LEDGER_WORDS].store(0, SeqCst));
        }
        serial
    }

    /// Enters a taken session. A worker that dies before has lost it, which is allowed.
    pub(crate) fn enter_taken(&self, serial: u64) {
        let (word, bit) = ledger_place(serial);
        let before = self.taken[word].fetch_or(bit, SeqCst);
        assert!(before & bit == 0, "session {serial} was taken twice");
    }

    pub(crate) fn was_taken(&self, serial: u64) -> bool {
        let (word, bit) = ledger_place(serial);
        self.taken[word].load(SeqCst) & bit != 0
    }
}

fn ledger_place(serial: u64) -> (usize, u64) {
    (serial as usize / 64 % LEDGER_WORDS, 1 << (serial % 64))
}

impl Plan {
    pub(crate) fn options(&self) -> Options {
        // The session limit decides on the size of a bucket.
        let max_session = if self.bucket_bytes > 32 << 10 { 48 << 10 } else { 10 << 10 };
        let options = Options::new().processes(24).max_session(max_session);
        payload::with_buckets(options, self.buckets, self.bucket_bytes)
    }

    /// Sizes as they are seen in the wild, and some near the limit. What must fit varies little.
    pub(crate) fn len(&self, number: u64, rng: &mut Rng) -> usize {
        let len = match rng.below(100) {
            _ if self.fits => self.len_max(number) - rng.below(40),
            0..50 => rng.within(60, 260),
            50..80 => rng.within(260, 1500),
            80..92 => rng.within(1500, 4096),
            _ => rng.within(4096, 10_241),
        };
        len as usize
    }

    /// The longest of a session that must fit with all others. A few long ones among many short
    /// ones: when a short one goes, the long ones move by less than their length.
    fn len_max(&self, number: u64) -> u64 {
        if number.is_multiple_of(10) { 2800 + number * 37 % 900 } else { 80 + number * 37 % 70 }
    }

    /// Whether all sessions fit at their longest, with their heads of seven words.
    pub(crate) fn really_fits(&self) -> bool {
        let bytes = |number| 56 + self.len_max(number).next_multiple_of(8) + 4;
        let slots = self.bucket_bytes / 32768 * 256;
        let room = u64::from(self.bucket_bytes - 128);
        (0..self.ids()).map(bytes).sum::<u64>() + 8 <= room && self.ids() <= slots.into()
    }

    pub(crate) fn ids(&self) -> u64 {
        let ids = self.residents + self.owned + self.shared;
        assert!(ids <= IDS_MAX as u64);
        ids
    }

    pub(crate) fn is_owned(&self, number: u64) -> bool {
        (self.residents..self.residents + self.owned).contains(&number)
    }

    /// Stores what nobody will change.
    pub(crate) fn store_residents(&self, cache: &Cache) {
        for number in 0..self.residents {
            let bytes = payload::payload(number, 0, self.len_max(number) as usize);
            assert_eq!(cache.insert(&context(), &id(number), &bytes, soon()), Inserted::New);
        }
    }
}
