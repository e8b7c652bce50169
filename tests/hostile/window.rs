//! A second mapping of a segment: every word of it, past the library and all of its rules.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use memmap2::MmapRaw;

/// Words of 4 bytes: what this file counts in.
pub(crate) const HEADER_WORDS: usize = 48;
pub(crate) const MEMBERS_LOCK: usize = 48;
pub(crate) const RETIRED: Range<usize> = 64..336;
pub(crate) const KEYS: usize = 1024;
pub(crate) const KEYS_LOCK: usize = KEYS + 2;
pub(crate) const KEY_COPIES: usize = KEYS + 32;
pub(crate) const KEY_COPY_WORDS: usize = 1056;
pub(crate) const MEMBERS: usize = 4096;
pub(crate) const MEMBER_WORDS: usize = 160;
pub(crate) const BUCKET_WORDS: usize = 8192;
pub(crate) const BUCKET_HEADER_WORDS: usize = 32;
/// In a bucket's header.
pub(crate) const SLOT_COUNT: usize = 3;
/// From a bucket's start to its records.
pub(crate) const RECORDS: usize = BUCKET_HEADER_WORDS;
pub(crate) const RECORD_HEAD_WORDS: usize = 14;
/// More than these buckets ever have.
pub(crate) const SLOTS: usize = 40;

/// The words of a segment of buckets of 32 KiB.
#[derive(Debug)]
pub(crate) struct Window {
    map: MmapRaw,
    /// First word of the first bucket.
    pub(crate) buckets: usize,
    pub(crate) bucket_count: usize,
}

impl Window {
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Self {
        let map = MmapRaw::map_raw(&fd).expect("a mapping");
        let mut window = Self { map, buckets: 0, bucket_count: 0 };
        window.buckets = window.get(10) as usize / 4;
        window.bucket_count = window.get(12) as usize;
        assert_eq!(window.buckets + window.bucket_count * BUCKET_WORDS, window.len());
        window
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len() / 4
    }

    pub(crate) fn word(&self, at: usize) -> &AtomicU32 {
        assert!(at < self.len());
        // SAFETY: inside the mapping, as was just asserted.
        let word = unsafe { self.map.as_mut_ptr().cast::<u32>().add(at) };
        // SAFETY: aligned, mapped as long as `self` lives, and everybody else uses atomics, too.
        unsafe { AtomicU32::from_ptr(word) }
    }

    pub(crate) fn get(&self, at: usize) -> u32 {
        self.word(at).load(Relaxed)
    }

    pub(crate) fn set(&self, at: usize, value: u32) {
        self.word(at).store(value, Relaxed);
    }

    pub(crate) fn set_u64(&self, at: usize, value: u64) {
        self.set(at, value as u32);
        self.set(at + 1, (value >> 32) as u32);
    }

    pub(crate) fn get_u64(&self, at: usize) -> u64 {
        u64::from(self.get(at)) | u64::from(self.get(at + 1)) << 32
    }

    pub(crate) fn bytes(&self, at: usize, words: usize) -> Vec<u8> {
        let mut bytes = vec![0; words * 4];
        for (bytes, at) in bytes.as_chunks_mut().0.iter_mut().zip(at..) {
            *bytes = self.get(at).to_ne_bytes();
        }
        bytes
    }

    /// First word of a bucket, whatever number it has.
    pub(crate) fn bucket(&self, index: usize) -> usize {
        self.buckets + index % self.bucket_count * BUCKET_WORDS
    }

    /// The `nth` slot of a bucket, whether it counts or not: they come from its end.
    pub(crate) fn slot(&self, bucket: usize, nth: usize) -> usize {
        let nth = nth % SLOTS;
        self.bucket(bucket) + BUCKET_WORDS - 2 * (nth / 2 + 1) + nth % 2
    }

    /// The `nth` slot of a bucket that is not empty; the `nth` of all if there is none.
    pub(crate) fn used_slot(&self, bucket: usize, nth: usize) -> usize {
        let used = || (0..SLOTS).map(|nth| self.slot(bucket, nth)).filter(|at| self.get(*at) != 0);
        let count = used().count().max(1);
        used().nth(nth % count).unwrap_or(self.slot(bucket, nth))
    }

    /// First word of the record that a slot of the bucket points at, and its length, as far as it
    /// lies in the bucket.
    pub(crate) fn record(&self, bucket: usize, slot: usize) -> (usize, usize) {
        let (first, end) = (self.bucket(bucket) + RECORDS, self.bucket(bucket) + BUCKET_WORDS);
        let at = first + (self.get(slot) as usize & 0x1fff).saturating_sub(1) * 2;
        let at = at.min(end - RECORD_HEAD_WORDS);
        let payload = (self.get(at + 2) as usize & 0xffff).div_ceil(8) * 2;
        (at, (RECORD_HEAD_WORDS + payload).min(end - at))
    }

    /// The whole segment as it is now.
    pub(crate) fn image(&self) -> Vec<u8> {
        self.bytes(0, self.len())
    }

    /// Puts an image back. Nobody else may use the segment meanwhile.
    pub(crate) fn restore(&self, image: &[u8]) {
        assert_eq!(image.len(), self.map.len());
        let (from, to) = (image.as_ptr(), self.map.as_mut_ptr());
        // SAFETY: both are that long, and the image is private memory; no other thread or process
        // uses the segment, so plain stores race with nothing.
        unsafe { to.copy_from_nonoverlapping(from, image.len()) };
    }
}
