//! Sessions that describe themselves: from its bytes a reader can tell whose they are, which
//! version, and that not one of them is wrong.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use shmtls::{Context, CreateError, Expiry, Options, OptionsError, SessionId};

/// Bytes before the pattern: number, serial, length.
pub(crate) const HEAD: usize = 20;

pub(crate) fn id(number: u64) -> SessionId {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    SessionId::new(&bytes).expect("32 bytes")
}

pub(crate) fn context() -> Context {
    Context::named("example.org")
}

pub(crate) fn soon() -> Expiry {
    Expiry::after(Duration::from_secs(600))
}

/// Options for exactly so many buckets, of 16 KiB unless sessions may be long.
pub(crate) fn with_buckets(options: Options, buckets: u32, bucket_bytes: u32) -> Options {
    match options.clone().size(1).create_memfd() {
        Err(CreateError::Options(OptionsError::TooSmall { min, .. })) => {
            options.size(min + u64::from(buckets - 1) * u64::from(bucket_bytes))
        }
        other => panic!("a segment of one byte: {other:?}"),
    }
}

/// A session of `len` bytes, at least [`HEAD`].
pub(crate) fn payload(number: u64, serial: u64, len: usize) -> Vec<u8> {
    assert!(len >= HEAD);
    // Up to seven bytes too many, for whole words of the pattern.
    let mut bytes = vec![0; len + 7];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..16].copy_from_slice(&serial.to_le_bytes());
    bytes[16..HEAD].copy_from_slice(&(len as u32).to_le_bytes());
    let mut pattern = Rng::new(number ^ serial.rotate_left(32));
    for word in bytes[HEAD..].as_chunks_mut().0 {
        *word = pattern.next().to_le_bytes();
    }
    bytes.truncate(len);
    bytes
}

/// The serial of a session that was stored under `number`. Panics if any byte is wrong.
#[track_caller]
pub(crate) fn check(number: u64, bytes: &[u8]) -> u64 {
    let serial = bytes.get(8..16).and_then(|serial| serial.try_into().ok()).map(u64::from_le_bytes);
    let serial = serial.unwrap_or_else(|| panic!("session {number}: {} bytes only", bytes.len()));
    let expected = payload(number, serial, bytes.len().max(HEAD));
    let wrong = || expected.iter().zip(bytes).position(|(expected, found)| expected != found);
    assert!(
        expected == bytes,
        "session {number}: byte {:?} of {} is wrong (serial {serial})",
        wrong(),
        bytes.len()
    );
    serial
}

/// A segment's file, removed at the end.
pub(crate) struct Named(pub(crate) String);

impl Named {
    pub(crate) fn new(what: &str) -> Self {
        Self(format!("test-{what}-{}", std::process::id()))
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/dev/shm/shmtls.{}", self.0).into()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}

/// A small generator of numbers that a seed repeats (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Less than `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// From `low` to below `high`.
    pub(crate) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
