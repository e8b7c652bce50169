//! Times operations without asking the kernel each time.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::scoreboard::RunDelay;

/// How long an operation took, and for how much of that its thread had no core.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Took {
    pub(crate) total: Duration,
    /// May be too long by [`GAP`] for each of [`FRESH_FOR`] operations and the pauses between.
    pub(crate) delay: Duration,
}

/// A thread without a core is without it for longer than this.
const GAP: Duration = Duration::from_micros(50);
/// Operations for which one look at the thread's delay is good enough.
const FRESH_FOR: u32 = 16;

pub(crate) struct Stopwatch {
    run_delay: RunDelay,
    /// As of the last look.
    delay: Cell<Duration>,
    operations: Cell<u32>,
    ended: Cell<Instant>,
}

impl Stopwatch {
    /// For the thread that asks.
    pub(crate) fn new() -> Self {
        let run_delay = RunDelay::of_this_thread();
        let delay = Cell::new(run_delay.so_far());
        Self { run_delay, delay, operations: Cell::new(0), ended: Cell::new(Instant::now()) }
    }

    pub(crate) fn time<R>(&self, operation: impl FnOnce() -> R) -> (R, Took) {
        let start = Instant::now();
        self.operations.set(self.operations.get() + 1);
        if self.operations.get() > FRESH_FOR || start - self.ended.get() > GAP {
            self.look();
        }
        let start = Instant::now();
        let result = operation();
        let end = Instant::now();
        self.ended.set(end);
        let total = end - start;
        let delay = if total > GAP { self.look() } else { Duration::ZERO };
        (result, Took { total, delay })
    }

    /// The delay since the last look.
    fn look(&self) -> Duration {
        self.operations.set(0);
        let now = self.run_delay.so_far();
        now.saturating_sub(self.delay.replace(now))
    }
}
