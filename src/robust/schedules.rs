//! The lock's own code on a kernel that is made up: threads run in random orders, switched at every
//! step ([`window`](crate::fault::window)), and die at any of them, as often as a run allows.
//!
//! A run fails if two are in the section, if a living owner's lock is taken from it, if a death
//! in the section is not told to the next owner, or if somebody sleeps for ever. Without slices a
//! wake-up that does not come is a deadlock, which shuttle reports.
//!
//! `SHMTLS_SCHEDULES` is the number of orders (100,000 over all tests).

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner, thread};

use super::*;
use crate::fault::switch;

mod machine;
use machine::{Killed, Machine, Simulated, machine};

/// What the kernel does for a thread that dies and does not own the word that it announced
/// (`handle_futex_death`), and whether it does anything at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Help {
    /// Linux 6.2: wakes one sleeper if nobody owns the word.
    IfUnowned,
    /// Linux 7.2: also if its owner does not know of sleepers.
    IfNobodyWillWake,
    /// `process_mrelease` and the OOM reaper: the list is gone before the kernel reads it.
    Lost,
}

/// One kind of run.
#[derive(Debug, Clone, Copy)]
struct Scene {
    help: Help,
    /// Sleeps end by themselves. Without, only a wake-up ends them.
    slices: bool,
    threads: usize,
    rounds: usize,
    kills: usize,
}

const AIDED: Scene =
    Scene { help: Help::IfUnowned, slices: false, threads: 3, rounds: 2, kills: 1 };
const UNAIDED: Scene = Scene { help: Help::Lost, slices: true, rounds: 2, kills: 2, ..AIDED };

#[test]
fn nobody_is_stranded_with_the_help_of_the_kernel() {
    assert_holds(AIDED);
    assert_holds(Scene { rounds: 1, kills: 3, ..AIDED });
}

#[test]
fn nobody_is_stranded_on_newer_kernels() {
    assert_holds(Scene { help: Help::IfNobodyWillWake, kills: 2, ..AIDED });
}

/// The dead leave their locks locked, and their IDs go to others.
#[test]
fn locks_are_taken_over_without_the_help_of_the_kernel() {
    assert_holds(UNAIDED);
}

#[test]
fn every_known_mistake_is_found() {
    for (fault, scene) in [
        (Fault::UnlockStoresZero, AIDED),
        (Fault::NoPending, AIDED),
        (Fault::PendingClearedBeforeWake, AIDED),
        (Fault::WaitersForgotten, AIDED),
        (Fault::NoTakeOver, UNAIDED),
        (Fault::HastyTakeOver, UNAIDED),
    ] {
        let found = catch_unwind(|| explore(scene, Some(fault), 2_000_000));
        assert!(found.is_err(), "{fault:?} is not found");
    }
}

fn assert_holds(scene: Scene) {
    const SCENES: usize = 4;
    let all = std::env::var("SHMTLS_SCHEDULES").map_or(100_000, |n| n.parse().expect("a number"));
    explore(scene, None, all / SCENES);
}

/// Half of the orders are random at each step, half have few switches (PCT).
fn explore(scene: Scene, fault: Option<Fault>, schedules: usize) {
    run(scene, fault, RandomScheduler::new(schedules / 2));
    run(scene, fault, PctScheduler::new(4, schedules.div_ceil(2)));
}

fn run(scene: Scene, fault: Option<Fault>, scheduler: impl Scheduler + 'static) {
    let mut config = Config::new();
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.failure_persistence = FailurePersistence::None;
    switch::with(fault, Some(machine::step), || {
        Runner::new(scheduler, config).run(move || play(scene));
    });
}

/// One run: every process goes through the section so many times. Who dies may come back as a new
/// process, with the old ID or another one.
fn play(scene: Scene) {
    Machine::start(scene);
    let word = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..scene.threads)
        .map(|_| {
            let word = word.clone();
            thread::spawn(move || live_and_die(&word, scene.rounds))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    // Whoever comes later gets the lock.
    machine(Machine::end_killing);
    live_and_die(&word, 1);
    assert_eq!(word.load(SeqCst) & TID_MASK, 0, "the lock is locked in the end");
}

fn live_and_die(word: &AtomicU32, rounds: usize) {
    let mut left = rounds;
    loop {
        machine(Machine::begin_life);
        let life = catch_unwind(AssertUnwindSafe(|| {
            while left > 0 {
                go_through(word);
                left -= 1;
            }
        }));
        match life {
            Err(cause) if cause.is::<Killed>() => machine::exit(word),
            Err(cause) => resume_unwind(cause),
            Ok(()) => return machine(Machine::end_life),
        }
        if !machine(Machine::is_born_again) {
            return;
        }
    }
}

fn go_through(word: &AtomicU32) {
    let patience = Patience { deadline: Duration::MAX, slice: Duration::from_millis(10) };
    let Ok(Acquired { guard, death, .. }) = lock_on::<Simulated>(word, patience) else {
        panic!("there is no deadline");
    };
    let section = catch_unwind(|| {
        window();
        machine(|machine| machine.enter(death));
        window();
        machine(Machine::leave);
    });
    if let Err(cause) = section {
        // The dead run no destructors.
        std::mem::forget(guard);
        resume_unwind(cause);
    }
}
