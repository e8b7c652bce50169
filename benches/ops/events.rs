//! What the events for tools cost: the same operation on a cache without them and on one with.

use criterion::Criterion;
use shmtls::{Cache, Context, Options};

use crate::sessions::{context, expiry, id, unless_test};

const WHAT: [&str; 3] = ["get hit", "get miss", "store and take"];

pub(crate) fn group(c: &mut Criterion) {
    let sessions = unless_test(10_000);
    let context = context();
    let options = Options::new().size(16 << 20);
    let without = options.clone().events(0).create_memfd().expect("a segment");
    let with = options.create_memfd().expect("a segment");
    let mut group = c.benchmark_group("events, 200 bytes");
    for what in WHAT {
        for (kind, cache) in [("without", &without), ("with", &with)] {
            (0..sessions).for_each(|n| store(cache, &context, n));
            let (mut n, mut buf) = (0, [0; 200]);
            group.bench_function(format!("{what}, {kind}"), |b| {
                b.iter(|| {
                    n += 1;
                    match what {
                        "get hit" => cache.get(&context, &id(n % sessions), &mut buf).is_ok(),
                        "get miss" => cache.get(&context, &id(n + sessions), &mut buf).is_ok(),
                        _ => {
                            store(cache, &context, n + sessions);
                            cache.take(&context, &id(n + sessions)).is_ok()
                        }
                    }
                });
            });
        }
    }
    group.finish();
}

fn store(cache: &Cache, context: &Context, n: u64) {
    let _ = cache.insert(context, &id(n), &[0x5a; 200], expiry());
}
