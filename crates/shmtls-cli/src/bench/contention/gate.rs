//! The lock around every operation: none, or one of the two global ones that other servers have.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::arena::{Arena, Line};
use super::ffi::{Had, futex_wait, futex_wake};
use super::plan::Lock;

/// One worker's way through the lock of its burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gate<'a> {
    arena: &'a Arena,
    lock: Lock,
    worker: usize,
}

/// Whether the lock was had at once, and from whom.
#[derive(Debug, Clone, Copy)]
struct Entry {
    waited: bool,
    owner_died: bool,
}

impl<'a> Gate<'a> {
    pub(super) fn new(arena: &'a Arena, lock: Lock, worker: usize) -> Self {
        Self { arena, lock, worker }
    }

    #[inline]
    pub(super) fn pass<R>(&self, work: impl FnOnce() -> R) -> R {
        if !self.lock.is_global() {
            return work();
        }
        let entry = self.enter();
        self.arena.holder.store(self.worker as u32 + 1, Relaxed);
        let result = work();
        self.arena.holder.store(0, Relaxed);
        self.leave();
        let line = self.arena.line(self.worker);
        Line::add(&line.waits, entry.waited.into());
        Line::add(&line.recoveries, entry.owner_died.into());
        result
    }

    /// Enters if nobody has the lock, and leaves it again: whether that was possible, and whether
    /// its owner had died.
    pub(super) fn probe(&self) -> Option<bool> {
        let had = match self.lock {
            Lock::Pthread => self.arena.mutex.try_lock(),
            _ if take(&self.arena.futex.0, 0, HELD) => Had::Clean,
            _ => Had::Busy,
        };
        if had == Had::Busy {
            return None;
        }
        // A dead worker's number would pass for that of the one in its place.
        self.arena.holder.store(0, Relaxed);
        self.leave();
        Some(had == Had::OwnerDied)
    }

    fn enter(&self) -> Entry {
        if self.lock == Lock::Futex {
            return Entry { waited: lock_futex(&self.arena.futex.0), owner_died: false };
        }
        match self.arena.mutex.try_lock() {
            Had::Busy => {
                let owner_died = self.arena.mutex.lock() == Had::OwnerDied;
                Entry { waited: true, owner_died }
            }
            had => Entry { waited: false, owner_died: had == Had::OwnerDied },
        }
    }

    fn leave(&self) {
        match self.lock {
            Lock::Futex => unlock_futex(&self.arena.futex.0),
            _ => self.arena.mutex.unlock(),
        }
    }
}

/// The words of a plain futex lock (Drepper, "Futexes Are Tricky", mutex 2); 0 is free.
const HELD: u32 = 1;
const CONTENDED: u32 = 2;
const SPINS: u32 = 64;

/// Says whether somebody had it.
fn lock_futex(word: &AtomicU32) -> bool {
    if take(word, 0, HELD) {
        return false;
    }
    for _ in 0..SPINS {
        std::hint::spin_loop();
        if word.load(Relaxed) == 0 && take(word, 0, HELD) {
            return true;
        }
    }
    while word.swap(CONTENDED, Acquire) != 0 {
        futex_wait(word, CONTENDED);
    }
    true
}

fn unlock_futex(word: &AtomicU32) {
    if word.swap(0, Release) == CONTENDED {
        futex_wake(word, 1);
    }
}

fn take(word: &AtomicU32, from: u32, to: u32) -> bool {
    word.compare_exchange(from, to, Acquire, Relaxed).is_ok()
}
