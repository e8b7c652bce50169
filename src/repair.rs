//! Repair of a bucket whose last owner died, or panicked, in it. Run by the next owner, under the
//! lock, before anything else; can itself be killed at any instruction and run again.
//!
//! Nothing that counts or orders is believed: what is whole is found from the slots and the
//! records' checks, and everything else is wiped. At most the record in flight is lost.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::bucket::Slot;
use crate::fault::Fault;
use crate::hash::Checker;
use crate::layout::RECORD_HEAD_WORDS;
use crate::places::{Place, Places};
use crate::secret::{DEEP, clear_traces};
use crate::step::kill_point;
use crate::sys::registers::clear_vectors;
use crate::words::{self, WORD};
use crate::writer::Writer;

/// What a repair found in a bucket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Sessions that were whole.
    pub kept: u64,
    /// Sessions that were not, and were wiped.
    pub lost: u64,
}

impl Writer<'_> {
    /// Makes the bucket consistent from whatever it holds. Bounded by the geometry.
    pub(crate) fn repair(&self) -> Repaired {
        if Fault::TrustingRepair.is_on() {
            return Repaired::default();
        }
        // Loaded once: nothing that follows may depend on its being the same when loaded again.
        let slots = self.bucket.slot_count();
        let limit = self.bucket.records(slots).len();
        self.settle_move(slots, limit);
        let mut repaired = Repaired { kept: 0, lost: self.clear_impossible_slots() };
        let mut places = Places::new();
        self.bucket.entries_of(slots).for_each(|entry| places.note(&entry, 0));
        let order = places.by_position([].into_iter());
        let mut end = 0;
        // Where the last one that was kept begins: a death while slots are packed leaves it twice.
        let mut kept_at = None;
        for place in order.places() {
            let at = usize::from(place.at);
            let fits = at >= end && at + usize::from(place.words) <= limit;
            let is_twice = kept_at == Some(at);
            if fits && self.is_whole(place) {
                kept_at = Some(at);
                words::wipe(&self.bucket.body[end..at]);
                end = at + usize::from(place.words);
                repaired.kept += 1;
            } else {
                self.set_slot(place.slot.into(), Slot::EMPTY);
                repaired.lost += u64::from(!is_twice);
            }
        }
        self.wipe_behind(end, slots);
        let repairs = &self.bucket.header.repairs;
        repairs.store(repairs.load(Relaxed).wrapping_add(1), Relaxed);
        repaired
    }

    /// Wipes what lies between the last record and the slots, and the slot that somebody may have
    /// stored without having counted it.
    fn wipe_behind(&self, end: usize, slots: usize) {
        words::wipe(&self.bucket.body[end..self.bucket.records(slots).len()]);
        if !slots.is_multiple_of(2) {
            self.set_slot(slots, Slot::EMPTY);
        }
        self.set_slot_count(slots);
        self.set_end(end);
    }

    /// Finishes the move that the journal describes, if it can describe one: of one of so many
    /// slots, and before the word `limit`.
    fn settle_move(&self, slots: usize, limit: usize) {
        let header = self.bucket.header;
        let Some(slot) = header.move_slot.load(Relaxed).checked_sub(1) else { return };
        let slot = slot as usize;
        let from = header.move_from.load(Relaxed) as usize;
        let to = header.move_to.load(Relaxed) as usize;
        let words = header.move_words.load(Relaxed) as usize;
        let done = header.move_done.load(Relaxed) as usize;
        let fits = to < from
            && done <= words
            && words >= RECORD_HEAD_WORDS
            && words <= limit
            && from <= limit - words;
        let points_there = slot < slots && {
            let at = self.bucket.slot(slot).at();
            at == Some(from) || at == Some(to)
        };
        if fits && points_there {
            self.finish_move(slot, from, to, words, done);
        } else {
            header.move_slot.store(0, Relaxed);
            kill_point();
        }
    }

    /// Whether a record is as its writer made it: its check, computed piece by piece.
    fn is_whole(&self, place: &Place) -> bool {
        let at = usize::from(place.at);
        let record = &self.bucket.body[at..at + usize::from(place.words)];
        let check = check_of(record, self.geometry.seed);
        clear_traces::<DEEP>();
        clear_vectors();
        check == record[0].load(Relaxed) as u32
    }
}

/// Leaves pieces of the record on the stack.
#[inline(never)]
fn check_of(record: &[AtomicU64], seed: u64) -> u32 {
    let mut checker = Checker::new(seed);
    // The check itself is the first half of the first word.
    let mut skipped = size_of::<u32>();
    for piece in record.chunks(PIECE_WORDS) {
        let mut bytes = [0; PIECE_WORDS * WORD];
        let bytes = &mut bytes[..piece.len() * WORD];
        words::load(bytes, piece);
        checker.update(&bytes[skipped..]);
        skipped = 0;
    }
    checker.finish()
}

/// Words that are copied to the stack at a time.
const PIECE_WORDS: usize = 32;
