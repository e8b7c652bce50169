//! The parts of an operation, for `make ops`, which measures them one by one. They exist in a build
//! with `--cfg shmtls_parts` (`scripts/rustc-parts`), whose code is otherwise that of any other.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::robust::{self, Patience};
use crate::{Cache, SessionId, hash};

/// The way from an ID to its bucket.
#[inline]
pub fn bucket_of(seed: u64, id: &SessionId, bucket_count: usize) -> usize {
    hash::locate(seed, id, bucket_count).bucket
}

/// The lock of a bucket, without the bucket.
#[derive(Debug, Default)]
pub struct Lock(AtomicU32);

impl Lock {
    /// Takes it and lets it go.
    #[inline]
    pub fn pass(&self) {
        drop(robust::lock(&self.0, PATIENCE));
    }
}

/// The ticket keys as a handshake reads them: their epoch and number.
#[inline]
pub fn read_keys(cache: &Cache) -> (u64, usize) {
    cache.keys().current().map_or((0, 0), |ring| (ring.epoch, ring.keys.keys().len()))
}

const PATIENCE: Patience =
    Patience { deadline: Duration::from_millis(50), slice: Duration::from_millis(1) };
