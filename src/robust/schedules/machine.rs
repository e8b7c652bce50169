//! The kernel that is made up. Its processes are shuttle's threads; all run on one real thread.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shuttle::rand::{RngCore, thread_rng};
use shuttle::thread::{self, Thread};

use super::{Help, Scene};
use crate::robust::kernel::{Announced, Kernel};
use crate::robust::{Death, OWNER_DIED, TID_MASK, WAITERS};

/// How a process ends that is killed.
pub(super) struct Killed;

/// What the kernel knows of the processes, and the section of their lives.
pub(super) struct Machine {
    scene: Scene,
    kills_left: usize,
    last_tid: u32,
    /// By shuttle's number of the thread.
    processes: BTreeMap<usize, Process>,
    /// Who sleeps on the word, first come first.
    sleepers: VecDeque<usize>,
    /// The life that is in the section, or ended in it.
    inside: Option<u32>,
    lives: u32,
    random: u64,
}

struct Process {
    thread: Thread,
    tid: u32,
    /// Differs in every life.
    life: u32,
    has_announced: bool,
    is_alive: bool,
    /// Is asleep and will not wake again.
    is_doomed: bool,
    is_dying: bool,
}

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

pub(super) fn machine<R>(work: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with_borrow_mut(|machine| work(machine.as_mut().expect("a run")))
}

impl Machine {
    pub(super) fn start(scene: Scene) {
        let random = thread_rng().next_u64();
        MACHINE.set(Some(Self {
            scene,
            kills_left: scene.kills,
            last_tid: 0,
            processes: BTreeMap::new(),
            sleepers: VecDeque::new(),
            inside: None,
            lives: 0,
            random,
        }));
    }

    /// A process with the ID of the one before it in this thread, or a new one.
    pub(super) fn begin_life(&mut self) {
        let old = self.processes.remove(&own_number());
        self.lives += 1;
        let tid = old.map(|old| old.tid).filter(|_| self.one_in(2));
        let tid = tid.unwrap_or_else(|| {
            self.last_tid += 1;
            self.last_tid
        });
        let process = Process {
            thread: thread::current(),
            tid,
            life: self.lives,
            has_announced: false,
            is_alive: true,
            is_doomed: false,
            is_dying: false,
        };
        self.processes.insert(own_number(), process);
    }

    pub(super) fn end_killing(&mut self) {
        self.kills_left = 0;
    }

    pub(super) fn is_born_again(&mut self) -> bool {
        self.one_in(2)
    }

    pub(super) fn end_life(&mut self) {
        self.me().is_alive = false;
    }

    /// Somebody has the lock, and was told this of the owner before.
    pub(super) fn enter(&mut self, death: Option<Death>) {
        let life = self.me().life;
        if let Some(before) = self.inside.replace(life) {
            assert!(death.is_some(), "two in the section, or a death in it was not told");
            let lives = |p: &Process| p.life == before && p.is_alive && !p.is_dying;
            assert!(!self.processes.values().any(lives), "the lock was taken from a living owner");
        }
    }

    pub(super) fn leave(&mut self) {
        let life = self.me().life;
        assert_eq!(self.inside.take(), Some(life), "somebody else came into the section");
    }

    fn me(&mut self) -> &mut Process {
        self.processes.get_mut(&own_number()).expect("a process")
    }

    /// Whether this process dies here.
    fn strikes(&mut self) -> bool {
        if self.kills_left == 0 || !self.me().is_alive || !self.one_in(20) {
            return false;
        }
        self.kills_left -= 1;
        true
    }

    /// Whether it strikes the first sleeper instead.
    fn strikes_in_sleep(&mut self) -> Option<Thread> {
        let sleeper = *self.sleepers.front().filter(|_| self.random.is_multiple_of(5))?;
        self.processes.get_mut(&sleeper).expect("a process").is_doomed = true;
        self.wake_one()
    }

    /// Takes the first sleeper from the queue; it is to be told.
    fn wake_one(&mut self) -> Option<Thread> {
        let sleeper = self.sleepers.pop_front()?;
        Some(self.processes[&sleeper].thread.clone())
    }

    fn is_asleep(&self) -> bool {
        self.sleepers.contains(&own_number())
    }

    /// Ends a sleep, if its slice may be over.
    fn oversleeps(&mut self) -> bool {
        let is_over = self.scene.slices && self.one_in(5);
        if is_over {
            self.sleepers.retain(|sleeper| *sleeper != own_number());
        }
        is_over
    }

    /// splitmix64, seeded by shuttle: asking shuttle itself lets others run.
    fn one_in(&mut self, n: u64) -> bool {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31).is_multiple_of(n)
    }
}

fn own_number() -> usize {
    thread::current().id().into()
}

/// A window: others may run, and this process may die.
pub(super) fn step() {
    if machine(|machine| machine.me().is_dying) {
        return;
    }
    switch();
    if machine(Machine::strikes) {
        match machine(Machine::strikes_in_sleep) {
            Some(sleeper) => sleeper.unpark(),
            None => die(),
        }
    }
}

fn wake_one() {
    if let Some(sleeper) = machine(Machine::wake_one) {
        sleeper.unpark();
    }
}

fn die() -> ! {
    machine(|machine| machine.me().is_dying = true);
    resume_unwind(Box::new(Killed))
}

/// Lets others run.
fn switch() {
    shuttle::sync::atomic::AtomicBool::new(false).load(SeqCst);
}

/// What the kernel does when a process has died: `exit_robust_list`, and only then the process
/// counts as dead.
pub(super) fn exit(word: &AtomicU32) {
    let (help, announced, tid) = machine(|machine| {
        let help = machine.scene.help;
        (help, machine.me().has_announced, machine.me().tid)
    });
    if announced && help != Help::Lost {
        switch();
        if mark(word, tid, help) {
            switch();
            wake_one();
        }
    }
    switch();
    machine(Machine::end_life);
    switch();
}

/// `handle_futex_death`: marks the word if it is the dead one's; says whether to wake a sleeper.
fn mark(word: &AtomicU32, tid: u32, help: Help) -> bool {
    loop {
        let seen = word.load(SeqCst);
        if seen & TID_MASK != tid {
            let nobody_will_wake = help == Help::IfNobodyWillWake && seen & WAITERS == 0;
            return seen & TID_MASK == 0 || nobody_will_wake;
        }
        switch();
        let marked = seen & WAITERS | OWNER_DIED;
        if word.compare_exchange(seen, marked, SeqCst, SeqCst).is_ok() {
            return seen & WAITERS != 0;
        }
    }
}

/// The lock's view of this machine.
#[derive(Debug)]
pub(super) struct Simulated;

#[derive(Debug)]
pub(super) struct Announcement {
    tid: u32,
}

impl Kernel for Simulated {
    type Announced = Announcement;
    type Moment = ();

    fn announce(_word: &AtomicU32) -> Option<Announcement> {
        let announced = !crate::fault::Fault::NoPending.is_on();
        machine(|machine| machine.me().has_announced = announced);
        Some(Announcement { tid: machine(|machine| machine.me().tid) })
    }

    fn wait(word: &AtomicU32, expected: u32, _timeout: Duration) -> bool {
        if word.load(SeqCst) != expected {
            return false;
        }
        machine(|machine| machine.sleepers.push_back(own_number()));
        while machine(|machine| machine.is_asleep()) {
            if machine(|machine| machine.scene.slices) {
                thread::yield_now();
            } else {
                thread::park();
            }
            if machine(Machine::oversleeps) {
                return true;
            }
        }
        if machine(|machine| machine.me().is_doomed) {
            die();
        }
        false
    }

    fn wake_one(_word: &AtomicU32) {
        wake_one();
    }

    fn is_dead(tid: u32) -> bool {
        machine(|machine| !machine.processes.values().any(|p| p.is_alive && p.tid == tid))
    }

    fn now() {}

    fn since(_: ()) -> Duration {
        Duration::ZERO
    }
}

impl Announced for Announcement {
    fn tid(&self) -> u32 {
        self.tid
    }

    fn has_kernel_help(&self) -> bool {
        true
    }

    fn withdraw(&self) {
        machine(|machine| machine.me().has_announced = false);
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        // The dead run no destructors.
        if !machine(|machine| machine.me().is_dying) {
            self.withdraw();
        }
    }
}
