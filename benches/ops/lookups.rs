//! A lookup, by size of the session, in a cache that is larger than the processor's own: a hit, a
//! miss, a take, and a copy of the same bytes from a random cold place.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use shmtls::{Cache, Miss, NewSession};

use crate::sessions::{BATCH, SIZES, context, expiry, filled, id, mix, unless_test};

pub(crate) fn groups(c: &mut Criterion) {
    for size in SIZES {
        let sessions = unless_test(100_000);
        let cache = filled(sessions, size, 125);
        let mut n = 0;
        let next = move || {
            n += 1;
            mix(n) % sessions
        };
        let mut group = c.benchmark_group(format!("{size} bytes"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        copy(&mut group, size, sessions, next);
        get(&mut group, &cache, size, sessions, next);
        take(&mut group, &cache, size, sessions);
        group.finish();
    }
}

fn copy(group: &mut Group<'_>, size: usize, sessions: u64, mut next: impl FnMut() -> u64) {
    let stride = size + 100;
    let cold = vec![0x5a_u8; sessions as usize * stride];
    let mut buf = vec![0; size];
    group.bench_function("copy from a cold place", |b| {
        b.iter(|| {
            let at = next() as usize * stride;
            buf.copy_from_slice(black_box(&cold[at..at + size]));
            buf[0]
        });
    });
}

fn get(
    group: &mut Group<'_>,
    cache: &Cache,
    size: usize,
    sessions: u64,
    mut next: impl FnMut() -> u64,
) {
    let (context, mut buf) = (context(), vec![0; size]);
    assert_eq!(cache.get(&context, &id(0), &mut buf), Ok(size));
    assert_eq!(cache.get(&context, &id(sessions), &mut buf), Err(Miss::Absent));
    group.bench_function("get hit", |b| {
        b.iter(|| cache.get(&context, &id(next()), &mut buf));
    });
    group.bench_function("get miss", |b| {
        b.iter(|| cache.get(&context, &id(next() + sessions), &mut buf));
    });
}

/// Of sessions that were stored just now, a thousand at a time.
fn take(group: &mut Group<'_>, cache: &Cache, size: usize, sessions: u64) {
    let (context, session) = (context(), vec![0x5a; size]);
    let single_use = NewSession::new(&session, expiry()).single_use(true);
    let mut fresh = 2 * sessions;
    group.bench_function("take", |b| {
        b.iter_batched(
            || {
                fresh += 1;
                let _ = cache.store(&context, &id(fresh), &single_use);
                id(fresh)
            },
            |id| cache.take(&context, &id).expect("it was stored just now"),
            BATCH,
        );
    });
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;
