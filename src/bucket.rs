//! What lies inside one bucket, and how it is found. Nothing is changed here but a use time.
//!
//! A bucket is a heap of records, from its start, and an array of slots that grows towards them
//! from its end, in the order in which the sessions came. Two slots share a word, and an entry
//! appears and disappears with one store; whatever no slot points at is free.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::geometry::slot_words;
use crate::layout::GHOSTS;
use crate::record::{self, Head, Key, KeyMatch};
use crate::segment::BucketRef;
use crate::words;

/// A slot word: 0 is empty, else position + 1 (13 bits), hits (3), tag (8), use time (8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) const EMPTY: Self = Self(0);

    /// The most hits that a slot can count: so many, or more.
    pub(crate) const HITS_MAX: u8 = 7;

    /// The slot of a record that was never looked up.
    pub(crate) fn new(at: usize, tag: u8, used: u8) -> Self {
        debug_assert!(at < AT_MASK as usize);
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
        (self.0 & AT_MASK).checked_sub(1).map(|at| at as usize)
    }

    pub(crate) fn hits(self) -> u8 {
        (self.0 >> HITS_SHIFT) as u8 & Self::HITS_MAX
    }

    pub(crate) fn tag(self) -> u8 {
        (self.0 >> 16) as u8
    }

    pub(crate) fn used(self) -> u8 {
        (self.0 >> 24) as u8
    }

    pub(crate) fn moved_to(self, at: usize) -> Self {
        debug_assert!(at < AT_MASK as usize);
        Self(self.0 & !AT_MASK | (at as u32 + 1))
    }

    /// The slot after another hit, at `tick`.
    pub(crate) fn hit_at(self, tick: u8) -> Self {
        let hits = u32::from(self.hits().min(Self::HITS_MAX - 1) + 1);
        let kept = self.0 & (AT_MASK | 0xff << 16);
        Self(kept | hits << HITS_SHIFT | u32::from(tick) << 24)
    }
}

/// Where the tag of the first of two slots lies, and 1 in both tags.
const TAG_MASK: u64 = 0xff << 16;
const TAGS: u64 = 1 << 16 | 1 << 48;
const AT_MASK: u32 = (1 << HITS_SHIFT) - 1;
const HITS_SHIFT: u32 = 13;

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
        let count = self.slot_count();
        let wanted = u64::from(tag) * TAGS;
        // Two slots at a time, and most of them belong to others.
        for pair in 0..slot_words(count) {
            let slots = self.slot_place(2 * pair).0.load(Relaxed);
            let differing = slots ^ wanted;
            for (half, mask) in [TAG_MASK, TAG_MASK << u32::BITS].into_iter().enumerate() {
                let index = 2 * pair + half;
                if differing & mask != 0 || index >= count {
                    continue;
                }
                let slot = Slot::from_word((slots >> (half as u32 * u32::BITS)) as u32);
                let Some(entry) = self.entry(index, slot) else { continue };
                match record::compare_key(self.body, entry.at, &entry.head, key) {
                    KeyMatch::Same => return Found::Entry(entry),
                    KeyMatch::OtherContext => found = Found::OtherContext,
                    KeyMatch::Other => {}
                }
            }
        }
        found
    }

    /// All entries, the oldest first.
    pub(crate) fn entries(self) -> impl Iterator<Item = Entry> + use<'a> {
        self.entries_of(self.slot_count())
    }

    /// The entries of the first slots, so many of them.
    pub(crate) fn entries_of(self, slots: usize) -> impl Iterator<Item = Entry> + use<'a> {
        (0..slots).filter_map(move |index| self.entry(index, self.slot(index)))
    }

    /// Slots in use.
    pub(crate) fn len(self) -> usize {
        (0..self.slot_count()).filter(|index| self.slot(*index) != Slot::EMPTY).count()
    }

    /// Slots, the empty ones among them too.
    #[inline]
    pub(crate) fn slot_count(self) -> usize {
        (self.header.slot_count.load(Relaxed) as usize).min(self.max_slots)
    }

    /// The word of the slot, and the bits before it there.
    #[inline]
    pub(crate) fn slot_place(self, index: usize) -> (&'a AtomicU64, u32) {
        (&self.body[self.body.len() - 1 - index / 2], index as u32 % 2 * u32::BITS)
    }

    #[inline]
    pub(crate) fn slot(self, index: usize) -> Slot {
        let (word, shift) = self.slot_place(index);
        Slot::from_word((word.load(Relaxed) >> shift) as u32)
    }

    /// The words before the slots, if there are so many of these.
    pub(crate) fn records(self, slots: usize) -> &'a [AtomicU64] {
        &self.body[..self.body.len() - slot_words(slots)]
    }

    /// The entry of a slot, if its record can lie in this bucket.
    pub(crate) fn entry(self, slot_index: usize, slot: Slot) -> Option<Entry> {
        let at = slot.at()?;
        let records = self.records(slot_index + 1);
        let head = Head::load(records, at).filter(|h| h.payload_len <= self.max_session)?;
        Some(Entry { slot: slot_index, at, head })
    }

    /// Notes the use of an entry, with the lock or without it: one exchange, and only while there
    /// is something to note. If the word has changed meanwhile, the owner's change is the one that
    /// counts.
    ///
    /// Without the lock the word may be another session's bytes by now: slots were packed, and a
    /// record came to lie there. `is_at_rest` tells whether nobody has changed the bucket since
    /// before the entry was found. It is asked behind the load, so what was loaded is the word of
    /// the entry's slot. Behind the question the word may still become bytes of a record, but the
    /// exchange compares all of it: it misleads only if these are, bit for bit, the two slots that
    /// lay there, and came between two instructions. Then that session fails its check, and is a
    /// miss. If the word holds slots and is the same, they count a hit of another session of the
    /// same position, tag and time at most.
    pub(crate) fn touch(self, entry: &Entry, tick: u8, is_at_rest: impl FnOnce() -> bool) {
        let (word, shift) = self.slot_place(entry.slot);
        let before = word.load(Relaxed);
        let slot = Slot::from_word((before >> shift) as u32);
        let touched = slot.hit_at(tick);
        if touched != slot && slot.at() == Some(entry.at) && is_at_rest() {
            let after = before ^ u64::from(slot.word() ^ touched.word()) << shift;
            let _ = word.compare_exchange(before, after, Relaxed, Relaxed);
        }
    }

    /// Remembers a session that has to go for others.
    pub(crate) fn remember(self, ghost: u16) {
        let evictions = self.header.evictions.load(Relaxed);
        self.header.ghosts[evictions as usize % GHOSTS].store(ghost, Relaxed);
        self.header.evictions.store(evictions.wrapping_add(1), Relaxed);
    }

    /// How many sessions were evicted after this one, if it is remembered.
    pub(crate) fn evicted_since(self, ghost: u16) -> Option<usize> {
        let at = self.header.ghosts.iter().position(|seen| seen.load(Relaxed) == ghost)?;
        let next = self.header.evictions.load(Relaxed) as usize % GHOSTS;
        Some((next + GHOSTS - 1 - at) % GHOSTS)
    }

    /// Appends the record of `entry` to private bytes that have the room. Without the lock it may
    /// be a mixture: its check tells.
    pub(crate) fn copy_out(self, entry: &Entry, bytes: &mut Vec<u8>) {
        words::append(bytes, &self.body[entry.at..entry.at + entry.head.words()]);
    }
}
