//! From a session ID to its bucket and tag, and from a record to its check. Both are keyed with
//! the segment's random seed: on a lookup the ID is the attacker's choice.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::secret::{DEEP, clear_traces};
use crate::session::SessionId;

/// Where an ID belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: usize,
    /// Eight bits that spare most comparisons with records of other IDs.
    pub(crate) tag: u8,
}

/// The bucket is the hash's high half scaled to the bucket count, the tag its low byte.
pub(crate) fn locate(seed: u64, id: &SessionId, bucket_count: usize) -> Place {
    let hash = xxh3_64_with_seed(id.as_bytes(), seed);
    let bucket = ((hash >> 32) as u128 * bucket_count as u128) >> 32;
    Place { bucket: bucket as usize, tag: hash as u8 }
}

/// The check of a record: everything behind its first word.
pub(crate) fn check(seed: u64, record: &[u8]) -> u64 {
    let check = xxh3_64_with_seed(record, seed);
    clear_traces::<CHECK_DEPTH>();
    check
}

/// Every lookup pays for this; optimised, the hash is one function that needs little.
const CHECK_DEPTH: usize = if cfg!(debug_assertions) { DEEP } else { 1 << 10 };

/// [`check`] for a record that is read piece by piece, without a buffer of its size.
pub(crate) struct Checker(Xxh3);

impl Checker {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xxh3::with_seed(seed))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u64 {
        self.0.digest()
    }
}
