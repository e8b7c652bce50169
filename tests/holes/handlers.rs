//! Signal handlers that interrupt a call and call again.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use shmtls::{Busy, Inserted, Library, Miss};

use crate::lab::{
    DEADLINE, assert_whole, assert_whole_soon, caught, eventually, of_buckets, one_bucket,
};
use crate::payload::{check, context, id, payload, soon};
use crate::procs::{alone, fork};
use crate::scoreboard::{Shared, waiting};

/// A handler that takes the lock which the interrupted call holds would wait for itself, and one
/// that takes another one would leave the first without its announcement. Both are refused, at
/// once, and the interrupted call goes on as if nothing had been.
#[test]
fn a_handler_that_interrupts_a_section_is_busy_at_once() {
    let _turn = alone();
    let cache = of_buckets(4);
    let done = Shared::<AtomicU32>::new();
    let child = caught(&cache, || {
        let give_up = |number| {
            let bytes = payload(number, 99, 100);
            assert_eq!(cache.size_of(&context(), &id(number)), Err(Miss::Busy));
            assert_eq!(cache.take(&context(), &id(number)).unwrap_err(), Miss::Busy);
            let resumed = cache.resume(&context(), &id(number), Library::Raw);
            assert_eq!(check(number, resumed.expect("needs no lock").bytes()), number);
            assert_eq!(cache.insert(&context(), &id(number), &bytes, soon()), Inserted::Busy);
            assert_eq!(cache.remove(&context(), &id(number)), Err(Busy));
        };
        let ((), waited) = waiting(|| (0..8).for_each(give_up));
        assert_eq!(cache.sweep().busy, 4);
        assert!(waited < DEADLINE, "it waited: {waited:?}");
        done.store(1, SeqCst);
    });
    eventually("the handler is done", || done.load(SeqCst) != 0);
    assert_whole_soon(&cache);
    let stats = cache.stats();
    assert_eq!((stats.lock_reentered, stats.recoveries(), stats.repairs), (36, 0, 0), "{stats:?}");
    child.kill();
    assert_whole(&cache);
}

/// A handler that forks leaves the child a thread that is in a section of which it owns nothing:
/// the lock has the parent's ID. As long as the child does not return into that section it may use
/// the cache like any other, and its end is not that of the owner.
#[test]
fn a_fork_in_a_handler_that_interrupted_a_section_is_a_fork_like_any_other() {
    let _turn = alone();
    let cache = one_bucket();
    let done = Shared::<AtomicU32>::new();
    let child = caught(&cache, || {
        fork(|| {
            let start = Instant::now();
            assert_eq!(cache.take(&context(), &id(1)).unwrap_err(), Miss::Busy);
            assert!(start.elapsed() >= DEADLINE, "it did not wait for its parent");
        })
        .join();
        // The child has ended. Nobody may think that it was the owner.
        fork(|| {
            assert_eq!(cache.take(&context(), &id(1)).unwrap_err(), Miss::Busy);
        })
        .join();
        done.store(1, SeqCst);
    });
    eventually("the handler is done", || done.load(SeqCst) != 0);
    assert_whole_soon(&cache);
    let stats = cache.stats();
    assert_eq!((stats.misses_busy, stats.lock_reentered, stats.recoveries()), (2, 0, 0));
    child.kill();
    let session = cache.get_session(&context(), &id(1)).expect("there");
    assert_eq!(check(1, session.bytes()), 1);
}
