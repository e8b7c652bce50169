//! Forks in the middle of everything, and what the dead counted.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread;
use std::time::Duration;

use shmtls::{Cache, Options, Stats};

use super::payload::{Rng, check, context, id, payload, soon, with_buckets};
use super::procs::{Child, alone, fork, join_all};
use super::scoreboard::Shared;

/// What somebody did, in the order of [`counted`].
type Done = Shared<[AtomicU64; 4]>;

/// The counters that [`work`] raises: lookups, hits, stores, removals that found nothing excepted.
fn counted(stats: &Stats) -> [u64; 4] {
    let stored = stats.stored_new + stats.stored_replaced + stats.stored_unchanged;
    [stats.lookups(), stats.hits, stored, stats.removed]
}

fn sums(done: &Done) -> [u64; 4] {
    std::array::from_fn(|i| done[i].load(SeqCst))
}

/// On a full machine the owner of a lock may be without a core for longer than the usual deadline.
fn patient() -> Options {
    Options::new().size(1 << 20).lock_deadline(Duration::from_secs(5))
}

/// Some operations, each noted once it is done.
fn work(cache: &Cache, seed: u64, operations: u64, done: &Done) {
    let mut rng = Rng::new(seed);
    for serial in 0..operations {
        let number = rng.below(200);
        let effects = match rng.below(4) {
            0 => {
                let bytes = payload(number, serial, rng.within(60, 900) as usize);
                let outcome = cache.insert(&context(), &id(number), &bytes, soon());
                assert!(outcome.is_stored(), "{outcome:?}");
                [0, 0, 1, 0]
            }
            1 => [0, 0, 0, cache.remove(&context(), &id(number)).expect("not busy").into()],
            _ => {
                let found = cache.get_session(&context(), &id(number));
                [
                    1,
                    found.is_ok_and(|session| check(number, session.bytes()) < u64::MAX).into(),
                    0,
                    0,
                ]
            }
        };
        for (sum, effect) in done.iter().zip(effects) {
            sum.fetch_add(effect, SeqCst);
        }
    }
}

/// Threads of the parent hold locks at any moment; a child must not inherit any of that. Children
/// fork on, and all use the cache at once.
#[test]
fn a_fork_in_the_middle_of_everything() {
    let _turn = alone();
    let cache = patient().create_memfd().expect("a segment");
    let (done, stop) = (Done::new(), AtomicBool::new(false));
    thread::scope(|scope| {
        for seed in 0..4 {
            let (cache, done, stop) = (&cache, &done, &stop);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    work(cache, seed, 50, done);
                }
            });
        }
        for seed in 0..40 {
            let child = fork(|| {
                let grandchild = fork(|| work(&cache, seed, 100, &done));
                work(&cache, seed + 1000, 100, &done);
                grandchild.join();
                work(&cache, seed + 2000, 20, &done);
            });
            work(&cache, seed + 3000, 20, &done);
            child.join();
        }
        stop.store(true, SeqCst);
    });
    assert_eq!(counted(&cache.stats()), sums(&done));
    assert_eq!(cache.processes().len(), 81);
}

/// A table of four lines, and many more processes: the dead make place, and what they counted
/// stays in the totals.
#[test]
fn lines_of_the_dead_are_used_again_and_their_counters_kept() {
    let _turn = alone();
    let cache = patient().processes(4).create_memfd().expect("a segment");
    let done = Done::new();
    for seed in 0..40 {
        fork(|| work(&cache, seed, 50, &done)).join();
        assert_eq!(counted(&cache.stats()), sums(&done), "after child {seed}");
    }
    assert_eq!(cache.processes().len(), 4);
    assert_eq!(cache.processes().iter().filter(|line| line.is_alive()).count(), 1);
}

/// As above with deaths at any moment: an operation that was counted but not yet noted, or
/// under way, is all that the two sums can differ by.
#[test]
fn the_counters_of_the_killed_are_kept_too() {
    let _turn = alone();
    let cache = patient().processes(4).create_memfd().expect("a segment");
    let done = Done::new();
    let mut rng = Rng::new(4);
    let kills = 300;
    for seed in 0..kills {
        let child = fork(|| work(&cache, seed, u64::MAX, &done));
        // Half of them while they join the table or before.
        let longest = if rng.one_in(2) { 300 } else { 3000 };
        thread::sleep(Duration::from_micros(rng.below(longest)));
        child.kill();
    }
    for (counted, noted) in counted(&cache.stats()).into_iter().zip(sums(&done)) {
        assert!((noted..=noted + kills).contains(&counted), "{counted} counted, {noted} noted");
    }
}

/// A detach moves the counters of a line to the totals and frees the line. Whoever comes next
/// finishes what a death interrupted: nothing is added twice, nothing is left out.
#[test]
fn a_death_in_the_midst_of_a_detach_loses_no_count() {
    let options = with_buckets(patient().processes(4), 1, 32 << 10);
    let cache = options.create_memfd().expect("a segment");
    let done = Done::new();
    let mut rng = Rng::new(5);
    let kills = 400;
    for seed in 0..kills {
        let child = fork(|| {
            loop {
                let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
                let guest = options.attach_fd(fd).expect("it is there");
                work(&guest, seed, 8, &done);
            }
        });
        thread::sleep(Duration::from_micros(rng.within(100, 4000)));
        child.kill();
    }
    // A count that was folded twice or lost is one of eight operations.
    for (counted, noted) in counted(&cache.stats()).into_iter().zip(sums(&done)) {
        assert!((noted..=noted + kills).contains(&counted), "{counted} counted, {noted} noted");
    }
    let _ = options.attach_fd(cache.fd().try_clone_to_owned().expect("a descriptor"));
    assert!(cache.processes().len() <= 4);
}

/// Three at a time with four lines: whoever comes finds a line, for one of the dead has it, even
/// if two come at once.
#[test]
fn those_who_come_at_once_all_find_a_line() {
    let _turn = alone();
    let cache = patient().processes(4).create_memfd().expect("a segment");
    let done = Done::new();
    for seed in 0..60 {
        join_all([0, 1, 2].map(|k| fork(|| work(&cache, seed * 3 + k, 20, &done))));
        assert_eq!(counted(&cache.stats()), sums(&done), "after round {seed}");
    }
}

/// With more processes than lines nobody is refused; who finds no line counts for itself.
#[test]
fn a_full_table_refuses_nobody() {
    let _turn = alone();
    let cache = patient().processes(1).create_memfd().expect("a segment");
    let done = Done::new();
    let children: Vec<Child> = (0..6).map(|seed| fork(|| work(&cache, seed, 200, &done))).collect();
    join_all(children);
    assert_eq!(cache.processes().len(), 1);
    assert_eq!(counted(&cache.stats()), [0; 4], "the creator did nothing");
    assert!(!cache.is_empty() && sums(&done)[2] > 0);
}
