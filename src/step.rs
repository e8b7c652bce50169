//! The order in which a process that is killed has done things.
//!
//! A process that dies at some instruction has executed all instructions before it and none
//! after, and the kernel orders its stores before the release of its lock. What remains is to
//! keep the compiler from swapping stores: [`kill_point`]. Tests die at every one of them.

use std::sync::atomic::{Ordering::SeqCst, compiler_fence};

use crate::fault::window;

/// Keeps the stores before it before those after it.
#[inline]
pub(crate) fn kill_point() {
    compiler_fence(SeqCst);
    window();
    word_done();
}

/// One word of many was copied or wiped; the order among them does not matter.
#[inline]
pub(crate) fn word_done() {
    #[cfg(test)]
    countdown::step();
}

/// Death at the n-th step, in tests: a panic that leaves everything as it stands.
#[cfg(test)]
pub(crate) mod countdown {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Runs `work` and kills it after `steps` steps. `None`: it died.
    pub(crate) fn die_after<R>(steps: usize, work: impl FnOnce() -> R) -> Option<R> {
        LEFT.set(Some(steps));
        let result = catch_unwind(AssertUnwindSafe(work));
        LEFT.set(None);
        match result {
            Ok(value) => Some(value),
            Err(cause) if cause.is::<Killed>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    pub(super) fn step() {
        match LEFT.get() {
            None => {}
            Some(0) => resume_unwind(Box::new(Killed)),
            Some(left) => LEFT.set(Some(left - 1)),
        }
    }

    struct Killed;
}
