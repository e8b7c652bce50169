//! The sessions that all groups store, find and take.

use std::time::Duration;

use criterion::BatchSize;
use shmtls::{Cache, Context, Expiry, Options, SessionId};

/// Sessions without client certificates, with an EC one, with an RSA one.
pub(crate) const SIZES: [usize; 3] = [200, 600, 2700];
/// What is prepared at a time for an operation that uses something up.
pub(crate) const BATCH: BatchSize = BatchSize::NumIterations(1000);

/// So many, or few if this is only to see whether everything runs.
pub(crate) fn unless_test(sessions: u64) -> u64 {
    let is = |flag| std::env::args().any(|arg| arg == flag);
    if is("--bench") && !is("--test") { sessions } else { sessions.min(100) }
}

pub(crate) fn context() -> Context {
    Context::named("bench")
}

pub(crate) fn expiry() -> Expiry {
    Expiry::after(Duration::from_secs(3000))
}

pub(crate) fn id(n: u64) -> SessionId {
    let mut bytes = [0; 32];
    for (i, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(n.wrapping_add(i as u64 * 0x1000_0000)).to_le_bytes());
    }
    SessionId::new(&bytes).expect("32 bytes")
}

/// The finaliser of SplitMix64.
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A cache with so many percent of the bytes that these sessions of one size take, and them.
pub(crate) fn filled(sessions: u64, size: usize, percent: u64) -> Cache {
    let bytes = sessions * (size as u64 + 100) * percent / 100;
    let cache = Options::new().size(bytes.max(4 << 20)).create_memfd().expect("a segment");
    let session = vec![0x5a; size];
    for n in 0..sessions {
        let _ = cache.insert(&context(), &id(n), &session, expiry());
    }
    cache
}
