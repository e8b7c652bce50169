//! What is changed inside one bucket, under its lock: insert, take, remove, move.
//!
//! All changes run in an order in which a death after any store leaves every other record right:
//!
//! * a record is written into free space before its slot is;
//! * a slot is cleared before its record is copied out (take) or wiped;
//! * a record is moved under a journal, with which a repair can finish the move.

use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::fence;

use crate::bucket::{Entry, Slot};
use crate::departures::Departures;
use crate::fault::Fault;
use crate::geometry::Geometry;
use crate::hook::Removal;
use crate::record::Staged;
use crate::segment::BucketRef;
use crate::step::{kill_point, word_done};
use crate::words;

mod room;

/// A bucket being changed: its generation is odd until [`finish`](Self::finish). A writer that
/// dies or panics before leaves it odd, and whoever locks the bucket next repairs it.
pub(crate) struct Writer<'a> {
    pub(crate) bucket: BucketRef<'a>,
    pub(crate) geometry: &'a Geometry,
}

impl<'a> Writer<'a> {
    /// Begins to change a bucket whose lock is held.
    pub(crate) fn begin(bucket: BucketRef<'a>, geometry: &'a Geometry) -> Self {
        let generation = &bucket.header.generation;
        generation.store(generation.load(Relaxed) | 1, Relaxed);
        // A reader that sees one of our stores sees the odd generation too.
        fence(Release);
        Self { bucket, geometry }
    }

    /// The bucket is consistent again.
    pub(crate) fn finish(self) {
        let generation = &self.bucket.header.generation;
        generation.store((generation.load(Relaxed) | 1).wrapping_add(1), Release);
    }

    /// Stores a record whose key is not there. Evicts what has to go.
    pub(crate) fn insert(&self, staged: &Staged, tag: u8, now: u32, departures: &mut Departures) {
        let words = staged.head.words();
        let at =
            self.room_at_the_end(words).unwrap_or_else(|| self.make_room(words, now, departures));
        let slot = Slot::new(at, tag, self.geometry.use_tick(now));
        let index = self.bucket.slot_count().min(self.bucket.max_slots - 1);
        if Fault::SlotBeforeRecord.is_on() {
            self.set_slot(index, slot);
            self.set_slot_count(index + 1);
        }
        words::store(&self.bucket.body[at..at + words], &staged.bytes);
        self.set_end(self.end().max(at + words));
        self.set_slot(index, slot);
        self.set_slot_count(index + 1);
    }

    /// The first word behind the last record, if a record of `words` and one more slot fit there.
    fn room_at_the_end(&self, words: usize) -> Option<usize> {
        let (count, end) = (self.bucket.slot_count(), self.end());
        let fits =
            count < self.bucket.max_slots && end + words <= self.bucket.records(count + 1).len();
        fits.then_some(end)
    }

    /// Takes an entry's slot away, then wipes its bytes.
    pub(crate) fn remove(&self, entry: &Entry, reason: Removal, departures: &mut Departures) {
        let digest = departures.note(self.bucket, entry, reason);
        self.set_slot(entry.slot, Slot::EMPTY);
        if reason == Removal::Evicted {
            self.bucket.remember(digest.ghost());
        }
        self.wipe(entry);
    }

    /// Takes an entry's slot away, then copies its record out, then wipes it. A death in between
    /// loses the session; no death lets two callers have it.
    pub(crate) fn take(&self, entry: &Entry, bytes: &mut Vec<u8>, departures: &mut Departures) {
        departures.note(self.bucket, entry, Removal::Taken);
        if Fault::CopyBeforeTombstone.is_on() {
            self.bucket.copy_out(entry, bytes);
            self.set_slot(entry.slot, Slot::EMPTY);
        } else {
            self.set_slot(entry.slot, Slot::EMPTY);
            self.bucket.copy_out(entry, bytes);
        }
        self.wipe(entry);
    }

    fn wipe(&self, entry: &Entry) {
        let end = entry.at + entry.head.words();
        words::wipe(&self.bucket.body[entry.at..end]);
        if self.end() == end {
            self.set_end(entry.at);
        }
        if entry.slot + 1 == self.bucket.slot_count() {
            self.trim_slots(entry.slot);
        }
    }

    /// Forgets the empty slots behind the last session; and, where there is none, the place where
    /// records ended, so that a bucket that was cleared is one that is empty.
    fn trim_slots(&self, count: usize) {
        let is_used = |index: &usize| self.bucket.slot(*index) != Slot::EMPTY;
        let count = (0..count).rev().find(is_used).map_or(0, |last| last + 1);
        self.set_slot_count(count);
        if count == 0 {
            self.set_end(0);
        }
    }

    /// Empties the slots whose record cannot lie in this bucket; says how many. No writer wrote
    /// those: nobody finds them, removes them, or evicts them.
    pub(crate) fn clear_impossible_slots(&self) -> u64 {
        let mut cleared = 0;
        for index in 0..self.bucket.slot_count() {
            let slot = self.bucket.slot(index);
            if slot != Slot::EMPTY && self.bucket.entry(index, slot).is_none() {
                self.set_slot(index, Slot::EMPTY);
                cleared += 1;
            }
        }
        cleared
    }

    /// Moves a record towards the bucket's start.
    fn move_record(&self, slot: usize, from: usize, to: usize, words: usize) {
        if from - to >= words || Fault::NoJournal.is_on() {
            // No overlap: until the slot changes, the old place is whole.
            self.copy_words(from, to, words);
            self.set_slot(slot, self.bucket.slot(slot).moved_to(to));
        } else {
            let header = self.bucket.header;
            header.move_from.store(from as u32, Relaxed);
            header.move_to.store(to as u32, Relaxed);
            header.move_words.store(words as u32, Relaxed);
            header.move_done.store(0, Relaxed);
            kill_point();
            header.move_slot.store(slot as u32 + 1, Relaxed);
            kill_point();
            self.finish_move(slot, from, to, words, 0);
        }
    }

    /// Goes on with a move over overlapping places, `done` words of which are there.
    ///
    /// It copies pieces as long as the distance of the two places: a piece overwrites only what
    /// the pieces before it have copied, so any piece can be copied again until the next begins.
    pub(crate) fn finish_move(
        &self,
        slot: usize,
        from: usize,
        to: usize,
        words: usize,
        done: usize,
    ) {
        let header = self.bucket.header;
        let mut done = done;
        while done < words {
            let piece = (from - to).min(words - done);
            self.copy_words(from + done, to + done, piece);
            done += piece;
            kill_point();
            header.move_done.store(done as u32, Relaxed);
            kill_point();
        }
        self.set_slot(slot, self.bucket.slot(slot).moved_to(to));
        header.move_slot.store(0, Relaxed);
        kill_point();
    }

    fn copy_words(&self, from: usize, to: usize, words: usize) {
        let body = self.bucket.body;
        for (target, source) in body[to..to + words].iter().zip(&body[from..from + words]) {
            target.store(source.load(Relaxed), Relaxed);
            word_done();
        }
    }

    /// Two slots share a word, and only the owner of the lock stores slots: a reader that notes a
    /// hit beside it loses its note.
    pub(crate) fn set_slot(&self, index: usize, slot: Slot) {
        let (word, shift) = self.bucket.slot_place(index);
        let other = word.load(Relaxed) & !(u64::from(u32::MAX) << shift);
        kill_point();
        word.store(other | u64::from(slot.word()) << shift, Relaxed);
        kill_point();
    }

    pub(crate) fn set_slot_count(&self, count: usize) {
        self.bucket.header.slot_count.store(count as u32, Relaxed);
        kill_point();
    }

    /// First word behind the last record, kept inside the bucket whatever is stored.
    fn end(&self) -> usize {
        (self.bucket.header.records_end.load(Relaxed) as usize).min(self.bucket.body.len())
    }

    pub(crate) fn set_end(&self, end: usize) {
        self.bucket.header.records_end.store(end as u32, Relaxed);
    }
}

#[cfg(test)]
mod tests;
