use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use super::*;

mod stranding;

const PATIENCE: Patience =
    Patience { deadline: Duration::from_millis(500), slice: Duration::from_millis(10) };

use crate::sys::thread::Section;

fn own_tid() -> u32 {
    let word = AtomicU32::new(0);
    Section::enter(&word).expect("in no section").tid()
}

#[test]
fn lock_and_unlock_leave_a_free_word() {
    let word = AtomicU32::new(0);
    let acquired = lock(&word, PATIENCE).expect("free");
    assert_eq!(acquired.death, None);
    assert!(!acquired.journey.waited);
    assert_eq!(word.load(SeqCst), own_tid_of(&acquired));
    drop(acquired);
    assert_eq!(word.load(SeqCst), 0);
}

fn own_tid_of(acquired: &Acquired<'_>) -> u32 {
    acquired.guard.announced.tid()
}

/// A signal handler that calls the cache while its thread holds a bucket would wait for itself.
#[test]
fn a_second_section_on_the_same_thread_is_refused_not_deadlocked() {
    let (first, second) = (AtomicU32::new(0), AtomicU32::new(0));
    let held = lock(&first, PATIENCE).expect("free");
    assert_eq!(lock(&second, PATIENCE).err(), Some(NotAcquired::Reentered));
    drop(held);
    assert!(lock(&second, PATIENCE).is_ok());
}

#[test]
fn threads_exclude_each_other() {
    let word = AtomicU32::new(0);
    let inside = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let patience = Patience { deadline: Duration::from_secs(20), ..PATIENCE };
                    let _held = lock(&word, patience).expect("before the deadline");
                    assert_eq!(inside.fetch_add(1, SeqCst), 0);
                    inside.fetch_sub(1, SeqCst);
                }
            });
        }
    });
    assert_eq!(word.load(SeqCst) & !WAITERS, 0);
}

/// A live owner that does not let go costs its deadline and no more.
#[test]
fn a_held_lock_ends_at_the_deadline() {
    let word = AtomicU32::new(0);
    let held = lock(&word, PATIENCE).expect("free");
    thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            let patience = Patience { deadline: Duration::from_millis(40), ..PATIENCE };
            let refused = lock(&word, patience).expect_err("held");
            assert!(matches!(refused, NotAcquired::Deadline(journey) if journey.waited));
            let waited = start.elapsed();
            assert!(waited >= Duration::from_millis(40) && waited < Duration::from_millis(400));
        });
    });
    drop(held);
    assert_eq!(word.load(SeqCst), WAITERS, "kept for the sleeper, who has gone");
    assert!(lock(&word, PATIENCE).is_ok());
}

/// The kernel frees the lock of a thread that ends while it holds it.
#[test]
fn the_kernel_frees_the_lock_of_a_thread_that_ends() {
    let word = AtomicU32::new(0);
    thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(lock(&word, PATIENCE).expect("free")));
    });
    let deadline = Instant::now() + Duration::from_secs(2);
    while word.load(SeqCst) & OWNER_DIED == 0 {
        assert!(Instant::now() < deadline, "word {:#x}", word.load(SeqCst));
        thread::yield_now();
    }
    let acquired = lock(&word, PATIENCE).expect("free");
    assert_eq!(acquired.death, Some(Death::Kernel));
}

/// `process_mrelease` and the OOM reaper can destroy the robust list before the kernel reads it:
/// the word keeps a dead owner's ID, and 91 % of such locks stayed locked for ever.
#[test]
fn a_dead_owner_that_the_kernel_missed_is_taken_over() {
    for waiters in [0, WAITERS] {
        let word = AtomicU32::new(0x3fff_fff0 | waiters);
        let acquired = lock(&word, PATIENCE).expect("the owner is dead");
        assert_eq!(acquired.death, Some(Death::Stolen));
        drop(acquired);
        assert_eq!(word.load(SeqCst), waiters);
    }
}

/// The ID of a thread that died in its section can be given to a new thread, which then finds
/// "itself" as the owner.
#[test]
fn a_word_with_our_own_id_is_a_dead_predecessors() {
    for bits in [0, WAITERS, OWNER_DIED, OWNER_DIED | WAITERS] {
        let word = AtomicU32::new(own_tid() | bits);
        let acquired = lock(&word, PATIENCE).expect("we hold nothing");
        assert_eq!(acquired.death, Some(Death::SameTid));
    }
}

/// A thief that claimed the word of an owner who turns out to live gives it back, and an owner
/// that unlocks a claimed word undoes the claim.
#[test]
fn a_claim_on_a_live_owner_is_undone() {
    let word = AtomicU32::new(0);
    let held = lock(&word, PATIENCE).expect("free");
    let owner = own_tid_of(&held);
    thread::scope(|scope| {
        scope.spawn(|| {
            let attempt = Attempt::<Linux> {
                word: &word,
                tid: own_tid(),
                slept: false,
                journey: Journey::default(),
                kernel: PhantomData,
            };
            assert!(attempt.take_over(owner, owner).is_none());
        });
    });
    assert_eq!(word.load(SeqCst), owner, "given back");

    word.store(12_345 | OWNER_DIED, SeqCst);
    drop(held);
    assert_eq!(word.load(SeqCst), WAITERS, "released in spite of the claim");
}

/// Unlocking by "store 0, then wake" strands the second sleeper when the unlocker is killed in
/// between: with the bit kept, whoever barges in takes it over.
#[test]
fn whoever_barges_in_inherits_the_sleepers() {
    let word = AtomicU32::new(WAITERS);
    let acquired = lock(&word, PATIENCE).expect("free");
    assert_eq!(word.load(SeqCst), own_tid_of(&acquired) | WAITERS);
    drop(acquired);
    assert_eq!(word.load(SeqCst), WAITERS);
}

/// After one contention the word keeps `WAITERS`, and every lock of that bucket counted as a wait:
/// half a million in a minute in which hardly anybody waited.
#[test]
fn a_word_that_keeps_waiters_is_free_and_nobody_waits_for_it() {
    let word = AtomicU32::new(WAITERS);
    assert!(!lock(&word, PATIENCE).expect("free").journey.waited);
    word.store(0, SeqCst);
    let held = lock(&word, PATIENCE).expect("free");
    thread::scope(|scope| {
        let waiter = scope.spawn(|| lock(&word, PATIENCE).expect("released").journey);
        while word.load(SeqCst) & WAITERS == 0 {
            thread::yield_now();
        }
        drop(held);
        assert!(waiter.join().expect("no panic").waited);
    });
}

/// While a lock is held its word is what the kernel looks at; afterwards it is not.
#[test]
fn the_announcement_points_at_the_word_and_is_taken_back() {
    let word = AtomicU32::new(0);
    let held = lock(&word, PATIENCE).expect("free");
    assert!(!held.journey.without_kernel);
    drop(held);
    // A thread that ends now must leave the word alone, whatever it holds by then.
    let tid = own_tid();
    word.store(tid, SeqCst);
    drop(lock(&AtomicU32::new(0), PATIENCE));
    assert_eq!(word.load(SeqCst), tid);
}
