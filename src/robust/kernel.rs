//! What the lock needs of the kernel, as a trait: the real one, and one that a test makes up, which
//! kills at every step and runs in every order (`schedules.rs`).

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use crate::sys::futex;
use crate::sys::process;
use crate::sys::thread::Section;

/// The kernel, as far as a lock meets it.
pub(crate) trait Kernel {
    /// A thread's announcement that it takes, holds or releases a lock; dropping it takes it back.
    type Announced: Announced;
    /// A moment in time.
    type Moment: Copy;

    /// Announces `word`; `None` if this thread has announced one already.
    fn announce(word: &AtomicU32) -> Option<Self::Announced>;
    /// Sleeps while `word` is `expected`, at most `timeout`; says whether all of that passed.
    fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> bool;
    /// Wakes one sleeper.
    fn wake_one(word: &AtomicU32);
    /// Whether no thread of this ID is alive.
    fn is_dead(tid: u32) -> bool;
    /// The present.
    fn now() -> Self::Moment;
    /// Time since then.
    fn since(moment: Self::Moment) -> Duration;
}

/// See [`Kernel::announce`].
pub(crate) trait Announced: std::fmt::Debug {
    /// The ID of the thread, as it stands in the word.
    fn tid(&self) -> u32;
    /// Whether the kernel will mark the word if the thread dies.
    fn has_kernel_help(&self) -> bool;
    /// Takes the announcement back before its time: one of the known mistakes.
    fn withdraw(&self);
}

/// The kernel that we run on.
#[derive(Debug)]
pub(crate) struct Linux;

impl Kernel for Linux {
    type Announced = Section;
    type Moment = Instant;

    #[inline]
    fn announce(word: &AtomicU32) -> Option<Section> {
        Section::enter(word)
    }

    fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> bool {
        futex::wait(word, expected, timeout)
    }

    fn wake_one(word: &AtomicU32) {
        futex::wake_one(word);
    }

    fn is_dead(tid: u32) -> bool {
        process::is_dead(tid)
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn since(moment: Instant) -> Duration {
        moment.elapsed()
    }
}

impl Announced for Section {
    #[inline]
    fn tid(&self) -> u32 {
        Section::tid(self)
    }

    #[inline]
    fn has_kernel_help(&self) -> bool {
        Section::has_kernel_help(self)
    }

    fn withdraw(&self) {
        Section::withdraw(self);
    }
}
