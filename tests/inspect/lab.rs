//! A named segment of two buckets, with somebody who looks at it and somebody who damages it.

use std::sync::MutexGuard;

use shmtls::{Cache, Checked, Inspector, Options, SessionId, Spot};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::payload::{Named, context, id, payload, soon, with_buckets};
use crate::procs::{alone, fork};
use crate::window::{RECORD_HEAD_WORDS, RECORDS, SLOT_COUNT, Window};

/// The bucket that is damaged, and the other one.
pub(crate) const BUCKET: usize = 0;
pub(crate) const OTHER: usize = 1;
/// Words of 8 bytes in a bucket behind its header, and in a record before its session.
const BODY_WORDS: usize = 4080;
pub(crate) const HEAD: usize = RECORD_HEAD_WORDS / 2;
const AT_MASK: u32 = 0x1fff;
/// Words of 4 bytes in a bucket's header.
pub(crate) const LOCK: usize = 0;
pub(crate) const GENERATION: usize = 1;
pub(crate) const MOVE_SLOT: usize = 4;
/// Bit of a lock word.
pub(crate) const OWNER_DIED: u32 = 1 << 30;

pub(crate) struct Lab {
    pub(crate) cache: Cache,
    pub(crate) inspector: Inspector,
    pub(crate) window: Window,
    name: Named,
    _turn: MutexGuard<'static, ()>,
}

/// A record, in words of 8 bytes, and where in the body of its bucket it begins.
pub(crate) struct Record {
    pub(crate) at: usize,
    pub(crate) words: Vec<u64>,
}

impl Lab {
    /// With at least eight sessions in [`BUCKET`] and two in the other.
    pub(crate) fn new() -> Self {
        Self::with(Options::new().processes(8), 2)
    }

    pub(crate) fn with(options: Options, buckets: u32) -> Self {
        let (turn, name) = (alone(), Named::new("inspect"));
        let options = with_buckets(options, buckets, 32 << 10);
        let cache = options.create(&name.0).expect("a segment");
        let inspector = Options::new().inspect(&name.0).expect("a look at it");
        let window = Window::new(cache.fd());
        let lab = Self { cache, inspector, window, name, _turn: turn };
        let has = |bucket, sessions| lab.inspector.bucket(bucket).sessions() >= sessions;
        for number in (0..).take_while(|_| !has(BUCKET, 8) || !has(OTHER, 2)) {
            let bytes = payload(number, 0, 104 + number as usize * 8);
            assert!(lab.cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
        }
        lab
    }

    /// One more of those who use the segment.
    pub(crate) fn attach(&self) -> Cache {
        Options::new().attach(&self.name.0).expect("a whole segment")
    }

    pub(crate) fn check(&self) -> Checked {
        self.inspector.check()
    }

    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let checked = self.check();
        assert_eq!((&checked.violations[..], checked.unlisted, checked.busy), (&[][..], 0, 0));
    }

    /// The IDs of the bucket that is damaged, in the order of their slots.
    pub(crate) fn ids(&self) -> Vec<SessionId> {
        let mut ids = Vec::new();
        let unread = self.inspector.for_each_in([BUCKET], |entry| ids.push(*entry.id()));
        assert_eq!(unread, [0; 0]);
        ids
    }

    /// Sets a word of 4 bytes in the header of the bucket that is damaged.
    pub(crate) fn set_header(&self, word: usize, value: u32) -> Spot {
        assert!(word < RECORDS);
        self.window.set(self.window.bucket(BUCKET) + word, value);
        Spot::Bucket(BUCKET)
    }

    // ---- the bytes ------------------------------------------------------------------------------

    pub(crate) fn slot_count(&self) -> usize {
        self.window.get(self.window.bucket(BUCKET) + SLOT_COUNT) as usize
    }

    pub(crate) fn slot(&self, bucket: usize, slot: usize) -> u32 {
        self.window.get(self.window.slot(bucket, slot))
    }

    pub(crate) fn set_slot(&self, slot: usize, word: u32) -> Spot {
        self.window.set(self.window.slot(BUCKET, slot), word);
        Spot::Slot { bucket: BUCKET, slot }
    }

    pub(crate) fn append_slot(&self, word: u32) -> Spot {
        let slot = self.slot_count();
        self.window.set(self.window.bucket(BUCKET) + SLOT_COUNT, slot as u32 + 1);
        self.set_slot(slot, word)
    }

    pub(crate) fn record(&self, bucket: usize, slot: usize) -> Record {
        let (first, len) = self.window.record(bucket, self.window.slot(bucket, slot));
        let words = (first..first + len).step_by(2).map(|at| self.window.get_u64(at)).collect();
        Record { at: (first - self.window.bucket(bucket) - RECORDS) / 2, words }
    }

    /// The slot of the record that lies behind all others.
    pub(crate) fn last(&self) -> usize {
        let by_place = |slot: &usize| self.record(BUCKET, *slot).at;
        (0..self.slot_count()).max_by_key(by_place).expect("a session")
    }

    /// The first word behind all records, and the first of those that hold slots.
    pub(crate) fn free(&self) -> (usize, usize) {
        let last = self.record(BUCKET, self.last());
        (last.at + last.words.len(), BODY_WORDS - self.slot_count().div_ceil(2))
    }

    pub(crate) fn word(&self, at: usize) -> u64 {
        self.window.get_u64(self.at(at))
    }

    pub(crate) fn write(&self, at: usize, words: &[u64]) {
        for (at, word) in (at..).zip(words) {
            self.window.set_u64(self.at(at), *word);
        }
    }

    /// Where a word of the body lies in the window.
    fn at(&self, word: usize) -> usize {
        self.window.bucket(BUCKET) + RECORDS + word * 2
    }

    /// Makes the check of a record right: nobody can tell it from one that was stored.
    pub(crate) fn forge(&self, record: &mut [u64]) {
        let bytes: Vec<u8> = record.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let seed = self.window.get_u64(20);
        let check = u64::from(xxh3_64_with_seed(&bytes[4..], seed) as u32);
        record[0] = record[0] >> 32 << 32 | check;
    }
}

/// The ID of a process that was.
pub(crate) fn dead_pid() -> u32 {
    let child = fork(|| ());
    let pid = child.pid().as_raw().cast_unsigned();
    child.join();
    pid
}

pub(crate) fn own_tid() -> u32 {
    nix::unistd::gettid().as_raw().cast_unsigned()
}

/// A slot that says the same of a record at another place.
pub(crate) fn moved(slot: u32, at: usize) -> u32 {
    slot & !AT_MASK | (at as u32 + 1)
}
