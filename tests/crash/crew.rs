//! The workers of a storm: how they are forked, stopped and killed.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use shmtls::Cache;

use super::battery;
use super::board::{Board, Plan, VETERANS};
use super::kernel::{hasten, pidfd_open, process_mrelease, step_back, step_forward};
use super::memory::{SmallMemory, eat};
use super::payload::Rng;
use super::procs::{Child, Report, ask_for_pid, fork_reporting};
use super::worker::Worker;

/// How workers die.
#[derive(Debug)]
pub(crate) enum Death {
    /// SIGKILL: the kernel walks the robust list.
    Killed,
    /// SIGKILL and `process_mrelease`, as earlyoom does: the list may be gone before that.
    Released,
    /// The kernel kills them for their appetite.
    Starved(SmallMemory),
}

/// Whose ID the next worker gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ids {
    /// One that nobody had for long.
    Fresh,
    /// The dead one's before it.
    Reused,
    /// One of sixteen, in turn.
    Few,
}

/// After so long one of the veterans is killed.
const SERVICE: Duration = Duration::from_secs(4);
/// Tells a worker to eat until it is killed.
const EAT: Signal = Signal::SIGUSR1;

/// All workers, one process each.
pub(crate) struct Crew<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) board: &'a Board,
    pub(crate) cache: &'a Cache,
    pub(crate) death: &'a Death,
    pub(crate) ids: Ids,
    /// What to say where something is wrong.
    pub(crate) told: &'a str,
    pub(crate) rng: Rng,
    report: Arc<Report>,
    /// The veterans come last.
    workers: Vec<Child>,
    /// When a veteran was replaced, and which is next.
    relieved: (Instant, usize),
    /// Those that stand still, and until when.
    standing: Vec<(usize, Instant)>,
}

impl<'a> Crew<'a> {
    pub(crate) fn enlist(
        (plan, board, cache): (&'a Plan, &'a Board, &'a Cache),
        (death, ids): (&'a Death, Ids),
        told: &'a str,
        rng: Rng,
    ) -> Self {
        let (report, workers, standing) = (Report::new(), Vec::new(), Vec::new());
        let relieved = (Instant::now(), 0);
        let mut crew =
            Self { plan, board, cache, death, ids, told, rng, report, workers, relieved, standing };
        step_forward();
        // The workers inherit it, and wait for it.
        SigSet::from(EAT).thread_block().expect("a signal that may be blocked");
        for slot in 0..plan.workers + VETERANS {
            let worker = crew.fork(slot);
            crew.workers.push(worker);
        }
        crew
    }

    /// Lets some of them die together, or each death would wait for a core alone; says how many.
    pub(crate) fn kill_some(&mut self) -> u64 {
        let crew = self.plan.workers as u64;
        let together = if self.ids == Ids::Reused { 1 } else { 1 + self.rng.below(crew * 2 / 3) };
        let first = self.rng.below(crew);
        let victims = (first..first + together).map(|slot| (slot % crew) as usize);
        // Who stands still does so for as long as it was told to.
        let victims: Vec<usize> = victims.filter(|slot| !self.is_standing(*slot)).collect();
        victims.iter().for_each(|slot| self.put_to_death(*slot));
        victims.iter().for_each(|slot| self.replace(*slot));
        victims.len() as u64 + self.relieve_veteran()
    }

    /// Kills a veteran whose time has come; says how many.
    fn relieve_veteran(&mut self) -> u64 {
        let (since, next) = self.relieved;
        let is_due = since.elapsed() > SERVICE;
        if is_due {
            let slot = self.plan.workers + next;
            self.put_to_death(slot);
            self.replace(slot);
            self.relieved = (Instant::now(), (next + 1) % VETERANS);
        }
        is_due.into()
    }

    pub(crate) fn kill_all(mut self) -> u64 {
        (0..self.workers.len()).for_each(|slot| self.put_to_death(slot));
        (0..self.workers.len()).for_each(|slot| self.see_dead(slot));
        self.workers.len() as u64
    }

    fn is_standing(&self, slot: usize) -> bool {
        self.standing.iter().any(|(stands, _)| *stands == slot)
    }

    fn is_veteran(&self, slot: usize) -> bool {
        slot >= self.plan.workers
    }

    fn put_to_death(&self, slot: usize) {
        let victim = &self.workers[slot];
        match self.death {
            Death::Killed => victim.signal(Signal::SIGKILL),
            Death::Released => {
                let pidfd = pidfd_open(victim.pid());
                victim.signal(Signal::SIGKILL);
                process_mrelease(&pidfd);
            }
            Death::Starved(_) if self.is_veteran(slot) => victim.signal(Signal::SIGKILL),
            Death::Starved(_) => victim.signal(EAT),
        }
        hasten(victim.pid());
    }

    fn see_dead(&mut self, slot: usize) {
        let was_killed = self.workers[slot].wait_killed();
        assert!(was_killed, "{}: {}", self.told, self.report.text());
        if let Some(at) = self.standing.iter().position(|(stands, _)| *stands == slot) {
            self.standing.swap_remove(at);
            self.board.goes_on(slot);
        }
    }

    fn replace(&mut self, slot: usize) {
        self.see_dead(slot);
        if self.ids == Ids::Reused {
            ask_for_pid(self.workers[slot].pid());
        }
        self.workers[slot] = self.fork(slot);
    }

    /// Stops somebody where it is, unless a third of them stand; says how many died meanwhile.
    ///
    /// Of those that have stood for long enough some go on and some are killed as they stand.
    pub(crate) fn stop_one(&mut self) -> u64 {
        let slot = self.rng.below(self.plan.workers as u64) as usize;
        if !self.is_standing(slot) && self.standing.len() < self.plan.workers / 3 {
            let most = if self.rng.one_in(4) { 800_000 } else { 5000 };
            let until = Instant::now() + Duration::from_micros(self.rng.below(most));
            self.board.stops(slot);
            self.workers[slot].signal(Signal::SIGSTOP);
            self.standing.push((slot, until));
        }
        let now = Instant::now();
        let (due, standing) = self.standing.iter().partition(|(_, until)| *until <= now);
        self.standing = standing;
        let due: Vec<(usize, Instant)> = due;
        due.into_iter().map(|(slot, _)| self.end_stop(slot)).sum()
    }

    fn end_stop(&mut self, slot: usize) -> u64 {
        let dies = self.rng.one_in(2);
        if dies {
            self.put_to_death(slot);
            self.replace(slot);
        } else {
            self.workers[slot].signal(Signal::SIGCONT);
        }
        self.board.goes_on(slot);
        dies.into()
    }

    fn fork(&mut self, slot: usize) -> Child {
        let (plan, board, cache, seed) = (self.plan, self.board, self.cache, self.rng.next());
        fork_reporting(&self.report, || {
            step_back();
            battery::begin(seed);
            thread::scope(|scope| {
                if let (Death::Starved(memory), false) = (self.death, self.is_veteran(slot)) {
                    memory.enter();
                    scope.spawn(|| SigSet::from(EAT).wait().map(|_| eat()));
                }
                for thread in 0..plan.threads {
                    let slot = slot * plan.threads + thread;
                    let rng = Rng::new(seed ^ thread as u64);
                    let work = move || Worker::new(plan, board, cache, slot, rng).run();
                    // The first thread has the process's own ID.
                    if thread + 1 == plan.threads {
                        work();
                    }
                    scope.spawn(work);
                }
            });
        })
    }
}
