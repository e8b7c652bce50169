//! The segment as the bytes of its file have it, by shm-layout.md and not by the library.

use std::ops::Range;

const BUCKETS_OFFSET_AT: usize = 40;
const MEMBERS_LOCK_AT: usize = 192;
const RING_LOCK_AT: usize = 4096 + 8;
const BUCKET_HEADER_BYTES: usize = 128;
const RECORD_HEAD_WORDS: usize = 7;
const OWNER_DIED: u32 = 0x4000_0000;
const TID_MASK: u32 = 0x3fff_ffff;

/// A copy of a segment of one bucket.
#[derive(Debug, Clone)]
pub(crate) struct Image(pub(crate) Vec<u8>);

/// What a dead process has left of a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Free,
    /// The kernel has cleared the owner's ID and says that it died.
    Marked,
    /// Nobody will ever release it.
    Stuck,
}

impl Image {
    pub(crate) fn locks(&self) -> [Lock; 3] {
        [self.bucket_lock(), self.lock(MEMBERS_LOCK_AT), self.lock(RING_LOCK_AT)]
    }

    pub(crate) fn bucket_lock(&self) -> Lock {
        self.lock(self.bucket())
    }

    pub(crate) fn ring_lock(&self) -> Lock {
        self.lock(RING_LOCK_AT)
    }

    pub(crate) fn ring_epoch(&self) -> u64 {
        self.u64(4096)
    }

    pub(crate) fn is_being_changed(&self) -> bool {
        self.u32(self.bucket() + 4) & 1 == 1
    }

    /// The slot whose record is being moved over itself, and how many words of it are done.
    pub(crate) fn journal(&self) -> Option<(u32, u32)> {
        let slot = self.u32(self.bucket() + 16).checked_sub(1)?;
        Some((slot, self.u32(self.bucket() + 32)))
    }

    pub(crate) fn used_slots(&self) -> usize {
        (0..self.slots()).filter(|index| self.slot(*index) != 0).count()
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = u64> {
        self.0.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
    }

    /// What must hold in the bucket while nobody has its lock (shm-layout.md, I9).
    pub(crate) fn check_at_rest(&self) {
        assert!(!self.is_being_changed() && self.journal().is_none(), "still being changed");
        let records = self.record_words();
        let slots = self.slots();
        assert!(slots.is_multiple_of(2) || self.slot(slots) == 0, "a slot that is not counted");
        let mut used = vec![false; records.len()];
        for index in 0..self.slots() {
            let slot = self.slot(index);
            let Some(at) = ((slot & 0x1fff) as usize).checked_sub(1) else {
                assert_eq!(slot, 0, "slot {index} has a use time but no record");
                continue;
            };
            let payload_len = self.u64((records.start + at + 1) * 8) as u16;
            let words = RECORD_HEAD_WORDS + usize::from(payload_len).div_ceil(8);
            for word in &mut used[at..at + words] {
                assert!(!std::mem::replace(word, true), "two records in one place");
            }
        }
        let end = self.u32(self.bucket() + 8) as usize;
        assert!(used[end..].iter().all(|used| !used), "a record behind the end");
        for (word, _) in records.zip(used).filter(|(_, used)| !used) {
            assert_eq!(self.u64(word * 8), 0, "word {word} is in no record, but not wiped");
        }
    }

    fn record_words(&self) -> Range<usize> {
        (self.bucket() + BUCKET_HEADER_BYTES) / 8..self.0.len() / 8 - self.slots().div_ceil(2)
    }

    fn slot(&self, index: usize) -> u32 {
        self.u32(self.0.len() - 8 * (index / 2 + 1) + index % 2 * 4)
    }

    fn bucket(&self) -> usize {
        self.u64(BUCKETS_OFFSET_AT) as usize
    }

    fn slots(&self) -> usize {
        self.u32(self.bucket() + 12) as usize
    }

    fn lock(&self, at: usize) -> Lock {
        match self.u32(at) {
            word if word & TID_MASK != 0 => Lock::Stuck,
            word if word & OWNER_DIED != 0 => Lock::Marked,
            _ => Lock::Free,
        }
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(*self.0[at..].first_chunk().expect("inside the segment"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(*self.0[at..].first_chunk().expect("inside the segment"))
    }
}
