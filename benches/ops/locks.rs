//! Lock and unlock, with nobody else there: the lock of a bucket, a plain futex, the one of the
//! standard library, and what libc offers for memory that processes share.

// The locks of others, as `shmtls bench contention` has them.
#[path = "../../crates/shmtls-cli/src/bench/contention/arena.rs"]
#[allow(dead_code)]
mod arena;
#[path = "../../crates/shmtls-cli/src/bench/contention/ffi.rs"]
#[allow(dead_code)]
mod ffi;

use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use criterion::Criterion;
use shmtls::parts::Lock;

pub(crate) fn group(c: &mut Criterion) {
    let (_file, shared) = arena::create(false).expect("shared memory");
    let (futex, pthread) = (&shared.arena().futex.0, &shared.arena().mutex);
    let (bucket, std) = (Lock::default(), Mutex::new(()));
    let mut group = c.benchmark_group("locks");
    group.bench_function("lock of a bucket", |b| b.iter(|| bucket.pass()));
    group.bench_function("plain futex", |b| b.iter(|| pass(futex)));
    group.bench_function("std::sync::Mutex", |b| b.iter(|| drop(std.lock())));
    group.bench_function("robust pthread mutex", |b| {
        b.iter(|| {
            pthread.lock();
            pthread.unlock();
        });
    });
    group.finish();
}

/// A plain futex lock (Drepper, "Futexes Are Tricky", mutex 2); 0 is free.
fn pass(word: &AtomicU32) {
    const HELD: u32 = 1;
    const CONTENDED: u32 = 2;
    if word.compare_exchange(0, HELD, Acquire, Relaxed).is_err() {
        while word.swap(CONTENDED, Acquire) != 0 {
            ffi::futex_wait(word, CONTENDED);
        }
    }
    if word.swap(0, Release) == CONTENDED {
        ffi::futex_wake(word, 1);
    }
}
