//! The scribbler: one word of garbage after the other.

use std::sync::atomic::Ordering::SeqCst;

use super::Board;
use super::payload::Rng;
use super::window::{
    BUCKET_HEADER_WORDS, BUCKET_WORDS, HEADER_WORDS, KEYS, KEYS_LOCK, MEMBERS, MEMBERS_LOCK,
    RECORD_HEAD_WORDS, RECORDS, RETIRED, SLOTS, Window,
};

const GENERATION: usize = 1;
/// No thread has an ID with this bit.
const NOBODY: u32 = 1 << 24;

pub(crate) struct Scribbler<'a> {
    pub(crate) board: &'a Board,
    pub(crate) window: Window,
    pub(crate) rng: Rng,
}

impl Scribbler<'_> {
    /// Until it is killed. Now and then it lets the others come to something.
    pub(crate) fn run(mut self) -> ! {
        loop {
            for _ in 0..1 << self.rng.below(8) {
                self.scribble();
                self.board.scribbles.fetch_add(1, SeqCst);
            }
            for _ in 0..self.rng.below(40_000) {
                std::hint::spin_loop();
            }
        }
    }

    fn scribble(&mut self) {
        let bucket = self.window.bucket(self.rng.below(16) as usize);
        match self.rng.below(100) {
            0..12 => self.lock_word(bucket),
            12..14 => self.lock_word(MEMBERS_LOCK),
            14..16 => self.lock_word(KEYS_LOCK),
            16..22 => self.noise(bucket + GENERATION, 1),
            22..34 => self.noise(bucket + 2, BUCKET_HEADER_WORDS - 2),
            34..38 => self.noise(bucket + BUCKET_WORDS - SLOTS, SLOTS),
            38..72 => self.record(bucket),
            72..78 => self.noise(bucket + RECORDS, BUCKET_WORDS - RECORDS),
            78 => self.noise(MEMBERS_LOCK + 1, 1),
            79..84 => self.noise(RETIRED.start, RETIRED.len()),
            84..87 => self.noise(KEYS, 2),
            87..92 => self.noise(KEYS + 3, MEMBERS - KEYS - 3),
            _ => self.noise(MEMBERS, self.window.buckets - MEMBERS),
        }
    }

    /// The ID of a process that comes by, of none, or of none at all, with any flags: who holds a
    /// lock and lives may hold it, so words with others' IDs would keep a bucket for good.
    fn lock_word(&mut self, at: usize) {
        let flags = (self.rng.next() as u32) & 0xc000_0000;
        let owner = match self.rng.below(4) {
            0 => 0,
            1 => self.rng.next() as u32 & 0x3fff_ffff | NOBODY,
            _ => {
                let tids = &self.board.tids;
                tids[self.rng.below(tids.len() as u64) as usize].load(SeqCst)
            }
        };
        self.window.set(at, owner | flags);
    }

    /// A word among so many.
    fn noise(&mut self, first: usize, words: usize) {
        let at = first + self.rng.below(words as u64) as usize;
        let value = any_value(&mut self.rng, self.window.get(at));
        self.window.set(at, value);
    }

    /// A word of the head of a record, or of any of it, or a copy of one record over another.
    fn record(&mut self, bucket: usize) {
        let number = (bucket - self.window.buckets) / BUCKET_WORDS;
        let mut pick = || {
            let slot = self.window.used_slot(number, self.rng.below(SLOTS as u64) as usize);
            self.window.record(number, slot)
        };
        let ((from, words), (to, _)) = (pick(), pick());
        match self.rng.below(3) {
            0 => {
                let room = (bucket + BUCKET_WORDS - to).min(words);
                (0..room).for_each(|n| self.window.set(to + n, self.window.get(from + n)));
            }
            1 => self.noise(from, RECORD_HEAD_WORDS),
            _ => self.noise(from, words),
        }
    }
}

fn any_value(rng: &mut Rng, was: u32) -> u32 {
    match rng.below(8) {
        0 => 0,
        1 => u32::MAX,
        2 => was ^ 1 << rng.below(32),
        3 => was.wrapping_add(1),
        4 => was.wrapping_sub(1),
        _ => (rng.next() >> rng.below(64)) as u32,
    }
}

/// A word of what attaching reads.
pub(crate) fn scribble_header(window: &Window, rng: &mut Rng) {
    let at = rng.below(HEADER_WORDS as u64) as usize;
    window.set(at, any_value(rng, window.get(at)));
}
