//! Lookups without the lock, beside a process that changes the bucket all the time.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{Cache, Inserted, Miss, Options};

use super::payload::{Rng, check, context, id, payload, soon, with_buckets};
use super::procs::{alone, fork, join_all};
use super::scoreboard::Shared;

const RESIDENTS: u64 = 40;
const STORES: u64 = 60_000;
const PATIENCE: Duration = Duration::from_secs(5);

/// A reader that believes a miss while a session is being replaced, or its record moved, sends a
/// client into a full handshake, and one that believes a torn copy ends it. Each store here makes
/// others move; all residents must be found at every moment, and never one from before.
#[test]
fn what_stays_is_found_at_every_moment_while_it_is_replaced_and_moved() {
    let _turn = alone();
    // On a full machine the owner of the lock, which a miss may need, may be without a core for long.
    let options = Options::new().processes(8).populate(false).lock_deadline(PATIENCE);
    let cache = with_buckets(options, 1, 32 << 10).create_memfd().expect("a segment");
    for number in 0..RESIDENTS {
        let stored = cache.insert(&context(), &id(number), &payload(number, 0, 300), soon());
        assert_eq!(stored, Inserted::New);
    }
    let is_over = Shared::<AtomicU32>::new();
    let look_on = |seed| {
        let (mut rng, mut seen) = (Rng::new(seed), [0; RESIDENTS as usize]);
        while is_over.load(SeqCst) == 0 {
            let number = rng.below(RESIDENTS);
            look(&cache, number, &mut seen[number as usize]);
        }
    };
    let mut children: Vec<_> = (0..3).map(|seed| fork(|| look_on(seed))).collect();
    children.push(fork(|| {
        replace(&cache);
        is_over.store(1, SeqCst);
    }));
    join_all(children);
    let stats = cache.stats();
    assert_eq!((stats.evicted, stats.misses_damaged, stats.repairs), (0, 0, 0), "{stats:?}");
    assert!(stats.hits > 1000, "{stats:?}");
}

fn look(cache: &Cache, number: u64, seen: &mut u64) {
    let session = cache.get_session(&context(), &id(number)).expect("it stays all the time");
    let serial = check(number, session.bytes());
    assert!(serial >= *seen, "session {number}: {serial} after {seen}");
    *seen = serial;
    let absent = cache.get_session(&context(), &id(1 << 40)).expect_err("never stored");
    assert_eq!(absent, Miss::Absent);
}

/// All fit, whatever their lengths are: nobody has to go.
fn replace(cache: &Cache) {
    let mut rng = Rng::new(42);
    for serial in 1..STORES {
        let number = rng.below(RESIDENTS);
        let bytes = payload(number, serial, rng.within(100, 600) as usize);
        let stored = cache.insert(&context(), &id(number), &bytes, soon());
        assert_eq!(stored, Inserted::Replaced);
    }
}
