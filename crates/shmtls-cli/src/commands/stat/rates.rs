//! What happened since the last look.

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};

use serde::Serialize;
use shmtls::{Inspector, Stats};

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    /// Another segment of the same name starts at zero.
    created: SystemTime,
    pub(super) stats: Stats,
}

#[derive(Debug, Serialize)]
pub(super) struct Rates {
    /// Since the look before this one.
    seconds: f64,
    /// How fast each counter goes; a maximum has no speed.
    counters: BTreeMap<&'static str, f64>,
    #[serde(skip)]
    earlier: Stats,
}

impl Moment {
    pub(super) fn of(inspector: &Inspector) -> Self {
        let created = inspector.info().created();
        Self { at: Instant::now(), created, stats: inspector.stats() }
    }

    /// `None` if that was of another segment.
    pub(super) fn rates_since(&self, earlier: &Self) -> Option<Rates> {
        if self.created != earlier.created {
            return None;
        }
        let seconds = self.at.duration_since(earlier.at).as_secs_f64().max(1e-3);
        let pairs = self.stats.fields().into_iter().zip(earlier.stats.fields());
        let sums = pairs.filter(|((name, _), _)| *name != "largest_refused");
        let speed = |((name, now), (_, then))| (name, rate(now, then, seconds));
        Some(Rates { seconds, counters: sums.map(speed).collect(), earlier: earlier.stats })
    }
}

impl Rates {
    /// How fast a figure goes that is made of counters.
    pub(super) fn of(&self, stats: &Stats, figure: impl Fn(&Stats) -> u64) -> f64 {
        rate(figure(stats), figure(&self.earlier), self.seconds)
    }
}

/// Counters go up; where one does not, somebody has written over it.
fn rate(now: u64, then: u64, seconds: f64) -> f64 {
    let rate = now.saturating_sub(then) as f64 / seconds;
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_never_go_below_zero() {
        assert_eq!(rate(30, 10, 2.0), 10.0);
        assert_eq!(rate(10, 30, 2.0), 0.0);
        assert!(rate(u64::MAX, 0, 1e-3).is_finite());
    }
}
