//! The schedules in which a death strands a sleeper, forced: real processes run the real lock, and
//! one of them is stopped at the very system call at which it is to die.
//!
//! The sleepers' slice is longer than the tests wait: who had the lock in time was woken for it.

use nix::sys::utsname::uname;

use super::*;
use crate::fault::switch;
use procs::{Child, alone, fork, notice};
use scoreboard::Shared;

#[path = "../../../tests/common/procs.rs"]
mod procs;
#[path = "../../../tests/common/scoreboard.rs"]
mod scoreboard;
#[path = "../../../tests/common/seccomp.rs"]
mod seccomp;

const LONG: Patience =
    Patience { deadline: Duration::from_secs(60), slice: Duration::from_secs(30) };
/// A wake-up takes microseconds; a machine without a free core may take its time.
const TIMELY: Duration = Duration::from_secs(3);
/// Who is expected to be stranded need not be waited for.
const BRIEF: Duration = Duration::from_millis(300);

/// Whether somebody takes the lock between its release and the death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Barger {
    None,
    One,
}

/// What became of the sleeper.
#[derive(Debug, PartialEq, Eq)]
enum Sleeper {
    Woken { late_wakes: u32 },
    Stranded,
}

const WOKEN: Sleeper = Sleeper::Woken { late_wakes: 0 };

/// The lock word, and what the processes of a schedule tell each other.
struct Stage(Shared<[AtomicU32; 6]>);

impl Stage {
    fn new() -> Self {
        Self(Shared::new())
    }

    fn word(&self) -> &AtomicU32 {
        &self.0[0]
    }

    /// The holder has the lock.
    fn held(&self) -> &AtomicU32 {
        &self.0[1]
    }

    /// It is to let go.
    fn release(&self) -> &AtomicU32 {
        &self.0[2]
    }

    /// Somebody stands where he is to die.
    fn reached(&self) -> &AtomicU32 {
        &self.0[3]
    }

    /// The next one is about to ask for the lock.
    fn asks(&self) -> &AtomicU32 {
        &self.0[4]
    }

    /// The sleeper had the lock: one more than its late wakes.
    fn had(&self) -> &AtomicU32 {
        &self.0[5]
    }

    /// A process that has the lock, and lets go when it is told.
    fn holder(&self, before_it_lets_go: impl FnOnce()) -> Child {
        let holder = fork(|| {
            let held = lock(self.word(), LONG).expect("free");
            raise(self.held());
            assert!(came(self.release(), LONG.deadline));
            before_it_lets_go();
            drop(held);
        });
        assert!(came(self.held(), TIMELY), "no holder");
        holder
    }

    /// A process that sleeps until it has the lock.
    fn sleeper(&self, before_it_sleeps: impl FnOnce()) -> Child {
        self.asks().store(0, SeqCst);
        let sleeper = fork(|| {
            before_it_sleeps();
            raise(self.asks());
            let acquired = lock(self.word(), LONG).expect("before the deadline");
            self.had().store(1 + acquired.journey.late_wakes, SeqCst);
        });
        let start = Instant::now();
        let sleeps = || self.word().load(SeqCst) & WAITERS != 0 && sleeper.is_asleep();
        while self.asks().load(SeqCst) == 0 || !sleeps() {
            assert!(start.elapsed() < TIMELY, "it does not sleep");
            thread::sleep(Duration::from_millis(1));
        }
        sleeper
    }

    /// Kills `victim`, who has reached its place, with or without a barger in between.
    fn kill(&self, victim: Child, barger: Barger) {
        let barged = (barger == Barger::One).then(|| lock(self.word(), PATIENCE).expect("free"));
        victim.kill();
        drop(barged);
    }

    fn outcome(&self, within: Duration) -> Sleeper {
        match came(self.had(), within) {
            true => Sleeper::Woken { late_wakes: self.had().load(SeqCst) - 1 },
            false => Sleeper::Stranded,
        }
    }
}

fn raise(sign: &AtomicU32) {
    sign.store(1, SeqCst);
}

fn came(sign: &AtomicU32, within: Duration) -> bool {
    let start = Instant::now();
    while sign.load(SeqCst) == 0 && start.elapsed() < within {
        thread::sleep(Duration::from_micros(200));
    }
    sign.load(SeqCst) != 0
}

/// Schedule 1: the unlocker has released the word, and dies before it wakes the sleeper.
fn unlocker_dies_before_its_wake(barger: Barger, within: Duration) -> Sleeper {
    let stage = Stage::new();
    let unlocker = stage.holder(|| seccomp::stand_still_at_wake(stage.word(), stage.reached()));
    let _sleeper = stage.sleeper(|| {});
    raise(stage.release());
    assert!(came(stage.reached(), TIMELY), "nobody is woken at all");
    stage.kill(unlocker, barger);
    stage.outcome(within)
}

/// Schedule 2: of two sleepers the first has been woken, and dies before it takes the lock.
fn woken_sleeper_dies_before_its_lock(barger: Barger, within: Duration) -> Sleeper {
    let stage = Stage::new();
    let unlocker = stage.holder(|| {});
    let first = stage.sleeper(|| seccomp::stand_still_once_woken(stage.word(), stage.reached()));
    let _second = stage.sleeper(|| {});
    raise(stage.release());
    if !came(stage.reached(), within) {
        return Sleeper::Stranded;
    }
    unlocker.join();
    stage.kill(first, barger);
    stage.outcome(within)
}

/// Whether a kernel that finds `WAITERS` and no owner wakes somebody (commit 90d758896787).
fn kernel_passes_wakes_on() -> bool {
    let release = uname().expect("a kernel").release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (6, 2) {
        notice(&format!("SKIPPED: Linux {release} does not pass on the wake-ups of the dead"));
    }
    version >= (6, 2)
}

/// A schedule, and whether it counts on a kernel that passes wake-ups on.
type Schedule = (fn(Duration) -> Sleeper, bool);

const BARGED_IN_BEFORE_THE_WAKE: Schedule =
    (|within| unlocker_dies_before_its_wake(Barger::One, within), false);
const DIED_BEFORE_THE_WAKE: Schedule =
    (|within| unlocker_dies_before_its_wake(Barger::None, within), true);
const BARGED_IN_ON_THE_WOKEN: Schedule =
    (|within| woken_sleeper_dies_before_its_lock(Barger::One, within), false);
const WOKEN_AND_DIED: Schedule =
    (|within| woken_sleeper_dies_before_its_lock(Barger::None, within), true);

#[track_caller]
fn assert_ends((run, needs_kernel): Schedule, mistake: Option<Fault>, expected: &Sleeper) {
    let _turn = alone();
    let possible = seccomp::is_available("a death at one system call");
    if possible && (!needs_kernel || kernel_passes_wakes_on()) {
        let within = if *expected == Sleeper::Stranded { BRIEF } else { TIMELY };
        assert_eq!(switch::with(mistake, None, || run(within)), *expected, "{mistake:?}");
    }
}

/// With "store 0, then wake" the barger took a word that told of no sleeper, and woke nobody: who
/// slept went on sleeping.
#[test]
fn an_unlocker_that_dies_before_its_wake_strands_nobody_though_another_barges_in() {
    assert_ends(BARGED_IN_BEFORE_THE_WAKE, None, &WOKEN);
}

/// *Pending* stands until the sleeper has been woken: the kernel does it for the dead. An unlock
/// that cleared it before left the sleeper to his slice.
#[test]
fn the_kernel_wakes_for_an_unlocker_that_dies_before_its_wake() {
    assert_ends(DIED_BEFORE_THE_WAKE, None, &WOKEN);
}

/// The one wake-up went to somebody who died of it, and the barger knew of nobody else: glibc's
/// robust mutexes strand the second sleeper here, every time.
#[test]
fn a_woken_sleeper_that_dies_strands_nobody_though_another_barges_in() {
    assert_ends(BARGED_IN_ON_THE_WOKEN, None, &WOKEN);
}

/// A sleeper announces the word before it sleeps, not once it has the lock: so the kernel knows
/// what wake-up died with it.
#[test]
fn the_kernel_passes_on_the_wake_up_of_a_sleeper_that_dies_of_it() {
    assert_ends(WOKEN_AND_DIED, None, &WOKEN);
}

/// These tests are no use if they pass whatever the lock does.
#[test]
fn each_mistake_strands_a_sleeper_in_the_schedule_that_is_there_for_it() {
    for (mistake, schedule) in [
        (Fault::UnlockStoresZero, BARGED_IN_BEFORE_THE_WAKE),
        (Fault::UnlockStoresZero, BARGED_IN_ON_THE_WOKEN),
        (Fault::WaitersForgotten, BARGED_IN_BEFORE_THE_WAKE),
        (Fault::WaitersForgotten, BARGED_IN_ON_THE_WOKEN),
        (Fault::PendingClearedBeforeWake, DIED_BEFORE_THE_WAKE),
        (Fault::NoPending, DIED_BEFORE_THE_WAKE),
        (Fault::NoPending, WOKEN_AND_DIED),
        (Fault::PrivateFutex, BARGED_IN_BEFORE_THE_WAKE),
        (Fault::PrivateFutex, DIED_BEFORE_THE_WAKE),
        (Fault::PrivateFutex, BARGED_IN_ON_THE_WOKEN),
        (Fault::PrivateFutex, WOKEN_AND_DIED),
    ] {
        assert_ends(schedule, Some(mistake), &Sleeper::Stranded);
    }
}
