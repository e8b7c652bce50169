//! A lookup, by size of the session, in a cache that is larger than the processor's own: a hit, a
//! miss, a take, and a copy of the same bytes from a random cold place.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use shmtls::{Cache, Context, Miss, NewSession};

use crate::sessions::{BATCH, SIZES, context, expiry, filled, id, mix, unless_test};

pub(crate) fn groups(c: &mut Criterion) {
    for size in SIZES {
        let mut group = c.benchmark_group(format!("{size} bytes"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        let lab = Lab::new(size);
        lab.copy(&mut group);
        lab.get(&mut group);
        lab.take(&mut group);
        group.finish();
    }
}

struct Lab {
    cache: Cache,
    context: Context,
    size: usize,
    sessions: u64,
    /// Those that chance has not filled a bucket with: these are found.
    there: Vec<u64>,
}

impl Lab {
    fn new(size: usize) -> Self {
        let sessions = unless_test(100_000);
        let (cache, context) = (filled(sessions, size, 125), context());
        let is_there = |n: &u64| cache.size_of(&context, &id(*n)).is_ok();
        let there = (0..sessions).filter(is_there).collect();
        Self { cache, context, size, sessions, there }
    }

    /// A random one after the other.
    fn walk(&self) -> impl FnMut(u64) -> u64 {
        let mut n = 0;
        move |last| {
            n += 1;
            self.there[((mix(n) ^ last) % self.there.len() as u64) as usize]
        }
    }

    /// The processor fetches several such places at once if it knows the next ones early; a lookup
    /// has to wait for what it reads, as the second copy does.
    fn copy(&self, group: &mut Group<'_>) {
        let stride = self.size + 100;
        let cold = vec![0x5a_u8; self.sessions as usize * stride];
        let mut buf = vec![0; self.size];
        let mut copy = |nth: u64| {
            let at = nth as usize * stride;
            buf.copy_from_slice(black_box(&cold[at..at + self.size]));
            u64::from(buf[0])
        };
        let (mut next, mut last) = (self.walk(), 0);
        group.bench_function("copy from a cold place", |b| b.iter(|| copy(next(0))));
        group.bench_function("copy from a cold place, one at a time", |b| {
            b.iter(|| last = black_box(copy(next(last))));
        });
    }

    fn get(&self, group: &mut Group<'_>) {
        let (mut next, mut buf) = (self.walk(), vec![0; self.size]);
        let mut get = |n| self.cache.get(&self.context, &id(n), &mut buf);
        assert_eq!(get(self.there[0]), Ok(self.size));
        assert_eq!(get(self.sessions), Err(Miss::Absent));
        group.bench_function("get hit", |b| b.iter(|| get(next(0))));
        group.bench_function("get miss", |b| b.iter(|| get(next(0) + self.sessions)));
    }

    /// Of sessions that were stored just now, a thousand at a time.
    fn take(&self, group: &mut Group<'_>) {
        let (session, mut n) = (vec![0x5a; self.size], 2 * self.sessions);
        let single_use = NewSession::new(&session, expiry()).single_use(true);
        let mut store = || {
            n += 1;
            let _ = self.cache.store(&self.context, &id(n), &single_use);
            id(n)
        };
        let take = |id| self.cache.take(&self.context, &id).expect("it was stored just now");
        group.bench_function("take", |b| b.iter_batched(&mut store, take, BATCH));
    }
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;
