//! What sealing costs: the same operation on a plain and on a sealed cache, one after the other.

use criterion::Criterion;
use shmtls::{Cache, Options, SealingKey};

use crate::sessions::{context, expiry, id, mix, unless_test};

pub(crate) fn groups(c: &mut Criterion) {
    let sessions = unless_test(10_000);
    let key = SealingKey::random().expect("a key");
    for size in [200, 1024, 2048, 4096] {
        let bytes = sessions * (size as u64 + 150) * 4;
        let options = Options::new().size(bytes.max(4 << 20));
        let plain = options.clone().create_memfd().expect("a segment");
        let sealed = options.sealed(&key).create_memfd().expect("a sealed segment");
        let caches = [("plain", plain), ("sealed", sealed)];
        let mut group = c.benchmark_group(format!("sealing, {size} bytes"));
        for (kind, cache) in &caches {
            insert(&mut group, kind, cache, vec![0x5a; size], sessions);
        }
        for (kind, cache) in &caches {
            get(&mut group, kind, cache, vec![0x5a; size], sessions);
        }
        group.finish();
    }
}

fn insert(group: &mut Group<'_>, kind: &str, cache: &Cache, mut session: Vec<u8>, sessions: u64) {
    let (context, mut n) = (context(), 0_u64);
    group.bench_function(format!("insert, {kind}"), |b| {
        b.iter(|| {
            n += 1;
            // Another session each time: in a plain cache the same one again is no store.
            session[..8].copy_from_slice(&n.to_ne_bytes());
            cache.insert(&context, &id(mix(n) % sessions), &session, expiry())
        });
    });
}

fn get(group: &mut Group<'_>, kind: &str, cache: &Cache, mut session: Vec<u8>, sessions: u64) {
    let (context, mut n) = (context(), 0);
    for n in 0..sessions {
        let _ = cache.insert(&context, &id(n), &session, expiry());
    }
    group.bench_function(format!("get, {kind}"), |b| {
        b.iter(|| {
            n += 1;
            cache.get(&context, &id(mix(n) % sessions), &mut session)
        });
    });
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;
