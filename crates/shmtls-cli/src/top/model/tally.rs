//! The counters that the view has rates of, and what two looks at them make.

use std::time::Duration;

use shmtls::Stats;

/// Why lookups miss, in the order of [`Tally::misses`].
pub(crate) const REASONS: [&str; 10] = [
    "absent",
    "evicted recently",
    "expired",
    "other context",
    "other library",
    "busy",
    "damaged",
    "forged",
    "undecodable",
    "invalid id",
];

/// Counters of one process, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) hits: u64,
    /// Hits on what another process stored.
    pub(crate) foreign: u64,
    pub(crate) misses: [u64; REASONS.len()],
    pub(crate) stored: u64,
    /// By a caller, or taken by a resumption.
    pub(crate) removed: u64,
    pub(crate) evicted: u64,
    /// Calls that had to wait for a lock.
    pub(crate) waits: u64,
}

/// What was counted in some time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Span {
    pub(crate) time: Duration,
    pub(crate) counts: Tally,
}

impl Tally {
    pub(crate) fn of(stats: &Stats) -> Self {
        Self {
            hits: stats.hits,
            foreign: stats.foreign_hits,
            misses: [
                stats.misses_absent,
                stats.misses_evicted,
                stats.misses_expired,
                stats.misses_context,
                stats.misses_library,
                stats.misses_busy,
                stats.misses_damaged,
                stats.misses_forged,
                stats.misses_undecodable,
                stats.misses_invalid_id,
            ],
            stored: stats.stored_new.saturating_add(stats.stored_replaced),
            removed: stats.removed.saturating_add(stats.taken),
            evicted: stats.evicted,
            waits: stats.lock_waits,
        }
    }

    pub(crate) fn missed(&self) -> u64 {
        self.misses.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub(crate) fn lookups(&self) -> u64 {
        self.hits.saturating_add(self.missed())
    }

    /// Calls that a wait may have been part of.
    pub(crate) fn operations(&self) -> u64 {
        self.lookups().saturating_add(self.stored).saturating_add(self.removed)
    }

    /// What came on top since `earlier`; nothing where a counter went back.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let miss = |at: usize| self.misses[at].saturating_sub(earlier.misses[at]);
        Self {
            hits: self.hits.saturating_sub(earlier.hits),
            foreign: self.foreign.saturating_sub(earlier.foreign),
            misses: std::array::from_fn(miss),
            stored: self.stored.saturating_sub(earlier.stored),
            removed: self.removed.saturating_sub(earlier.removed),
            evicted: self.evicted.saturating_sub(earlier.evicted),
            waits: self.waits.saturating_sub(earlier.waits),
        }
    }

    /// Whether any counter went back since `earlier`.
    pub(crate) fn is_behind(&self, earlier: &Self) -> bool {
        earlier.since(self) != Self::default()
    }
}

impl Span {
    /// `n` in a second.
    pub(crate) fn rate(&self, n: u64) -> f64 {
        let secs = self.time.as_secs_f64();
        if secs > 0.0 { n as f64 / secs } else { 0.0 }
    }

    pub(crate) fn lookups(&self) -> f64 {
        self.rate(self.counts.lookups())
    }

    pub(crate) fn waits(&self) -> f64 {
        self.rate(self.counts.waits)
    }
}
