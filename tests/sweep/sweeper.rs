//! The sweep itself: one kill for each instruction of an operation, side by side on all cores.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Instant;
use std::{env, panic};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::{Pid, alarm};

use super::image::{Image, Lock};
use super::lab::Lab;
use super::operations::Operation;
use super::procs::{fork, join_all, notice};
use super::scoreboard::{Shared, Zeroed};
use super::survivor::{Bounds, Death, Moment, Outcome};
use super::trace::Trace;
use super::tracer::Traced;

/// Every so many instructions: all of them, if asked for.
const STRIDE: usize = 16;
/// Seconds in which one kill and all checks must be done, or one run step by step.
const ALARM_SECS: u32 = 300;

/// Tries to see the same run twice.
const RECORDINGS: usize = 5;

/// What the workers of a sweep counted.
#[repr(C)]
#[derive(Debug)]
struct Tally {
    instructions: AtomicU64,
    kills: AtomicU64,
    /// The kernel found the dead one's ID in a lock.
    marked: AtomicU64,
    /// The bucket was being changed.
    odd: AtomicU64,
    before: AtomicU64,
    between: AtomicU64,
    after: AtomicU64,
    /// The run was not where the recorded one had been after so many instructions.
    astray: AtomicU64,
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Tally {}

pub(crate) fn stride() -> usize {
    let number = |text: String| text.parse().expect("SHMTLS_STRIDE: a number");
    env::var("SHMTLS_STRIDE").map_or(STRIDE, number)
}

/// Kills a child after every `stride`th instruction of `operation`. Panics if a survivor finds
/// anything that must not be.
pub(crate) fn sweep(operation: &Operation, stride: usize, room: &Path) {
    let start = Instant::now();
    let tally = Shared::<Tally>::new();
    let cores = cores();
    let workers = cores.iter().enumerate().map(|(worker, core)| {
        let share = (worker * stride, cores.len() * stride);
        let (room, tally) = (room.join(worker.to_string()), &tally);
        fork(move || {
            // A child that runs where its tracer does is switched to at once.
            let _ = sched_setaffinity(Pid::from_raw(0), core);
            tell_where_it_failed(operation.name);
            Sweeper::new(operation, &room).run(share, tally);
        })
    });
    join_all(workers);
    let n = |count: &AtomicU64| count.load(SeqCst);
    notice(&format!(
        "sweep: {:16} {:6} instructions, {:6} kills: {:6} locks marked, {:6} buckets half changed; \
         found {:6} as before, {:4} between, {:6} as after; {} astray, {:.1} s",
        operation.name,
        n(&tally.instructions),
        n(&tally.kills),
        n(&tally.marked),
        n(&tally.odd),
        n(&tally.before),
        n(&tally.between),
        n(&tally.after),
        n(&tally.astray),
        start.elapsed().as_secs_f64(),
    ));
    // Else this would be a sweep of other instructions than those that were counted.
    assert!(n(&tally.astray) * 2 < n(&tally.kills), "most runs took another way");
}

/// One worker's segment, and how the operation goes in it undisturbed.
struct Sweeper<'a> {
    operation: &'a Operation,
    lab: Lab,
    trace: Trace,
    bounds: Bounds,
}

impl<'a> Sweeper<'a> {
    fn new(operation: &'a Operation, room: &Path) -> Self {
        let mut lab = Lab::new(room.into());
        (operation.prepare)(&mut lab);
        let before = Moment::of(&lab);
        let trace = usual_trace(operation, &lab, &before.image);
        let after = Moment::of(&lab);
        (operation.also)(&lab, true);
        lab.reset(&before.image);
        Self { operation, lab, trace, bounds: Bounds { before, after } }
    }

    fn run(&self, (first, step): (usize, usize), tally: &Tally) {
        let instructions = self.trace.instructions();
        tally.instructions.fetch_max(instructions as u64, SeqCst);
        for k in (first..instructions).step_by(step) {
            self.kill_after(k, tally);
        }
    }

    fn kill_after(&self, k: usize, tally: &Tally) {
        alarm::set(ALARM_SECS);
        AT.store(k, SeqCst);
        let child = start(self.operation, &self.lab);
        let on_the_way = child.go_to(&self.trace, k);
        let death = Death { returned: self.has_returned(), in_hand: self.is_in_hand(&child) };
        child.kill();
        let left = self.lab.image();
        let outcome = self.bounds.check(&self.lab, &left, death);
        (self.operation.also)(&self.lab, death.returned);
        self.lab.reset(&self.bounds.before.image);
        let count = |counter: &AtomicU64, yes: bool| counter.fetch_add(yes.into(), SeqCst);
        count(&tally.kills, true);
        count(&tally.marked, left.locks().contains(&Lock::Marked));
        count(&tally.odd, left.is_being_changed());
        count(&tally.before, outcome == Outcome::Before);
        count(&tally.between, outcome == Outcome::Between);
        count(&tally.after, outcome == Outcome::After);
        count(&tally.astray, !on_the_way);
    }

    fn has_returned(&self) -> bool {
        self.lab.board.returned.load(SeqCst) == 1
    }

    /// Whether all of the session that the child takes is in its own memory.
    fn is_in_hand(&self, child: &Traced) -> bool {
        let board = &self.lab.board;
        let len = board.taken_len.load(SeqCst) as usize;
        let there = child.memory(board.taken_to.load(SeqCst) as usize, len);
        len > 0 && there.is_some_and(|bytes| self.lab.is_stored_payload(&bytes))
    }
}

/// The way that two runs in a row have taken: one alone may have met the turn of a second, or a
/// clock that was being set. Leaves the segment as the last run did.
fn usual_trace(operation: &Operation, lab: &Lab, before: &Image) -> Trace {
    let record = || {
        alarm::set(ALARM_SECS);
        lab.reset(before);
        (operation.also)(lab, false);
        let child = start(operation, lab);
        let trace = Trace::record(&child);
        child.kill();
        trace
    };
    let mut trace = record();
    for _ in 0..RECORDINGS {
        let again = record();
        if again.is_as(&trace) {
            break;
        }
        trace = again;
    }
    trace
}

fn start(operation: &Operation, lab: &Lab) -> Traced {
    Traced::start(&lab.report, |go| {
        (operation.act)(lab, go);
        lab.board.returned.store(1, SeqCst);
    })
}

/// The instruction that this worker is at.
static AT: AtomicUsize = AtomicUsize::new(0);

fn tell_where_it_failed(name: &'static str) {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        notice(&format!("sweep: {name}: killed after instruction {}", AT.load(SeqCst)));
        hook(info);
    }));
}

/// The cores that this process may run on, each by itself.
fn cores() -> Vec<CpuSet> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("our own");
    let one = |core| {
        let mut set = CpuSet::new();
        set.set(core).expect("a core");
        set
    };
    let cores = (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).map(one);
    cores.collect()
}
