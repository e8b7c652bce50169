//! How long what takes, and how large everything is.

use std::env;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shmtls::{Options, Rotation};

use crate::payload::with_buckets;

/// Worker processes.
pub(crate) const WORKERS: usize = 6;
/// So many of them are never killed: their memory must stay as it is.
pub(crate) const ELDERS: usize = 2;
/// Client processes.
pub(crate) const CLIENTS: usize = 4;
/// Whom one client process plays.
pub(crate) const CUSTOMERS: usize = 300;

/// Longer than any customer remembers a session, so that what is missed has been evicted, which is
/// a matter of how many came since, and not of how fast this machine is.
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);
/// How much earlier a client thinks that a session has ended: clocks are read in whole seconds.
pub(crate) const MARGIN: Duration = Duration::from_secs(5);
/// Lines of the process table: less than twice as many as processes that are there at a time.
pub(crate) const LINES: u32 = 16;

/// Visits from one change of the weather to the next. Not a time, for the same reason.
pub(crate) const SLICE: u64 = 4000;
/// Of calm and storm: with less the rates say little.
const PAIRS_MIN: u32 = 3;
/// Of 32 KiB: a little less than what the customers have.
const BUCKETS: u32 = 4;
/// Sessions in a bucket, at the very most.
const SLOTS: usize = 256;

pub(crate) struct Plan {
    /// All of it.
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

/// What the clients of a slice live through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    WarmUp,
    Calm,
    Storm,
}

impl Plan {
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str| env::var(name).ok();
        let number = |minutes: String| minutes.parse().expect("SHMTLS_MINUTES: a number");
        let minutes: f64 = variable("SHMTLS_MINUTES").map_or(2.0, number);
        let seed = variable("SHMTLS_SEED").and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let duration = Duration::from_secs_f64(minutes * 60.0);
        Self { duration, seed: seed.unwrap_or(now().as_nanos() as u64) }
    }

    /// Whether it is time to end, after so many pairs of calm and storm in this time.
    pub(crate) fn is_over(&self, pairs: u32, elapsed: Duration) -> bool {
        pairs >= PAIRS_MIN && elapsed + elapsed / pairs > self.duration
    }

    /// A run of an hour is as gentle as a bad day; one of two minutes has to hurry.
    fn is_long(&self) -> bool {
        self.duration >= Duration::from_secs(300)
    }

    /// Milliseconds from one death to the next.
    pub(crate) fn between_kills(&self) -> Range<u64> {
        if self.is_long() { 500..2000 } else { 100..400 }
    }

    /// Milliseconds from one worker that stands still to the next.
    pub(crate) fn between_stops(&self) -> Range<u64> {
        if self.is_long() { 2000..5000 } else { 1000..2000 }
    }

    /// Milliseconds for which a worker stands still.
    pub(crate) fn stop(&self) -> Range<u64> {
        100..500
    }

    /// Milliseconds from one program that is executed to the next.
    pub(crate) fn between_visits(&self) -> Range<u64> {
        if self.is_long() { 5000..15000 } else { 1000..3000 }
    }

    pub(crate) fn rotation(&self) -> Rotation {
        Rotation::every(self.rotation_interval()).ticket_lifetime(LIFETIME)
    }

    pub(crate) fn rotation_interval(&self) -> Duration {
        Duration::from_secs(if self.is_long() { 10 } else { 3 })
    }

    /// Between two looks at everybody's memory.
    pub(crate) fn between_samples(&self) -> Duration {
        (self.duration / 200).max(Duration::from_millis(500))
    }

    /// Between two lines that say how it goes.
    pub(crate) fn between_news(&self) -> Duration {
        Duration::from_secs(if self.is_long() { 10 } else { 60 })
    }
}

pub(crate) fn options() -> Options {
    with_buckets(Options::new().processes(LINES).lifetime(LIFETIME), BUCKETS, 32 << 10)
}

/// Sessions that the segment can hold at the very most.
pub(crate) fn capacity() -> usize {
    BUCKETS as usize * SLOTS
}
