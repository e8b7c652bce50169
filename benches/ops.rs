//! What one operation costs in one process. Quote ratios within one run: each group holds its
//! own yardstick, a copy of the same bytes from a random cold place.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shmtls::{Cache, Context, Expiry, NewSession, Options, SessionId};

/// Sessions without client certificates, with an EC one, with an RSA one.
const SIZES: [usize; 3] = [200, 600, 2700];
/// More than the last-level cache holds.
const SESSIONS: u64 = 100_000;

fn id(n: u64) -> SessionId {
    let mut bytes = [0; 32];
    for (i, chunk) in bytes.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&mix(n.wrapping_add(i as u64 * 0x1000_0000)).to_le_bytes());
    }
    SessionId::new(&bytes).expect("32 bytes")
}

/// The finaliser of SplitMix64.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// A cache with room for all sessions of one size, filled.
fn filled(context: &Context, size: usize) -> Cache {
    let bytes = SESSIONS * (size as u64 + 100) * 5 / 4;
    let cache = Options::new().size(bytes).create_memfd().expect("a segment");
    let session = vec![0x5a; size];
    for n in 0..SESSIONS {
        let _ = cache.insert(context, &id(n), &session, expiry());
    }
    cache
}

fn expiry() -> Expiry {
    Expiry::after(Duration::from_secs(3000))
}

fn operations(c: &mut Criterion) {
    let context = Context::named("bench");
    for size in SIZES {
        let cache = filled(&context, size);
        let session = vec![0x5a; size];
        let cold = vec![0x5a_u8; SESSIONS as usize * (size + 100)];
        let mut buf = vec![0; size];
        let mut n = 0_u64;
        let mut next = move || {
            n += 1;
            mix(n) % SESSIONS
        };
        let mut group = c.benchmark_group(format!("{size} bytes"));
        group.throughput(Throughput::Elements(1)).sample_size(20);
        group.bench_function("copy from a cold place", |b| {
            b.iter(|| {
                let at = next() as usize * (size + 100);
                buf.copy_from_slice(black_box(&cold[at..at + size]));
                buf[0]
            });
        });
        group.bench_function("get hit", |b| {
            b.iter(|| cache.get(&context, &id(next()), &mut buf));
        });
        group.bench_function("get miss", |b| {
            b.iter(|| cache.get(&context, &id(next() + SESSIONS), &mut buf));
        });
        let mut fresh = 10 * SESSIONS;
        group.bench_function("insert into a full cache", |b| {
            b.iter(|| {
                fresh += 1;
                cache.insert(&context, &id(fresh), &session, expiry())
            });
        });
        group.bench_function("store and take", |b| {
            let single_use = NewSession::new(&session, expiry()).single_use(true);
            b.iter_batched(
                || {
                    fresh += 1;
                    let _ = cache.store(&context, &id(fresh), &single_use);
                    id(fresh)
                },
                |id| cache.take(&context, &id),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// What the events for tools cost: the same operation on a cache without them and on one with.
fn events(c: &mut Criterion) {
    const SESSIONS: u64 = 10_000;
    let context = Context::named("bench");
    let options = Options::new().size(16 << 20);
    let without = options.clone().events(0).create_memfd().expect("a segment");
    let with = options.create_memfd().expect("a segment");
    let (session, mut buf) = ([0x5a; 200], [0; 200]);
    let mut group = c.benchmark_group("events, 200 bytes");
    for what in ["get hit", "get miss", "store and take"] {
        for (kind, cache) in [("without", &without), ("with", &with)] {
            let mut n = 0_u64;
            (0..SESSIONS).for_each(|n| {
                let _ = cache.insert(&context, &id(n), &session, expiry());
            });
            group.bench_function(format!("{what}, {kind}"), |b| {
                b.iter(|| {
                    n += 1;
                    match what {
                        "get hit" => cache.get(&context, &id(n % SESSIONS), &mut buf).is_ok(),
                        "get miss" => cache.get(&context, &id(n + SESSIONS), &mut buf).is_ok(),
                        _ => {
                            let id = id(n + SESSIONS);
                            let _ = cache.insert(&context, &id, &session, expiry());
                            cache.take(&context, &id).is_ok()
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

/// What sealing costs: the same operation on a plain and on a sealed cache, one after the other.
#[cfg(feature = "sealing")]
fn sealing(c: &mut Criterion) {
    const SESSIONS: u64 = 10_000;
    let context = Context::named("bench");
    let key = shmtls::SealingKey::random().expect("a key");
    for size in [200, 1024, 2048, 4096] {
        let options = Options::new().size(SESSIONS * (size as u64 + 150) * 4);
        let plain = options.clone().create_memfd().expect("a segment");
        let sealed = options.sealed(&key).create_memfd().expect("a sealed segment");
        let caches = [("plain", plain), ("sealed", sealed)];
        let (mut session, mut buf) = (vec![0x5a; size], vec![0; size]);
        let mut group = c.benchmark_group(format!("sealing, {size} bytes"));
        for (kind, cache) in &caches {
            let mut n = 0_u64;
            group.bench_function(format!("insert, {kind}"), |b| {
                b.iter(|| {
                    n += 1;
                    // Another session each time: in a plain cache the same one again is no store.
                    session[..8].copy_from_slice(&n.to_ne_bytes());
                    cache.insert(&context, &id(mix(n) % SESSIONS), &session, expiry())
                });
            });
        }
        for (kind, cache) in &caches {
            for n in 0..SESSIONS {
                let _ = cache.insert(&context, &id(n), &session, expiry());
            }
            let mut n = 0;
            group.bench_function(format!("get, {kind}"), |b| {
                b.iter(|| {
                    n += 1;
                    cache.get(&context, &id(mix(n) % SESSIONS), &mut buf)
                });
            });
        }
        group.finish();
    }
}

#[cfg(not(feature = "sealing"))]
fn sealing(_: &mut Criterion) {}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = operations, events, sealing
}
criterion_main!(benches);
