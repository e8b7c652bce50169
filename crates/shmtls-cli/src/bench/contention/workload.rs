//! Keys, sessions and operations, from a seed. Any process can tell whether a session is one that
//! some process stored under its key.

use std::time::{Duration, Instant};

use shmtls::{Context, Expiry, SessionId};

use super::plan::{Keys, Mix, Task, Value};

/// Deterministic: xorshift64*.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed) | 1)
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[inline]
    pub(super) fn below(&mut self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }

    /// 0 to 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

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
            sessions: Sessions::new(task.value),
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
                let rank = f64::from(self.universe + 1).powf(self.random.fraction());
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

/// The sessions of all keys: their lengths and bytes.
#[derive(Debug)]
pub(super) struct Sessions {
    value: Value,
    bytes: Vec<u8>,
}

impl Sessions {
    pub(super) fn new(value: Value) -> Self {
        Self { value, bytes: Vec::new() }
    }

    /// Bytes of the session of `key`, always the same.
    #[inline]
    fn len(&self, key: u32) -> usize {
        let Value::Mix = self.value else { return self.value.mean() as usize };
        let random = mix(u64::from(key) ^ 0x5e55_1011);
        let (class, place) = (random % 10, (random >> 32) as usize);
        match class {
            0..6 => 170 + place % 91,
            6..9 => 300 + place % 601,
            _ => 1500 + place % 2501,
        }
    }

    /// The first word is the nonce, and all others follow from it and the key.
    #[inline]
    pub(super) fn compose(&mut self, key: u32, nonce: u64) -> &[u8] {
        let len = self.len(key);
        self.bytes.resize(len, 0);
        let (words, rest) = self.bytes.as_chunks_mut::<8>();
        let mut word = nonce;
        let step = step_of(key);
        for bytes in words {
            *bytes = word.to_ne_bytes();
            word = word.wrapping_add(step);
        }
        rest.copy_from_slice(&word.to_ne_bytes()[..rest.len()]);
        &self.bytes
    }

    /// Whether `found` is a session that [`compose`](Self::compose) makes.
    #[inline]
    pub(super) fn is_right(&self, key: u32, found: &[u8]) -> bool {
        let (words, rest) = found.as_chunks::<8>();
        let Some(first) = words.first() else { return false };
        let mut word = u64::from_ne_bytes(*first);
        let step = step_of(key);
        let mut difference = found.len() ^ self.len(key);
        for bytes in words {
            difference |= (u64::from_ne_bytes(*bytes) ^ word) as usize;
            word = word.wrapping_add(step);
        }
        difference == 0 && *rest == word.to_ne_bytes()[..rest.len()]
    }
}

#[inline]
fn step_of(key: u32) -> u64 {
    mix(u64::from(key)) | 1
}

pub(super) fn id(key: u32) -> SessionId {
    let mut id = [0; 32];
    for (at, bytes) in id.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *bytes = mix(u64::from(key) << 2 | at as u64).to_ne_bytes();
    }
    SessionId::new(&id).expect("32 bytes")
}

pub(super) fn context() -> Context {
    Context::named("bench.example")
}

pub(super) fn expiry() -> Expiry {
    Expiry::after(Duration::from_secs(3600))
}

/// splitmix64's.
#[inline]
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
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

    #[test]
    fn a_wrong_byte_or_length_or_key_is_seen() {
        let mut sessions = Sessions::new(Value::Mix);
        for key in 0..50 {
            let right = sessions.compose(key, 7).to_vec();
            assert!(sessions.is_right(key, &right));
            assert!(!sessions.is_right(key + 1, &right));
            assert!(!sessions.is_right(key, &right[1..]) && !sessions.is_right(key, &[]));
            for at in 0..right.len() {
                let mut wrong = right.clone();
                wrong[at] ^= 0x10;
                assert!(!sessions.is_right(key, &wrong), "byte {at} of key {key}");
            }
        }
    }

    #[test]
    fn sizes_are_as_those_of_real_sessions() {
        let mut sessions = Sessions::new(Value::Mix);
        let sum: usize = (0..20_000).map(|key| sessions.compose(key, 1).len()).sum();
        assert!((550..620).contains(&(sum / 20_000)), "{}", sum / 20_000);
    }

    #[test]
    fn few_keys_are_wanted_most() {
        let task = Task {
            worker: 0,
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
