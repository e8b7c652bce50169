//! The owner of a lock that lives and does not go on: stopped, frozen, or in a debugger.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use shmtls::{Busy, Cache, Inserted, Miss, Options};

use super::payload::{Rng, check, context, id, payload, soon, with_buckets};
use super::procs::{Child, alone, fork};
use super::scoreboard::waiting;

const DEADLINE: Duration = Duration::from_millis(50);
const SLACK: Duration = Duration::from_millis(50);

/// A cache of one bucket, full of small sessions.
fn one_bucket() -> Cache {
    let options = with_buckets(Options::new().processes(8), 1, 32 << 10);
    let cache = options.create_memfd().expect("a segment");
    for number in 0..60 {
        let bytes = payload(number, number, 150);
        assert_eq!(cache.insert(&context(), &id(number), &bytes, soon()), Inserted::New);
    }
    cache
}

/// A child that stands still while it holds the lock. It spends its life in there, so stopping it
/// at random moments soon succeeds.
fn stopped_holder(cache: &Cache) -> Child {
    let child = fork(|| {
        loop {
            assert_eq!(cache.sweep().removed, 0);
        }
    });
    let mut rng = Rng::new(7);
    for _ in 0..1000 {
        thread::sleep(Duration::from_micros(rng.below(2000)));
        child.stop();
        if cache.size_of(&context(), &id(1)) == Err(Miss::Busy) {
            return child;
        }
        child.resume();
    }
    panic!("never stopped in its lock");
}

/// Does `operation` and sees to it that it waited for the deadline, and no longer.
fn timed<R>(operation: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let (result, waited) = waiting(operation);
    assert!(start.elapsed() >= DEADLINE && waited < DEADLINE + SLACK, "waited {waited:?}");
    result
}

fn give_up_on_everything(cache: &Cache) {
    assert_eq!(timed(|| cache.size_of(&context(), &id(2))), Err(Miss::Busy));
    let (session, waited) = waiting(|| cache.get_session(&context(), &id(2)));
    assert_eq!(check(2, session.expect("a reader waits for nobody").bytes()), 2);
    assert!(waited < DEADLINE, "waited {waited:?}");
    assert_eq!(timed(|| cache.take(&context(), &id(3))).unwrap_err(), Miss::Busy);
    assert_eq!(timed(|| cache.remove(&context(), &id(4))), Err(Busy));
    let bytes = payload(5, 5, 100);
    assert_eq!(timed(|| cache.insert(&context(), &id(5), &bytes, soon())), Inserted::Busy);
    assert_eq!(timed(|| cache.sweep()).busy, 1);
}

/// It may take a moment until the one that went on has released its lock.
fn works_again(cache: &Cache) {
    let start = Instant::now();
    while cache.size_of(&context(), &id(1)) == Err(Miss::Busy) {
        assert!(start.elapsed() < Duration::from_secs(5), "still busy");
    }
    for number in 0..60 {
        let session = cache.get_session(&context(), &id(number)).expect("nothing was lost");
        assert_eq!(check(number, session.bytes()), number);
    }
}

#[test]
fn nobody_waits_for_a_stopped_worker_beyond_the_deadline() {
    let _turn = alone();
    let cache = one_bucket();
    let child = stopped_holder(&cache);
    let before = cache.stats();
    // Those who wait together wait no longer than each alone.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| give_up_on_everything(&cache));
        }
    });
    let stats = cache.stats();
    assert_eq!(stats.misses_busy - before.misses_busy, 4);
    assert_eq!(stats.removes_busy - before.removes_busy, 4);
    assert_eq!(stats.refused_busy - before.refused_busy, 4);
    assert_eq!(stats.lock_deadlines - before.lock_deadlines, 20);
    child.resume();
    works_again(&cache);
    child.stop();
    child.resume();
    works_again(&cache);
    assert_eq!(cache.stats().recoveries(), 0, "the stopped one was taken for dead");
    child.kill();
    works_again(&cache);
}

/// A tool may look into the very bucket that is locked. If its owner was changing it, it says so.
#[test]
fn a_look_does_not_wait_for_a_stopped_worker() {
    let _turn = alone();
    let cache = one_bucket();
    let _child = stopped_holder(&cache);
    let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
    let inspector = Options::new().inspect_fd(fd).expect("read-only");
    let mut seen = 0;
    let (unread, waited) = waiting(|| inspector.for_each(|_| seen += 1));
    assert!(waited < DEADLINE, "{waited:?}");
    assert!((unread, seen) == (1, 0) || (unread, seen) == (0, 60), "{unread} unread, {seen} seen");
    assert_eq!(inspector.len(), 60);
}

/// A stopped worker that is killed is dead like any other.
#[test]
fn a_stopped_worker_that_is_killed_lets_go() {
    let _turn = alone();
    let cache = one_bucket();
    let child = stopped_holder(&cache);
    child.signal(Signal::SIGKILL);
    works_again(&cache);
    let stats = cache.stats();
    assert_eq!((stats.recoveries(), stats.repairs, stats.repair_lost), (1, 1, 0), "{stats:?}");
    drop(child);
}
