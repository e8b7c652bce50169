//! Mistakes on purpose: the tests of the tests.
//!
//! A battery that finds nothing proves something only if it would find something. So every
//! protocol that is known to be bad can be switched on, and a test shows that the battery fails.
//!
//! The switches exist in a build with `--cfg shmtls_battery` (`scripts/rustc-battery`), and for one
//! thread in the unit tests. In any other build [`Fault::is_on`] is the constant `false`, and
//! [`window`] and [`Occupied`] are nothing.

/// A known-bad protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[cfg_attr(not(any(test, shmtls_battery)), allow(dead_code))]
#[cfg_attr(not(shmtls_battery), allow(unreachable_pub))]
pub enum Fault {
    /// The unlock stores 0 and then wakes, as glibc's robust mutex does: an unlocker killed in
    /// between, and a barger, strand the sleepers.
    UnlockStoresZero = 1,
    /// The futex calls are private ones: neither the kernel's wake at a death nor that of another
    /// process arrives.
    PrivateFutex,
    /// The lock is not announced to the kernel: nobody marks it when its owner dies.
    NoPending,
    /// The announcement is taken back before the wake: a death in between swallows it.
    PendingClearedBeforeWake,
    /// Who takes the lock forgets that others sleep on it.
    WaitersForgotten,
    /// Nobody looks whether an owner is alive: where the kernel's help is lost, so is the lock.
    NoTakeOver,
    /// A dead owner's lock is taken without the second look: its ID may be a live thread's by now.
    HastyTakeOver,
    /// A wait goes on until the lock is free.
    NoDeadline,
    /// A take copies the session out before it takes its slot away: a death in between leaves it
    /// for a second taker.
    CopyBeforeTombstone,
    /// A record's slot is stored before the record.
    SlotBeforeRecord,
    /// A record is moved over itself without a journal.
    NoJournal,
    /// A repair believes the counts and slots that it finds.
    TrustingRepair,
    /// What leaves the cache is not overwritten.
    NoWipe,
}

impl Fault {
    #[inline(always)]
    pub(crate) fn is_on(self) -> bool {
        switch::current() == self as u32
    }
}

/// A moment between two steps at which a death or another thread may come: the battery makes some
/// of them long.
#[inline(always)]
pub(crate) fn window() {
    switch::window();
}

/// Sees to it that a section has one owner at a time: it marks a word of the bucket.
#[derive(Debug)]
pub(crate) struct Occupied;

impl Occupied {
    /// `died`: the last owner did, and may have left its mark.
    #[inline(always)]
    #[cfg_attr(not(shmtls_battery), allow(unused_variables))]
    pub(crate) fn enter(mark: &std::sync::atomic::AtomicU32, died: bool) {
        #[cfg(shmtls_battery)]
        switch::enter(mark, died);
    }

    #[inline(always)]
    #[cfg_attr(not(shmtls_battery), allow(unused_variables))]
    pub(crate) fn leave(mark: &std::sync::atomic::AtomicU32) {
        #[cfg(shmtls_battery)]
        mark.store(0, std::sync::atomic::Ordering::Relaxed);
    }
}

#[cfg(not(any(test, shmtls_battery)))]
mod switch {
    #[inline(always)]
    pub(super) const fn current() -> u32 {
        0
    }

    #[inline(always)]
    pub(super) const fn window() {}
}

/// For unit tests: the mistake and the moments are one thread's own.
#[cfg(test)]
pub(crate) mod switch {
    use std::cell::Cell;

    use super::Fault;

    thread_local! {
        static FAULT: Cell<u32> = const { Cell::new(0) };
        static AT_WINDOW: Cell<Option<fn()>> = const { Cell::new(None) };
    }

    /// Does `work` with a mistake, if any, and something to do at every [`window`](super::window).
    pub(crate) fn with<R>(
        fault: Option<Fault>,
        at_window: Option<fn()>,
        work: impl FnOnce() -> R,
    ) -> R {
        let before = (FAULT.get(), AT_WINDOW.get());
        FAULT.set(fault.map_or(0, |fault| fault as u32));
        AT_WINDOW.set(at_window);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        FAULT.set(before.0);
        AT_WINDOW.set(before.1);
        result.unwrap_or_else(|cause| std::panic::resume_unwind(cause))
    }

    pub(super) fn current() -> u32 {
        FAULT.get()
    }

    pub(super) fn window() {
        if let Some(act) = AT_WINDOW.get() {
            act();
        }
    }

    #[cfg(shmtls_battery)]
    pub(super) fn enter(_: &std::sync::atomic::AtomicU32, _: bool) {}
}

/// For the batteries: one for this process and the children that it forks from then on.
#[cfg(all(shmtls_battery, not(test)))]
mod switch {
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::atomic::{AtomicU32, AtomicU64};
    use std::time::Duration;

    use super::Fault;

    static FAULT: AtomicU32 = AtomicU32::new(0);
    /// One window in so many is a long one; 0: none.
    static ONE_IN: AtomicU64 = AtomicU64::new(0);
    static AT_MOST_NANOS: AtomicU64 = AtomicU64::new(0);
    static RANDOM: AtomicU64 = AtomicU64::new(0);

    /// Makes a mistake from now on.
    pub fn commit(fault: Fault) {
        FAULT.store(fault as u32, Relaxed);
    }

    /// Makes one window in `one_in` last up to `at_most`. `seed` should differ in every process.
    pub fn widen(one_in: u32, at_most: Duration, seed: u64) {
        RANDOM.store(seed, Relaxed);
        AT_MOST_NANOS.store(at_most.as_nanos() as u64, Relaxed);
        ONE_IN.store(one_in.into(), Relaxed);
    }

    pub(super) fn current() -> u32 {
        FAULT.load(Relaxed)
    }

    pub(super) fn window() {
        let one_in = ONE_IN.load(Relaxed);
        if one_in != 0 && random().is_multiple_of(one_in) {
            std::thread::sleep(Duration::from_nanos(random() % AT_MOST_NANOS.load(Relaxed).max(1)));
        }
    }

    pub(super) fn enter(mark: &AtomicU32, died: bool) {
        let before = mark.swap(1, Relaxed);
        assert!(before == 0 || died, "two owners in one section");
    }

    /// splitmix64: threads may draw the same number, which does not matter.
    fn random() -> u64 {
        let mut z = RANDOM.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(all(shmtls_battery, not(test)))]
pub use switch::{commit, widen};
