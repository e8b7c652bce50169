//! What lies inside one bucket, and how it is found. Nothing is changed here but a use time.
//!
//! A bucket is an array of slot words and a heap of packed records. A slot is one word, so an
//! entry appears and disappears with one store, and whatever no slot points at is free.

use std::sync::atomic::Ordering::Relaxed;

use crate::record::{self, Head, Key, KeyMatch};
use crate::segment::BucketRef;
use crate::words;

/// A slot word: 0 is empty, else position + 1 (16 bits), tag (8), use time (8).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) const EMPTY: Self = Self(0);

    pub(crate) fn new(at: usize, tag: u8, used: u8) -> Self {
        debug_assert!(at < usize::from(u16::MAX));
        Self((at as u32 + 1) | u32::from(tag) << 16 | u32::from(used) << 24)
    }

    pub(crate) fn from_word(word: u32) -> Self {
        Self(word)
    }

    pub(crate) fn word(self) -> u32 {
        self.0
    }

    /// First word of the record; `None` for an empty slot.
    pub(crate) fn at(self) -> Option<usize> {
        (self.0 & 0xffff).checked_sub(1).map(|at| at as usize)
    }

    pub(crate) fn tag(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub(crate) fn used(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub(crate) fn moved_to(self, at: usize) -> Self {
        Self::new(at, self.tag(), self.used())
    }
}

/// A record that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) slot: usize,
    pub(crate) at: usize,
    pub(crate) head: Head,
}

/// The outcome of a search.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Found {
    Entry(Entry),
    /// The ID is there, under another context only.
    OtherContext,
    Absent,
}

impl<'a> BucketRef<'a> {
    /// Searches for a key. Bounded by the slots, whatever they hold.
    pub(crate) fn find(self, tag: u8, key: &Key) -> Found {
        let mut found = Found::Absent;
        for index in 0..self.slots.len() {
            let slot = self.slot(index);
            if slot.tag() != tag {
                continue;
            }
            let Some(entry) = self.entry(index, slot) else { continue };
            match record::compare_key(self.records, entry.at, &entry.head, key) {
                KeyMatch::Same => return Found::Entry(entry),
                KeyMatch::OtherContext => found = Found::OtherContext,
                KeyMatch::Other => {}
            }
        }
        found
    }

    /// All entries, in the order of their slots.
    pub(crate) fn entries(self) -> impl Iterator<Item = Entry> + use<'a> {
        (0..self.slots.len()).filter_map(move |index| self.entry(index, self.slot(index)))
    }

    /// Slots in use.
    pub(crate) fn len(self) -> usize {
        self.slots.iter().filter(|slot| slot.load(Relaxed) != Slot::EMPTY.word()).count()
    }

    pub(crate) fn slot(self, index: usize) -> Slot {
        Slot::from_word(self.slots[index].load(Relaxed))
    }

    /// The entry of a slot, if its record can lie in this bucket.
    pub(crate) fn entry(self, slot_index: usize, slot: Slot) -> Option<Entry> {
        let at = slot.at()?;
        let head = Head::load(self.records, at).filter(|h| h.payload_len <= self.max_session)?;
        Some(Entry { slot: slot_index, at, head })
    }

    /// Notes the use of an entry: one store, and only when the coarse clock has moved on.
    pub(crate) fn touch(self, entry: &Entry, tick: u8) {
        let slot = self.slot(entry.slot);
        if slot.used() != tick {
            self.slots[entry.slot].store(Slot::new(entry.at, slot.tag(), tick).word(), Relaxed);
        }
    }

    /// Appends the record of `entry` to private bytes that have the room.
    pub(crate) fn copy_out(self, entry: &Entry, bytes: &mut Vec<u8>) {
        words::append(bytes, &self.records[entry.at..entry.at + entry.head.words()]);
    }
}
