//! From a session ID to its bucket and tag, and from a record to its check. Both are keyed with
//! the segment's random seed: on a lookup the ID is the attacker's choice.

use std::fmt;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::secret::{DEEP, clear_traces};
use crate::session::SessionId;

/// Where an ID belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: usize,
    /// Eight bits that spare most comparisons with records of other IDs.
    pub(crate) tag: u8,
    pub(crate) digest: IdDigest,
}

/// What stands for a session ID where the ID itself must not be shown: a keyed hash, another one
/// in each segment. `Display` is its lower half, in hexadecimal.
///
/// ```
/// # use std::time::Duration;
/// # use shmtls::{Context, Expiry, Options, SessionId};
/// # let cache = Options::new().size(1 << 20).create_memfd()?;
/// # let _ = cache.insert(&Context::named("doc"), &SessionId::new(b"id")?, b"bytes",
/// #     Expiry::after(Duration::from_secs(60)));
/// cache.for_each(|entry, _bytes| assert_eq!(entry.digest().to_string().len(), 8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdDigest(u64);

impl IdDigest {
    /// The digest of an ID in the segment of that seed.
    pub(crate) fn of(seed: u64, id: &SessionId) -> Self {
        Self(xxh3_64_with_seed(id.as_bytes(), seed))
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// All 64 bits.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// The bits that a bucket remembers of a session that was evicted. Never 0.
    pub(crate) fn ghost(self) -> u16 {
        ((self.0 >> 8) as u16).max(1)
    }
}

impl fmt::Display for IdDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 as u32)
    }
}

/// The bucket is the hash's high half scaled to the bucket count, the tag its low byte.
pub(crate) fn locate(seed: u64, id: &SessionId, bucket_count: usize) -> Place {
    let digest = IdDigest::of(seed, id);
    let bucket = ((digest.0 >> 32) as u128 * bucket_count as u128) >> 32;
    Place { bucket: bucket as usize, tag: digest.0 as u8, digest }
}

/// The check of a record: everything behind the check itself.
pub(crate) fn check(seed: u64, record: &[u8]) -> u32 {
    wide_check(seed, record) as u32
}

/// [`check`] with all of its bits: that of a copy of the ticket keys.
pub(crate) fn wide_check(seed: u64, bytes: &[u8]) -> u64 {
    let check = xxh3_64_with_seed(bytes, seed);
    clear_traces::<CHECK_DEPTH>();
    check
}

/// Every lookup pays for this; optimised, the hash is one function that needs little. A fuzzer's
/// build is, whatever it asserts, and checks some fifty records an execution.
const CHECK_DEPTH: usize = if cfg!(all(debug_assertions, not(fuzzing))) { DEEP } else { 1 << 10 };

/// [`check`] for a record that is read piece by piece, without a buffer of its size.
pub(crate) struct Checker(Xxh3);

impl Checker {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xxh3::with_seed(seed))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> u32 {
        self.0.digest() as u32
    }
}
