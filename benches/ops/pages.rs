//! What huge pages are worth, and how a lookup grows with the cache: a hit among ten thousand, a
//! hundred thousand and a million sessions, in small pages and in huge ones, and a copy of the same
//! bytes from a random cold place.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use nix::sys::prctl::set_thp_disable;
use shmtls::Cache;

use crate::sessions::{context, filled, id, mix, unless_test};

const SIZE: usize = 584;

pub(crate) fn groups(c: &mut Criterion) {
    for (name, sessions) in [("10k", 10_000), ("100k", 100_000), ("1M", 1_000_000)] {
        let sessions = unless_test(sessions);
        let mut group = c.benchmark_group(format!("pages, {name} sessions"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        copy(&mut group, sessions);
        for (kind, huge) in [("small", false), ("huge", true)] {
            let mut cache = None;
            group.bench_function(format!("get hit, {kind} pages"), |b| {
                let cache = cache.get_or_insert_with(|| in_pages(huge, sessions));
                let (context, mut n, mut buf) = (context(), 0, [0; SIZE]);
                b.iter(|| {
                    n += 1;
                    cache.get(&context, &id(mix(n) % sessions), &mut buf).is_ok()
                });
            });
        }
        group.finish();
    }
}

/// The kernel makes no huge pages for a process that does not want any.
fn in_pages(huge: bool, sessions: u64) -> Cache {
    set_thp_disable(!huge).expect("Linux 3.15");
    let cache = filled(sessions, SIZE, 125);
    set_thp_disable(false).expect("Linux 3.15");
    cache
}

/// Which place is next is known from the last one only, as in a lookup.
fn copy(group: &mut Group<'_>, sessions: u64) {
    let stride = SIZE + 100;
    let mut cold = Vec::new();
    group.bench_function("copy from a cold place, one at a time", |b| {
        cold.resize(sessions as usize * stride, 0x5a_u8);
        let (mut n, mut last, mut buf) = (0, 0, [0; SIZE]);
        b.iter(|| {
            n += 1;
            let at = ((mix(n) ^ last) % sessions) as usize * stride;
            buf.copy_from_slice(black_box(&cold[at..at + SIZE]));
            last = u64::from(black_box(buf[0]));
        });
    });
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;
