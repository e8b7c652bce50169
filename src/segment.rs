//! The segment: a mapping that was checked once, and its parts as typed references. The second
//! room where `unsafe` lives: raw memory goes in, references to structs of atomics come out.
#![allow(unsafe_code)]

use std::fs::File;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd};
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::geometry::{Geometry, HeaderBytes};
use crate::layout::{
    BucketHeader, EventSlot, FINGERPRINT, HEADER_FIELDS_BYTES, Header, LAYOUT_VERSION, MAGIC,
    MemberLine, STATE_READY,
};
use crate::session::now_secs;
use crate::sys::map::Mapping;
use crate::sys::process;
use crate::words::WORD;

/// A mapped segment of checked geometry.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Invariant: mapped for `geometry.total_bytes`, the file's whole length, and never moved.
    map: Mapping,
    file: File,
    geometry: Geometry,
}

/// One bucket, in a segment or in a private image of one: plain references to atomics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketRef<'a> {
    pub(crate) header: &'a BucketHeader,
    /// Records from the start, slots from the end.
    pub(crate) body: &'a [AtomicU64],
    /// The most slots.
    pub(crate) max_slots: usize,
    /// Bytes of the largest session; a record that says it is larger is none.
    pub(crate) max_session: usize,
}

impl Segment {
    /// A view of `file`, whose length and header were found to be those of `geometry`.
    pub(crate) fn map(file: File, geometry: Geometry, read_only: bool) -> std::io::Result<Self> {
        let len = usize::try_from(geometry.total_bytes).expect("usize has 64 bits");
        let map = Mapping::new(&file, len, read_only)?;
        Ok(Self { map, file, geometry })
    }

    /// Writes the header of a new segment into zeroed pages, the ready mark last. All zeroes is
    /// an empty bucket and a free member line, so there is nothing else to write.
    pub(crate) fn initialise(&self) -> std::io::Result<()> {
        let (pid_namespace, boot_id) = (process::pid_namespace()?, process::boot_id()?);
        let (header, geometry) = (self.header(), &self.geometry);
        header.magic.store(MAGIC, Relaxed);
        header.layout_version.store(LAYOUT_VERSION, Relaxed);
        header.fingerprint.store(FINGERPRINT, Relaxed);
        header.total_bytes.store(geometry.total_bytes, Relaxed);
        header.members_offset.store(geometry.members_offset, Relaxed);
        header.buckets_offset.store(geometry.buckets_offset, Relaxed);
        header.bucket_count.store(geometry.bucket_count, Relaxed);
        header.bucket_bytes.store(geometry.bucket_bytes, Relaxed);
        header.bucket_slots.store(geometry.bucket_slots, Relaxed);
        header.member_count.store(geometry.member_count, Relaxed);
        header.events_offset.store(geometry.events_offset, Relaxed);
        header.event_slots.store(geometry.event_slots, Relaxed);
        header.max_session_bytes.store(geometry.max_session, Relaxed);
        header.lifetime_secs.store(geometry.lifetime_secs, Relaxed);
        header.use_tick_secs.store(geometry.use_tick_secs, Relaxed);
        header.seed.store(geometry.seed, Relaxed);
        header.created_unix_secs.store(now_secs().into(), Relaxed);
        header.creator_pid.store(std::process::id(), Relaxed);
        header.sealing.store(geometry.sealing, Relaxed);
        header.pid_namespace.store(pid_namespace, Relaxed);
        for (word, value) in header.boot_id.iter().zip(boot_id) {
            word.store(value, Relaxed);
        }
        header.next_member.store(1, Relaxed);
        header.state.store(STATE_READY, Release);
        header.check.store(self.header_bytes().check(), Release);
        Ok(())
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.map
    }

    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the mapping is page aligned, at least a header long (Geometry::plan), and lives
        // as long as `self`; a Header is made of atomics, for which every bit pattern is valid.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }

    /// The process table.
    pub(crate) fn members(&self) -> &[MemberLine] {
        let lines = self.at(self.geometry.members_offset).cast::<MemberLine>();
        // SAFETY: `member_count` lines lie between `members_offset` and `buckets_offset`, both
        // inside the mapping and multiples of a page (Geometry::plan); lines are made of atomics.
        unsafe { slice::from_raw_parts(lines, self.geometry.member_count as usize) }
    }

    /// The events of line `index` of the process table, which is less than the member count.
    pub(crate) fn events(&self, index: usize) -> &[EventSlot] {
        assert!(index < self.geometry.member_count as usize);
        let count = self.geometry.event_slots as usize;
        if count == 0 {
            return &[];
        }
        let offset = index * count * size_of::<EventSlot>();
        let first = self.at(self.geometry.events_offset + offset as u64).cast::<EventSlot>();
        // SAFETY: `index` is in range, so its `event_slots` slots lie between `events_offset` and
        // `buckets_offset`, inside the mapping; `events_offset` is a multiple of a page, and slots
        // are made of atomics.
        unsafe { slice::from_raw_parts(first, count) }
    }

    /// Bucket `index`, which is less than the bucket count.
    pub(crate) fn bucket(&self, index: usize) -> BucketRef<'_> {
        assert!((index as u64) < self.geometry.bucket_count);
        let bytes = u64::from(self.geometry.bucket_bytes);
        let start = self.at(self.geometry.buckets_offset + index as u64 * bytes);
        // SAFETY: `index` is in range, so the whole bucket lies inside the mapping; bucket starts
        // are multiples of a page.
        unsafe { bucket_at(start, &self.geometry) }
    }

    /// A copy of the header as it stands in the mapping.
    fn header_bytes(&self) -> HeaderBytes {
        let words = self.map.as_ptr().cast::<AtomicU64>();
        // SAFETY: the header is made of aligned atomics of 4 and 8 bytes, and nobody else knows
        // the segment yet, so reading them as words of 8 races with nothing.
        let words = unsafe { slice::from_raw_parts(words, HEADER_FIELDS_BYTES / WORD) };
        let mut bytes = [0; HEADER_FIELDS_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(WORD).zip(words) {
            chunk.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        HeaderBytes(bytes)
    }

    fn at(&self, offset: u64) -> *mut u8 {
        let offset = usize::try_from(offset).expect("usize has 64 bits");
        assert!(offset < self.map.len());
        // SAFETY: the offset is inside the mapping, which is one allocated object.
        unsafe { self.map.as_ptr().add(offset) }
    }
}

/// Private memory in the shape of a bucket, for a copy that is looked at in peace.
#[derive(Debug)]
pub(crate) struct BucketImage {
    words: Box<[AtomicU64]>,
    geometry: Geometry,
}

impl BucketImage {
    pub(crate) fn new(geometry: &Geometry) -> Self {
        // 64-byte alignment for the header: room to move the start.
        let words = geometry.bucket_bytes as usize / WORD + size_of::<BucketHeader>() / WORD;
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), geometry: *geometry }
    }

    pub(crate) fn bucket(&self) -> BucketRef<'_> {
        let start = self.words.as_ptr().cast_mut().cast::<u8>();
        let skip = start.align_offset(align_of::<BucketHeader>());
        assert!(skip <= size_of::<BucketHeader>());
        // SAFETY: the allocation is larger than a bucket by the most that alignment can skip.
        let start = unsafe { start.add(skip) };
        // SAFETY: `start` is aligned, and a whole bucket of atomics follows in the allocation.
        unsafe { bucket_at(start, &self.geometry) }
    }
}

impl Drop for BucketImage {
    /// The image holds sessions.
    fn drop(&mut self) {
        crate::words::wipe(&self.words);
    }
}

/// The parts of the bucket at `start`.
///
/// # Safety
///
/// `start` is aligned to 64 bytes, and `geometry.bucket_bytes` bytes from it on are valid for
/// `'a`, hold initialised memory, and are only ever accessed as these atomics.
unsafe fn bucket_at<'a>(start: *mut u8, geometry: &Geometry) -> BucketRef<'a> {
    // SAFETY: the caller's promise; the header is the bucket's first part.
    let header = unsafe { &*start.cast::<BucketHeader>() };
    // SAFETY: the body lies behind the header, whose size is a multiple of 8.
    let body = unsafe { start.add(size_of::<BucketHeader>()) }.cast::<AtomicU64>();
    // SAFETY: `body_words` words lie between the header and the end of the bucket (Geometry).
    let body = unsafe { slice::from_raw_parts(body, geometry.body_words()) };
    let (max_slots, max_session) = (geometry.bucket_slots as usize, geometry.max_session as usize);
    BucketRef { header, body, max_slots, max_session }
}
