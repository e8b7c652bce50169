//! A segment of one or a few buckets, and its bytes as whoever got hold of the file has them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use shmtls::{Cache, Options, SealingKey, SessionId};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Where the buckets begin in the segments of [`options`], and the records in a bucket.
pub(crate) const BUCKETS_AT: usize = 16_384 + 4096;
const BUCKET: usize = 32 << 10;
const RECORDS_AT: usize = 128;
const SEED_AT: usize = 80;
/// Bytes of a record before its payload.
pub(crate) const HEAD: usize = 56;
/// Bytes of a seal: a salt and a tag.
pub(crate) const SEAL: usize = 32;

pub(crate) fn key() -> SealingKey {
    SealingKey::random().expect("a key")
}

/// Segments of so many buckets.
pub(crate) fn options(buckets: usize) -> Options {
    Options::new().processes(6).events(0).size((BUCKETS_AT + buckets * BUCKET) as u64)
}

pub(crate) fn sealed() -> Cache {
    options(1).sealed(&key()).create_memfd().expect("a sealed segment")
}

/// The segment's file, as it is for somebody who has no key and can compute every check.
pub(crate) struct Intruder(File);

impl Intruder {
    pub(crate) fn at(cache: &Cache) -> Self {
        Self(File::from(cache.fd().try_clone_to_owned().expect("a descriptor")))
    }

    pub(crate) fn all(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.metadata().expect("a length").len() as usize];
        self.0.read_exact_at(&mut bytes, 0).expect("readable");
        bytes
    }

    pub(crate) fn write(&self, at: usize, bytes: &[u8]) {
        self.0.write_all_at(bytes, at as u64).expect("writable");
    }

    pub(crate) fn bucket(&self, index: usize) -> Vec<u8> {
        self.all()[BUCKETS_AT + index * BUCKET..][..BUCKET].to_vec()
    }

    pub(crate) fn write_bucket(&self, index: usize, bytes: &[u8]) {
        self.write(BUCKETS_AT + index * BUCKET, bytes);
    }

    /// Where the record of this ID begins; the first, if it is there under several contexts.
    pub(crate) fn find(&self, id: &SessionId) -> usize {
        let all = self.all();
        let is_there = |at: &usize| all[*at + 24..].starts_with(id.as_bytes());
        let words = (BUCKETS_AT + RECORDS_AT..all.len() - HEAD).step_by(8);
        words.into_iter().find(is_there).expect("a record of this ID")
    }

    /// The records whose padded ID is one of those.
    pub(crate) fn records_of(&self, is_one: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
        let all = self.all();
        let words = (BUCKETS_AT + RECORDS_AT..all.len() - HEAD).step_by(8);
        let begins = |at: &usize| is_one(&all[at + 24..][..32]);
        words.filter(begins).map(|at| record_in(&all, at)).collect()
    }

    /// The record that begins there.
    pub(crate) fn record(&self, at: usize) -> Vec<u8> {
        record_in(&self.all(), at)
    }

    /// Writes a record, and the check that is right for all that its head says is part of it.
    pub(crate) fn forge(&self, at: usize, record: &[u8]) {
        self.write(at, record);
        let seed = u64::from_ne_bytes(*self.all()[SEED_AT..].first_chunk().expect("a seed"));
        let check = xxh3_64_with_seed(&self.record(at)[4..], seed) as u32;
        self.write(at, &check.to_ne_bytes());
    }
}

/// As long as its head says, as far as there are bytes.
fn record_in(all: &[u8], at: usize) -> Vec<u8> {
    let payload = usize::from(u16::from_ne_bytes([all[at + 8], all[at + 9]]));
    let seal = if all[at + 11] & 2 == 0 { 0 } else { SEAL };
    let len = HEAD + (payload + seal).next_multiple_of(8);
    all[at..(at + len).min(all.len())].to_vec()
}
