//! Keys and operations, from a seed.

use std::time::{Duration, Instant};

use shmtls::{Context, Expiry, SessionId};

use super::plan::{Keys, Mix, Task};
use super::sessions::{self, Random, Sessions, mix};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Get,
    Insert,
    Take,
}

/// What comes next.
#[derive(Debug)]
pub(super) struct Workload {
    random: Random,
    mix: Mix,
    keys: Keys,
    universe: u32,
    sessions: Sessions,
}

impl Workload {
    pub(super) fn new(task: &Task) -> Self {
        let keys = if task.mix.hot { Keys::Hot } else { task.keys };
        Self {
            random: Random::new(task.seed),
            mix: task.mix,
            keys,
            universe: task.universe,
            sessions: Sessions::new(task.value.fixed()),
        }
    }

    pub(super) fn sessions(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    #[inline]
    pub(super) fn next(&mut self) -> (Operation, u32) {
        let percent = self.random.below(100) as u8;
        let operation = if percent < self.mix.get {
            Operation::Get
        } else if percent < self.mix.get + self.mix.insert {
            Operation::Insert
        } else {
            Operation::Take
        };
        (operation, self.key())
    }

    #[inline]
    fn key(&mut self) -> u32 {
        match self.keys {
            Keys::Uniform => self.random.below(self.universe),
            Keys::Hot => 0,
            // The inverse of the integral of 1 / x.
            Keys::Zipf => {
                let rank = f64::from(self.universe + 1).powf(fraction(&mut self.random));
                (rank as u32).clamp(1, self.universe) - 1
            }
        }
    }

    /// A new session of that key.
    #[inline]
    pub(super) fn compose(&mut self, key: u32) -> &[u8] {
        let nonce = self.random.next();
        self.sessions.compose(key, nonce)
    }
}

/// 0 to 1.
fn fraction(random: &mut Random) -> f64 {
    (random.next() >> 11) as f64 / (1_u64 << 53) as f64
}

pub(super) fn id(key: u32) -> SessionId {
    SessionId::new(&sessions::id(key)).expect("32 bytes")
}

pub(super) fn context() -> Context {
    Context::named("bench.example")
}

pub(super) fn expiry() -> Expiry {
    Expiry::after(Duration::from_secs(3600))
}

/// Work that is no waiting: time that somebody else has the core does not count for it.
#[inline]
pub(super) fn work(rounds: u64) {
    let mut state = rounds;
    for _ in 0..rounds {
        state = std::hint::black_box(mix(state));
    }
}

/// Rounds of [`work`] that take so long here, when nobody is in the way.
pub(super) fn rounds_for(duration: Duration) -> u64 {
    if duration.is_zero() {
        return 0;
    }
    const TRIAL: u64 = 100_000;
    let trial = || {
        let start = Instant::now();
        work(TRIAL);
        start.elapsed()
    };
    let fastest = (0..20).map(|_| trial()).min().unwrap_or(duration);
    (duration.as_nanos() * u128::from(TRIAL) / fastest.as_nanos().max(1)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contention::plan::Value;

    #[test]
    fn few_keys_are_wanted_most() {
        let task = Task {
            worker: 0,
            workers: 1,
            arena: String::new(),
            segment: String::new(),
            lock: super::super::plan::Lock::Robust,
            mix: "10/20/70".parse().expect("a mix"),
            keys: Keys::Zipf,
            value: Value::Mix,
            universe: 1000,
            work_rounds: 0,
            timed: false,
            core: None,
            seed: 1,
        };
        let mut workload = Workload::new(&task);
        let drawn: Vec<_> = (0..10_000).map(|_| workload.next()).collect();
        let first = drawn.iter().filter(|(_, key)| *key < 10).count();
        assert!((2_500..4_500).contains(&first), "{first}");
        assert!(drawn.iter().all(|(_, key)| *key < 1000));
        let takes = drawn.iter().filter(|(operation, _)| *operation == Operation::Take).count();
        assert!((6_500..7_500).contains(&takes), "{takes}");
    }
}
