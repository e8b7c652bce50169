//! Room in a full bucket: what has expired goes, and then those who have to; the record takes a
//! place that they left, or neighbours close up for it.

use std::mem;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Writer;
use crate::bucket::Slot;
use crate::departures::Departures;
use crate::geometry::slot_words;
use crate::hook::Removal;
use crate::places::{Order, Place, Places};
use crate::step::kill_point;
use crate::victims::{Need, Victims};
use crate::words;

impl Writer<'_> {
    /// Makes room for a record of `words` and for its slot; returns the record's first word.
    pub(super) fn make_room(&self, words: usize, now: u32, departures: &mut Departures) -> usize {
        let mut hole = Hole { words, best: None };
        let mut places = Places::new();
        self.list_live(now, &mut places, &mut hole, departures);
        let (body, max_slots) = (self.bucket.body.len(), self.bucket.max_slots);
        let need = Need { words, body, max_slots };
        let mut victims = Victims::new();
        victims.choose(&places, &need, self.geometry.use_tick(now));
        for index in victims.indices() {
            self.evict(&places.as_slice()[index], &mut hole, departures);
        }
        let left = places.as_slice().len() - victims.indices().len();
        let limit = self.bucket.records(left + 1).len();
        let at = hole.place(limit).unwrap_or_else(|| {
            let order = places.by_position(victims.indices());
            order.gap(words, limit).unwrap_or_else(|| {
                let range = order.to_close_up(words, limit);
                self.close_up(&order, range)
            })
        });
        self.pack_slots();
        at
    }

    /// The entries, the oldest first. Those that have expired are removed, and slots whose record
    /// cannot lie in this bucket are emptied: nobody would find or evict them.
    fn list_live(
        &self,
        now: u32,
        places: &mut Places,
        hole: &mut Hole,
        departures: &mut Departures,
    ) {
        for index in 0..self.bucket.slot_count() {
            let slot = self.bucket.slot(index);
            match self.bucket.entry(index, slot) {
                Some(entry) if entry.head.expiry.passed_at(now) => {
                    self.remove(&entry, Removal::Expired, departures);
                    hole.offer(entry.at, entry.head.words());
                }
                Some(entry) => places.note(&entry, slot.used()),
                None if slot == Slot::EMPTY => {}
                None => self.set_slot(index, Slot::EMPTY),
            }
        }
    }

    fn evict(&self, place: &Place, hole: &mut Hole, departures: &mut Departures) {
        let slot = usize::from(place.slot);
        if let Some(entry) = self.bucket.entry(slot, self.bucket.slot(slot)) {
            self.remove(&entry, Removal::Evicted, departures);
            hole.offer(entry.at, entry.head.words());
        }
    }

    /// Closes the gaps between the records of `range`, towards the bucket's start; returns the
    /// first word behind the last of them, which is free up to the record that follows.
    fn close_up(&self, order: &Order<'_>, range: Range<usize>) -> usize {
        let places = order.places();
        let next = places.get(range.end).map(|place| usize::from(place.at));
        let mut end = order.end_before(range.start);
        let mut source_end = end;
        for place in &places[range] {
            let (from, words) = (usize::from(place.at), usize::from(place.words));
            if from < source_end {
                // Two records in one place: no writer did that, and a move would make two of one.
                self.set_slot(place.slot.into(), Slot::EMPTY);
                continue;
            }
            source_end = from + words;
            if from > end {
                self.move_record(place.slot.into(), from, end, words);
            }
            end += words;
        }
        let old_end = self.end().min(self.bucket.records(self.bucket.slot_count()).len());
        words::wipe(&self.bucket.body[end..next.unwrap_or(old_end).max(end)]);
        if next.is_none() {
            self.set_end(end);
        }
        end
    }

    /// Closes the gaps between slots; their order stays.
    ///
    /// Each word of two slots is stored once, and what it held is in it again or in one before it:
    /// a death in between leaves entries twice, of which a repair keeps one, and loses none.
    fn pack_slots(&self) {
        let count = self.bucket.slot_count();
        let (mut packed, mut pair) = (0, 0);
        for index in 0..count {
            let slot = self.bucket.slot(index);
            if slot == Slot::EMPTY {
                continue;
            }
            let (word, shift) = self.bucket.slot_place(packed);
            pair |= u64::from(slot.word()) << shift;
            packed += 1;
            if packed.is_multiple_of(2) {
                set_slots(word, mem::take(&mut pair));
            }
        }
        for index in packed / 2..slot_words(count) {
            set_slots(self.bucket.slot_place(2 * index).0, mem::take(&mut pair));
        }
        self.set_slot_count(packed);
    }
}

/// Stores two slots at once. Those before the first gap are as they were.
fn set_slots(word: &AtomicU64, pair: u64) {
    if word.load(Relaxed) != pair {
        word.store(pair, Relaxed);
        kill_point();
    }
}

/// The smallest place that somebody left and that is enough.
struct Hole {
    /// What is enough.
    words: usize,
    /// Words and the first of them.
    best: Option<(usize, usize)>,
}

impl Hole {
    fn offer(&mut self, at: usize, words: usize) {
        if words >= self.words && self.best.is_none_or(|(smallest, _)| words < smallest) {
            self.best = Some((words, at));
        }
    }

    /// Where it begins, if the record ends before the word `limit` there.
    fn place(&self, limit: usize) -> Option<usize> {
        self.best.map(|(_, at)| at).filter(|at| at + self.words <= limit)
    }
}
