//! A store, by size of the session: while there is room, and into a full table, where others have
//! to go; and a copy of the same bytes to a random cold place.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use shmtls::Cache;

use crate::sessions::{BATCH, SIZES, context, expiry, filled, id, mix, unless_test};

pub(crate) fn groups(c: &mut Criterion) {
    for size in SIZES {
        let mut group = c.benchmark_group(format!("stores, {size} bytes"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        copy(&mut group, size);
        with_room(&mut group, size);
        full(&mut group, size);
        group.finish();
    }
}

fn copy(group: &mut Group<'_>, size: usize) {
    let places = unless_test(100_000);
    let stride = size + 100;
    let mut cold = vec![0x5a_u8; places as usize * stride];
    let (session, mut n) = (vec![0xa5; size], 0);
    group.bench_function("copy to a cold place", |b| {
        b.iter(|| {
            n += 1;
            let at = (mix(n) % places) as usize * stride;
            black_box(&mut cold[at..at + size]).copy_from_slice(&session);
        });
    });
}

/// As many sessions as are stored have been removed before.
fn with_room(group: &mut Group<'_>, size: usize) {
    let alive = unless_test(20_000);
    let cache = filled(alive, size, 400);
    let (context, session, mut n) = (context(), vec![0x5a; size], alive);
    group.bench_function("insert, with room", |b| {
        b.iter_batched(
            || {
                n += 1;
                let _ = cache.remove(&context, &id(n - alive));
                id(n)
            },
            |id| cache.insert(&context, &id, &session, expiry()),
            BATCH,
        );
    });
    let stats = cache.stats();
    assert!(stats.evicted * 100 <= stats.stored_new, "{} evictions", stats.evicted);
}

fn full(group: &mut Group<'_>, size: usize) {
    let sessions = unless_test(100_000);
    let cache = filled(sessions, size, 100);
    let (context, session, mut n) = (context(), vec![0x5a; size], sessions);
    let mut insert = || {
        n += 1;
        cache.insert(&context, &id(n), &session, expiry())
    };
    fill(&cache, &mut insert);
    group.bench_function("insert into a full table", |b| b.iter(&mut insert));
}

/// Until as many have gone as the table holds.
fn fill<R>(cache: &Cache, mut insert: impl FnMut() -> R) {
    let mut stored = 0;
    while cache.stats().evicted <= stored / 2 {
        (0..10_000).for_each(|_| drop(insert()));
        stored = cache.stats().stored_new;
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;
