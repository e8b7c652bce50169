//! Forks and their like at the worst of moments.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;
use std::{env, thread};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::getpid;
use shmtls::{Cache, Miss};

use crate::lab::{
    DEADLINE, Lock, Thread, assert_whole, assert_whole_soon, caught_with, eventually, lock_word,
    of_buckets, one_bucket, stand_still, vfork,
};
use crate::payload::{context, id};
use crate::procs::{alone, fork};
use crate::scoreboard::{Shared, waiting};
use crate::seccomp;

/// The child has no such thread: a lock that was copied into it would never be released. Ours lie
/// in the segment, and their owner is a living thread of the parent.
#[test]
fn a_fork_while_another_thread_is_in_its_section() {
    let _turn = alone();
    let cache = of_buckets(2);
    let signs = Shared::<[AtomicU32; 2]>::new();
    let [is_in, go_on] = &*signs;
    let stay_in = || {
        is_in.store(1, SeqCst);
        eventually("the forks", || go_on.load(SeqCst) != 0);
    };
    let fork_meanwhile = || {
        eventually("a thread is in", || is_in.load(SeqCst) != 0);
        let found = |cache: &Cache, number| match cache.size_of(&context(), &id(number)) {
            Ok(_) => true,
            Err(Miss::Busy) => false,
            Err(miss) => panic!("session {number}: {miss:?}"),
        };
        let in_free_bucket = |cache: &Cache| (0..12).filter(|n| found(cache, *n)).count();
        let of_child = Shared::<AtomicU32>::new();
        fork(|| of_child.store(in_free_bucket(&cache) as u32, SeqCst)).join();
        let of_parent = in_free_bucket(&cache);
        assert_eq!(of_child.load(SeqCst) as usize, of_parent);
        assert!((1..12).contains(&of_parent), "of 12 in the other bucket: {of_parent}");
        let child = fork(|| {
            eventually("the owner lets go", || found(&cache, 0) && found(&cache, 11));
            assert_whole(&cache);
        });
        go_on.store(1, SeqCst);
        child.join();
        assert_whole_soon(&cache);
        is_in.store(2, SeqCst);
        stand_still()
    };
    let _child = caught_with(&cache, Thread::Other, stay_in, fork_meanwhile);
    eventually("all is done", || is_in.load(SeqCst) == 2);
    assert_whole_soon(&cache);
    assert_eq!((cache.stats().recoveries(), cache.stats().repairs), (0, 0));
}

/// A thread's first call in a process maps a page. A fork in its midst left the child waiting, at
/// its own first call and for ever, for a thread that it does not have.
#[test]
fn a_fork_in_the_midst_of_another_threads_first_call() {
    const FRESH: &str = "SHMTLS_TEST_FRESH_PROCESS";
    if env::var_os(FRESH).is_none() {
        let _turn = alone();
        if !seccomp::is_available("a fork in the midst of a first call") {
            return;
        }
        // A process that has never used the library: this very test, started anew.
        let output = std::process::Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "forks::a_fork_in_the_midst_of_another_threads_first_call"])
            .args(["--nocapture", "--test-threads=1"])
            .env(FRESH, "")
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    fork(|| {
        let reached = Shared::<AtomicU32>::new();
        thread::scope(|scope| {
            let first = || {
                seccomp::stand_still_at_advice(libc::MADV_WIPEONFORK, &reached);
                drop(one_bucket());
            };
            scope.spawn(first);
            eventually("a thread stands in its first call", || reached.load(SeqCst) != 0);
            let done = Shared::<AtomicU32>::new();
            let child = fork(|| {
                assert_whole(&one_bucket());
                done.store(1, SeqCst);
            });
            eventually("the child's first call", || done.load(SeqCst) != 0);
            child.join();
            // The parent does not wait for that thread either.
            assert_whole(&one_bucket());
            crate::procs::exit(0);
        });
    })
    .join();
}

/// A child's first call takes a line of the process table, which has a lock too. Somebody who
/// stands still in there cost it half a second, ten times its deadline.
#[test]
fn a_childs_first_call_keeps_its_deadline() {
    let _turn = alone();
    let cache = one_bucket();
    let table = lock_word(&cache, Lock::Table);
    let owner = fork(|| stand_still());
    table.store(owner.pid().as_raw().unsigned_abs(), SeqCst);
    let signs = Shared::<[AtomicU32; 2]>::new();
    let [tried, free] = &*signs;
    let child = fork(|| {
        let start = Instant::now();
        let ((), first) = waiting(|| assert_whole(&cache));
        assert!(start.elapsed() >= DEADLINE && first < 5 * DEADLINE, "it waited {first:?}");
        let ((), second) = waiting(|| assert_whole(&cache));
        assert!(second < DEADLINE, "it waited again: {second:?}");
        tried.store(1, SeqCst);
        eventually("the table is free", || free.load(SeqCst) != 0);
        assert_whole(&cache);
        tried.store(2, SeqCst);
        stand_still()
    });
    let line_of_child = || {
        let lines = cache.processes().into_iter();
        lines.into_iter().find(|line| line.pid() == child.pid().as_raw().unsigned_abs())
    };
    eventually("two rounds", || tried.load(SeqCst) == 1);
    assert_eq!(line_of_child(), None, "the table is locked");
    table.store(0, SeqCst);
    free.store(1, SeqCst);
    eventually("the third round", || tried.load(SeqCst) == 2);
    let line = line_of_child().expect("it has joined meanwhile");
    assert_eq!(line.stats().hits, 61, "it counts from its line on");
    child.kill();
}

// ---- vfork, which the documentation rules out ---------------------------------------------------

/// A vfork child is its parent's thread under another ID. While it finishes what it begins, nobody
/// sees a difference.
#[test]
fn a_vfork_child_that_finishes_its_calls_harms_nobody() {
    let _turn = alone();
    let cache = one_bucket();
    fork(|| {
        assert_whole(&cache);
        let child = vfork(|| assert_whole(&cache));
        assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        assert_whole(&cache);
    })
    .join();
    assert_whole(&cache);
    assert_eq!((cache.stats().recoveries(), cache.stats().lock_deadlines), (0, 0));
}

/// One that dies in a section leaves a lock with the ID of its parent, who lives: the bucket is
/// gone for as long as that lives, and for no longer. Nobody waits beyond the deadline, the
/// parent's own thread not at all, and nothing is torn.
#[test]
fn a_vfork_child_that_dies_in_a_section_costs_the_bucket_until_its_parent_ends() {
    let _turn = alone();
    let cache = one_bucket();
    let done = Shared::<AtomicU32>::new();
    let die = || {
        let _ = kill(getpid(), Signal::SIGKILL);
        stand_still()
    };
    let parent_goes_on = || {
        let give_up = |number| {
            assert_eq!(cache.size_of(&context(), &id(number)), Err(Miss::Busy));
        };
        let ((), waited) = waiting(|| (0..20).for_each(give_up));
        assert!(waited < 10 * DEADLINE, "its thread is in a section, but it waited {waited:?}");
        done.store(1, SeqCst);
        stand_still()
    };
    let parent = caught_with(&cache, Thread::VforkChild, die, parent_goes_on);
    eventually("the parent has tried", || done.load(SeqCst) != 0);
    let start = Instant::now();
    assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy));
    assert!(start.elapsed() >= DEADLINE, "taken from its parent, who lives");
    assert_eq!(cache.stats().lock_reentered, 20);
    parent.kill();
    assert_whole(&cache);
    assert_eq!((cache.stats().owner_died_kernel, cache.stats().repair_lost), (1, 0));
}
