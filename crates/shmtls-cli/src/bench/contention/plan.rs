//! What is measured: the locks, and the workload.

use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::quantity;

/// A line of the chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Lock {
    /// One per bucket: the library as it is.
    Robust,
    /// The same, while tools look at the segment all the time.
    Watched,
    /// The same, in a segment without huge pages.
    Small,
    /// The same code, with nothing announced to the kernel.
    Plain,
    /// One robust pthread mutex around every operation.
    Pthread,
    /// One plain futex around every operation.
    Futex,
    /// No lock and no cache: the same bytes, copied from and to random places.
    Copy,
}

impl Lock {
    pub(super) const ALL: [Self; 7] = [
        Self::Robust,
        Self::Watched,
        Self::Small,
        Self::Plain,
        Self::Pthread,
        Self::Futex,
        Self::Copy,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Robust => "per-bucket robust",
            Self::Watched => "per-bucket, watched",
            Self::Small => "per-bucket, small pages",
            Self::Plain => "without robustness",
            Self::Pthread => "one robust pthread mutex",
            Self::Futex => "one plain futex",
            Self::Copy => "a copy, no cache",
        }
    }

    pub(super) fn is_global(self) -> bool {
        matches!(self, Self::Pthread | Self::Futex)
    }
}

/// Percentages of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mix {
    pub(super) get: u8,
    pub(super) insert: u8,
    pub(super) take: u8,
    /// All operations go to one session.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub(super) hot: bool,
}

impl Mix {
    const NAMED: [(&'static str, Self); 5] = [
        ("get", Self::of(100, 0, 0, false)),
        ("half", Self::of(0, 50, 50, false)),
        ("insert", Self::of(0, 100, 0, false)),
        ("hot", Self::of(100, 0, 0, true)),
        ("hot10", Self::of(90, 10, 0, true)),
    ];

    const fn of(get: u8, insert: u8, take: u8, hot: bool) -> Self {
        Self { get, insert, take, hot }
    }

    /// Whether more sessions come than go: then the table is to be full.
    pub(super) fn overfills(self) -> bool {
        self.insert == 100
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, mix)) = Self::NAMED.iter().find(|(name, _)| *name == text) {
            return Ok(*mix);
        }
        let parts: Result<Vec<u8>, _> = text.split('/').map(str::parse).collect();
        let (get, insert, take) = match parts.as_deref() {
            Ok([get, insert]) => (*get, *insert, 0),
            Ok([get, insert, take]) => (*get, *insert, *take),
            _ => return Err("get, half, insert, hot, hot10, or GET/INSERT/TAKE in percent".into()),
        };
        match u32::from(get) + u32::from(insert) + u32::from(take) {
            100 => Ok(Self::of(get, insert, take, false)),
            sum => Err(format!("the percentages add up to {sum}, not to 100")),
        }
    }
}

/// Bytes of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Value {
    /// As real sessions are: 60 % without client certificates, 10 % with large ones.
    Mix,
    Bytes(u32),
}

impl Value {
    /// The library's default limit.
    const MAX: u32 = 10 << 10;
    const MIN: u32 = 16;

    /// The length of each, if they are alike.
    pub(super) fn fixed(self) -> Option<usize> {
        match self {
            Self::Mix => None,
            Self::Bytes(bytes) => Some(bytes as usize),
        }
    }

    pub(super) fn mean(self) -> u64 {
        match self {
            Self::Mix => 584,
            Self::Bytes(bytes) => bytes.into(),
        }
    }
}

impl FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "mix" {
            return Ok(Self::Mix);
        }
        let bytes = quantity::small_bytes(text)?;
        let allowed = Self::MIN..=Self::MAX;
        let error = || format!("a session has {} to {} bytes", Self::MIN, Self::MAX);
        allowed.contains(&bytes).then_some(Self::Bytes(bytes)).ok_or_else(error)
    }
}

/// Which sessions are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Keys {
    /// All as often
    Uniform,
    /// A few more often: Zipf's law with exponent 1
    Zipf,
    /// One by everybody
    Hot,
}

/// What one worker is to do; on its command line, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) worker: usize,
    /// How many there are.
    pub(super) workers: u32,
    pub(super) arena: String,
    pub(super) segment: String,
    pub(super) lock: Lock,
    pub(super) mix: Mix,
    pub(super) keys: Keys,
    pub(super) value: Value,
    /// How many keys there are.
    pub(super) universe: u32,
    /// Rounds of the work between two operations.
    pub(super) work_rounds: u64,
    /// Each operation is timed.
    pub(super) timed: bool,
    pub(super) core: Option<usize>,
    pub(super) seed: u64,
}

/// `30us`, and all that other options take for a time.
pub(super) fn work(text: &str) -> Result<Duration, String> {
    match text.strip_suffix("us") {
        Some(number) => {
            let micros = number.parse().map_err(|_| format!("{number:?} is no number"))?;
            Ok(Duration::from_micros(micros))
        }
        None => quantity::duration(text),
    }
}

/// `5`, `5/s`, `0.5`: how often in a second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate: f64 = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    if (0.0..=1000.0).contains(&rate) { Ok(rate) } else { Err("0 to 1000 a second".into()) }
}

/// Not too many for the arena.
pub(super) fn processes(text: &str) -> Result<u32, String> {
    number(text, super::arena::WORKERS_MAX as u32)
}

/// Up to 1 GiB.
pub(super) fn buckets(text: &str) -> Result<u32, String> {
    number(text, 65_536)
}

pub(super) fn rounds(text: &str) -> Result<u32, String> {
    number(text, 1000)
}

/// Of one burst.
pub(super) fn burst(text: &str) -> Result<Duration, String> {
    let (burst, allowed) = (quantity::duration(text)?, 10..=3_600_000);
    let fits = allowed.contains(&burst.as_millis());
    if fits { Ok(burst) } else { Err("10ms to 1h".into()) }
}

fn number(text: &str, max: u32) -> Result<u32, String> {
    let number = quantity::count(text)?;
    let fits = u32::try_from(number).ok().filter(|number| (1..=max).contains(number));
    fits.ok_or_else(|| format!("1 to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes() {
        assert_eq!("90/10".parse(), Ok(Mix::of(90, 10, 0, false)));
        assert_eq!("10/20/70".parse(), Ok(Mix::of(10, 20, 70, false)));
        assert_eq!("hot".parse(), Ok(Mix::of(100, 0, 0, true)));
        for nonsense in ["", "90", "90/20", "get/put", "1/2/3/94", "300/0"] {
            assert!(nonsense.parse::<Mix>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn values_times_and_rates() {
        assert_eq!(("mix".parse(), "1KiB".parse()), (Ok(Value::Mix), Ok(Value::Bytes(1024))));
        assert!("8".parse::<Value>().is_err() && "1MiB".parse::<Value>().is_err());
        assert_eq!(work("30us"), Ok(Duration::from_micros(30)));
        assert!(work("us").is_err() && rate("often").is_err() && rate("-1").is_err());
        assert_eq!((rate("5/s"), rate("0.5")), (Ok(5.0), Ok(0.5)));
        assert!(processes("0").is_err() && processes("257").is_err() && burst("1ms").is_err());
    }
}
