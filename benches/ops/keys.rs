//! The ticket keys as a handshake reads them: its process's own copy, if nothing has changed, and
//! the segment's, when there is another epoch.

use criterion::{BatchSize, Criterion};
use shmtls::{Cache, Options, TicketKey, parts};

const KEYS: usize = 3;

pub(crate) fn group(c: &mut Criterion) {
    let writer = Options::new().size(1 << 20).create_memfd().expect("a segment");
    let reader = attach_again(&writer);
    let keys: Vec<_> = (0..KEYS).map(|_| TicketKey::random().expect("a key")).collect();
    let publish = || drop(writer.keys().publish(keys.clone()).expect("it is published"));
    let read = || parts::read_keys(&reader);

    publish();
    assert_eq!(read(), (writer.keys().epoch(), KEYS));
    publish();
    assert_eq!(read(), (writer.keys().epoch(), KEYS));
    let mut group = c.benchmark_group("ticket keys");
    group.bench_function("read, as they were", |b| b.iter(read));
    group.bench_function("read, in another epoch", |b| {
        b.iter_batched(publish, |()| read(), BatchSize::PerIteration);
    });
    group.finish();
}

/// As another process would: with a copy of the keys that is its own.
fn attach_again(cache: &Cache) -> Cache {
    let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
    Options::new().attach_fd(fd).expect("it is a segment")
}
