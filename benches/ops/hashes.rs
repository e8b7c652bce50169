//! From a session ID to its bucket and tag: the keyed hash of every operation, and the one that
//! Rust's own maps use for keys that an attacker chooses.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;

use criterion::Criterion;
use shmtls::{SessionId, parts};

pub(crate) fn group(c: &mut Criterion) {
    let id = SessionId::new(&[7; 32]).expect("32 bytes");
    let map = RandomState::new();
    let mut group = c.benchmark_group("hash of a 32-byte ID");
    group.bench_function("shmtls", |b| {
        b.iter(|| parts::bucket_of(black_box(0x5eed), black_box(&id), black_box(1000)));
    });
    group.bench_function("HashMap", |b| b.iter(|| map.hash_one(black_box(id.as_bytes()))));
    group.finish();
}
