//! The robust lock: one `u32` in shared memory that no death leaves locked.
//!
//! | word | meaning |
//! |---|---|
//! | `0` | free |
//! | `TID` | owned by that thread, nobody sleeps |
//! | `TID \| WAITERS` | owned, somebody may sleep |
//! | `WAITERS` | free, being handed over: a sleeper is about to be woken |
//! | `OWNER_DIED`, `OWNER_DIED \| WAITERS` | free, its owner died in it (written by the kernel) |
//! | `TID \| OWNER_DIED`, with or without `WAITERS` | claimed: TID checks whether the owner before it is dead |
//!
//! Three layers free a dead owner's lock: the kernel, when the owner's thread ends
//! ([`Kernel::announce`]); a waiter that finds the owner dead ([`Attempt::take_over`]), because
//! the kernel's help can be lost (`process_mrelease`, the OOM reaper, an exec by a thread that is
//! not the leader); and a deadline, after which the caller does without. A wait is made of slices
//! and reads the word again after each, so nothing depends on a wake-up arriving.
//!
//! The unlock keeps `WAITERS` in the word until a sleeper has been woken. "Store 0, then wake"
//! strands the sleepers if the unlocker is killed in between and somebody else barges in.

use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use crossbeam_utils::Backoff;

use crate::fault::{Fault, window};

mod kernel;
use kernel::{Announced, Kernel, Linux};

/// Somebody may sleep on the word (`FUTEX_WAITERS`).
pub(crate) const WAITERS: u32 = 0x8000_0000;
/// The owner died in the section (`FUTEX_OWNER_DIED`).
pub(crate) const OWNER_DIED: u32 = 0x4000_0000;
/// The owner's thread ID (`FUTEX_TID_MASK`).
pub(crate) const TID_MASK: u32 = 0x3fff_ffff;

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// After this the caller does without.
    pub(crate) deadline: Duration,
    /// The longest sleep at a time.
    pub(crate) slice: Duration,
}

impl Patience {
    /// Now or never.
    pub(crate) const NONE: Self = Self { deadline: Duration::ZERO, slice: Duration::ZERO };
}

/// What happened on the way to a lock, for the counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Journey {
    /// Somebody had the lock.
    pub(crate) waited: bool,
    /// A sleep ended by its slice although the lock was free: a wake-up that did not come.
    pub(crate) late_wakes: u32,
    /// How long that took, from the first look at the word.
    pub(crate) wait: Duration,
    /// The kernel knows no robust list of this thread.
    pub(crate) without_kernel: bool,
}

/// How a dead owner came to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// The kernel marked the word.
    Kernel,
    /// A waiter found that the owner is dead.
    Stolen,
    /// The word held this thread's own ID: a dead thread had the same one.
    SameTid,
}

/// A lock that was had: its guard, and whether its last owner died in it. Then the bucket is to
/// be repaired before anything else.
#[derive(Debug)]
pub(crate) struct Acquired<'a, K: Kernel = Linux> {
    pub(crate) guard: RobustGuard<'a, K>,
    pub(crate) death: Option<Death>,
    pub(crate) journey: Journey,
}

/// Why a lock was not had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAcquired {
    /// The deadline passed.
    Deadline(Journey),
    /// This thread is in a section already: a signal handler interrupted it.
    Reentered,
}

/// Releases the lock when dropped. Stays on its thread.
#[derive(Debug)]
pub(crate) struct RobustGuard<'a, K: Kernel = Linux> {
    word: &'a AtomicU32,
    /// Taken back by its own drop, after the release in ours: fields drop after their struct.
    announced: K::Announced,
}

/// Takes the lock at `word`, for at most `patience`.
pub(crate) fn lock<'a>(
    word: &'a AtomicU32,
    patience: Patience,
) -> Result<Acquired<'a>, NotAcquired> {
    lock_on::<Linux>(word, patience)
}

/// The lock on any kernel. Every access to the word, and every call, is preceded by a [`window`].
#[inline]
fn lock_on<K: Kernel>(
    word: &AtomicU32,
    patience: Patience,
) -> Result<Acquired<'_, K>, NotAcquired> {
    let announced = K::announce(word).ok_or(NotAcquired::Reentered)?;
    let mut journey =
        Journey { without_kernel: !announced.has_kernel_help(), ..Journey::default() };
    window();
    match word.compare_exchange(0, announced.tid(), Acquire, Relaxed) {
        Ok(_) => Ok(Acquired { guard: RobustGuard { word, announced }, death: None, journey }),
        Err(seen) => {
            // `WAITERS` stays in a word when nobody sleeps any more, and that is free.
            journey.waited = seen & TID_MASK != 0;
            lock_contended(word, announced, patience, journey)
        }
    }
}

#[cold]
fn lock_contended<K: Kernel>(
    word: &AtomicU32,
    announced: K::Announced,
    patience: Patience,
    journey: Journey,
) -> Result<Acquired<'_, K>, NotAcquired> {
    let tid = announced.tid();
    let mut attempt = Attempt::<K> { word, tid, slept: false, journey, kernel: PhantomData };
    let start = K::now();
    attempt.spin();
    loop {
        if let Some(Taken { death }) = attempt.take() {
            let journey = Journey { wait: K::since(start), ..attempt.journey };
            return Ok(Acquired { guard: RobustGuard { word, announced }, death, journey });
        }
        let waited = K::since(start);
        if waited >= patience.deadline && !Fault::NoDeadline.is_on() {
            return Err(NotAcquired::Deadline(Journey { wait: waited, ..attempt.journey }));
        }
        attempt.sleep(patience.slice.min(patience.deadline.saturating_sub(waited)));
    }
}

impl<K: Kernel> Drop for RobustGuard<'_, K> {
    fn drop(&mut self) {
        window();
        if self.word.compare_exchange(self.announced.tid(), 0, Release, Relaxed).is_err() {
            self.hand_over();
        }
        window();
    }
}

impl<K: Kernel> RobustGuard<'_, K> {
    fn hand_over(&self) {
        // Not 0: if we die before the wake, the kernel finds a free word and wakes for us,
        // and whoever barges in inherits the bit and wakes at his unlock.
        let handing_over = if Fault::UnlockStoresZero.is_on() { 0 } else { WAITERS };
        window();
        self.word.store(handing_over, Release);
        if Fault::PendingClearedBeforeWake.is_on() {
            self.announced.withdraw();
        }
        window();
        K::wake_one(self.word);
    }
}

/// One thread's way to a lock that was not free.
struct Attempt<'a, K> {
    word: &'a AtomicU32,
    tid: u32,
    /// Others may sleep too, and this thread may have used up the wake-up meant for one of them.
    slept: bool,
    journey: Journey,
    kernel: PhantomData<K>,
}

/// The lock was had; `death` of its last owner if it died in it.
struct Taken {
    death: Option<Death>,
}

impl<K: Kernel> Attempt<'_, K> {
    /// Waits a little without the kernel: most sections are shorter than a system call.
    fn spin(&self) {
        let backoff = Backoff::new();
        for _ in 0..SPINS {
            window();
            if self.word.load(Relaxed) & TID_MASK == 0 {
                return;
            }
            backoff.spin();
        }
    }

    /// One try at the word as it is now.
    fn take(&self) -> Option<Taken> {
        window();
        let seen = self.word.load(Relaxed);
        match seen & TID_MASK {
            0 => self.take_free(seen),
            // We hold nothing, so this was a dead thread with the ID that is ours now.
            owner if owner == self.tid => self.change(seen, self.tid | WAITERS, Death::SameTid),
            owner if self.is_dead(owner) => self.take_over(seen, owner),
            _ => None,
        }
    }

    fn take_free(&self, seen: u32) -> Option<Taken> {
        let mut waiters = if self.slept { WAITERS } else { seen & WAITERS };
        if Fault::WaitersForgotten.is_on() {
            waiters = 0;
        }
        window();
        self.word.compare_exchange(seen, self.tid | waiters, Acquire, Relaxed).ok()?;
        Some(Taken { death: (seen & OWNER_DIED != 0).then_some(Death::Kernel) })
    }

    /// Takes the lock from an owner that was found dead.
    ///
    /// Between that finding and ours a new thread with the old ID may have taken the lock. So the
    /// word is claimed first and the owner looked at again: a live one gets its lock back, or has
    /// released it meanwhile, which undoes the claim.
    fn take_over(&self, seen: u32, owner: u32) -> Option<Taken> {
        let claim = self.tid | OWNER_DIED | (seen & WAITERS);
        window();
        self.word.compare_exchange(seen, claim, Relaxed, Relaxed).ok()?;
        if Fault::HastyTakeOver.is_on() || self.is_dead(owner) {
            self.change(claim, self.tid, Death::Stolen)
        } else {
            self.change(claim, owner, Death::Stolen);
            None
        }
    }

    /// Puts `to` for `from`; whether others sleep is kept as it is.
    fn change(&self, from: u32, to: u32, death: Death) -> Option<Taken> {
        let changed = |word: u32| {
            window();
            (word & !WAITERS == from & !WAITERS).then_some(to | (word & WAITERS))
        };
        window();
        self.word.fetch_update(Acquire, Relaxed, changed).ok()?;
        Some(Taken { death: Some(death) })
    }

    fn is_dead(&self, owner: u32) -> bool {
        window();
        !Fault::NoTakeOver.is_on() && K::is_dead(owner)
    }

    /// Sleeps until the word changes or the slice is over.
    fn sleep(&mut self, slice: Duration) {
        window();
        let seen = self.word.load(Relaxed);
        let owner = seen & TID_MASK;
        if owner == 0 || owner == self.tid {
            return;
        }
        let asleep = seen | WAITERS;
        window();
        if seen != asleep && self.word.compare_exchange(seen, asleep, Relaxed, Relaxed).is_err() {
            return;
        }
        self.slept = true;
        self.journey.waited = true;
        window();
        let timed_out = K::wait(self.word, asleep, slice);
        window();
        if timed_out && self.word.load(Relaxed) & TID_MASK == 0 {
            self.journey.late_wakes += 1;
        }
    }
}

/// Steps of a doubling back-off, 63 pauses in all: a few microseconds.
const SPINS: usize = 6;

#[cfg(test)]
mod schedules;
#[cfg(test)]
mod tests;
