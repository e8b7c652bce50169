//! A PID namespace whose /proc is another one's, as after `unshare --pid` without a new mount. That
//! writers of different namespaces are refused is in `processes/attaching.rs` and
//! `attach/surroundings.rs`.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use nix::sys::signal::{Signal, raise};
use shmtls::{Busy, Inserted, KeyError, Miss, TicketKey};

use crate::lab::{assert_whole, assert_whole_soon, caught, eventually, one_bucket};
use crate::payload::{check, context, id, soon};
use crate::procs::{
    Child, alone, ask_for_pid, exit, fork, fork_in_pid_namespace, fork_under_a_strange_proc,
};
use crate::scoreboard::Shared;

/// /proc/ID is a stranger there. A zombie outside, and the owner of a lock inside that had the same
/// ID was taken for dead, with its section under way.
#[test]
fn a_stranger_of_the_owners_id_says_nothing_of_the_owner() {
    let _turn = alone();
    let zombie = fork(|| exit(0));
    zombie.wait_zombie();
    let inside = fork_under_a_strange_proc(|| {
        let cache = one_bucket();
        let go_on = Shared::<AtomicU32>::new();
        ask_for_pid(zombie.pid());
        let owner = caught(&cache, || eventually("the others", || go_on.load(SeqCst) != 0));
        assert_eq!(owner.pid(), zombie.pid(), "the same number in two namespaces");
        assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy));
        assert_eq!((cache.stats().recoveries(), cache.stats().lock_deadlines), (0, 1));
        let lines = cache.processes();
        assert!(lines.iter().all(|line| line.is_alive()), "{lines:?}");
        go_on.store(1, SeqCst);
        assert_whole_soon(&cache);
        owner.kill();
        assert_whole_soon(&cache);
    });
    inside.into_iter().for_each(Child::join);
}

/// Without a /proc of its own nobody sees zombies, but the kernel's help and signals remain.
#[test]
fn the_dead_are_found_under_a_strange_proc_too() {
    let _turn = alone();
    let inside = fork_under_a_strange_proc(|| {
        let cache = one_bucket();
        let owner = caught(&cache, || {
            let _ = raise(Signal::SIGKILL);
        });
        owner.wait_zombie();
        assert_whole(&cache);
        let again = caught(&cache, || {
            crate::owners::use_a_robust_mutex();
            let _ = raise(Signal::SIGKILL);
        });
        again.wait_zombie();
        assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy));
        drop(again);
        assert_whole(&cache);
        let stats = cache.stats();
        assert_eq!((stats.owner_died_kernel, stats.owner_died_stolen), (1, 1), "{stats:?}");
        assert_eq!((stats.repair_lost, stats.lock_deadlines), (0, 1), "{stats:?}");
    });
    inside.into_iter().for_each(Child::join);
}

/// Whoever attaches from another namespace is refused; but a child that is forked into one has the
/// mapping already. Its thread IDs are those of strangers to the others, and theirs to it: both
/// took living owners for dead.
#[test]
fn a_child_that_is_forked_into_another_namespace_gets_no_lock() {
    let _turn = alone();
    for has_proc in [true, false] {
        let cache = one_bucket();
        let published = cache.keys().publish(vec![key()]).expect("keys");
        let work = || {
            let get =
                || cache.get_session(&context(), &id(1)).map(|session| check(1, session.bytes()));
            assert_eq!(get(), Ok(1), "needs no lock");
            assert_eq!(cache.take(&context(), &id(1)).err(), Some(Miss::Busy));
            assert_eq!(cache.insert(&context(), &id(2), b"other", soon()), Inserted::Busy);
            assert_eq!(cache.remove(&context(), &id(3)), Err(Busy));
            assert_eq!(cache.keys().epoch(), published.epoch);
            assert!(cache.keys().status().is_some());
            assert!(matches!(cache.keys().publish(vec![key()]), Err(KeyError::Busy)));
            fork(|| assert_eq!(cache.remove(&context(), &id(3)), Err(Busy))).join();
            assert_whole(&one_bucket());
        };
        let inside =
            if has_proc { fork_in_pid_namespace(work) } else { fork_under_a_strange_proc(work) };
        inside.into_iter().for_each(Child::join);
        assert_eq!(cache.processes().len(), 1, "a line of another namespace's process");
        assert_eq!(cache.keys().epoch(), published.epoch);
        assert_whole(&cache);
    }
}

fn key() -> TicketKey {
    TicketKey::random().expect("random bytes")
}
