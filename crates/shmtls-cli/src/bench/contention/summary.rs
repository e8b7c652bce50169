//! What the rounds of one case come to: medians, and how far they lie apart.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::burst::{Burst, Case};
use super::plan::Lock;

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Nanoseconds, the timer's own cost included.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Latency {
    pub(super) p50: Spread,
    pub(super) p99: Spread,
    pub(super) p999: Spread,
    pub(super) max: Spread,
}

/// Nanoseconds from the kill of an owner to the next one.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Recovery {
    pub(super) measured: usize,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) line: Lock,
    pub(super) label: &'static str,
    pub(super) buckets: u32,
    pub(super) processes: u32,
    /// More processes than cores; then they are not pinned.
    pub(super) oversubscribed: bool,
    /// A lock that nobody got any more: no other figure of this cell means anything.
    pub(super) hung: bool,
    /// Million operations a second, not timed.
    pub(super) mops: Option<Spread>,
    /// The part of the CPU time that the work between operations got.
    pub(super) capacity: Option<f64>,
    pub(super) get_ns: Option<Latency>,
    /// Inserts and takes.
    pub(super) put_ns: Option<Latency>,
    pub(super) recovery_ns: Option<Recovery>,
    pub(super) operations: u64,
    pub(super) lookups: u64,
    pub(super) hits: u64,
    /// Sessions that were not what was stored.
    pub(super) wrong: u64,
    /// Sessions that had to go for others.
    pub(super) evictions: u64,
    pub(super) waits: u64,
    pub(super) deadlines: u64,
    pub(super) recoveries: u64,
    pub(super) kills: u64,
    pub(super) stops: u64,
    /// Locks of the library that were not announced to the kernel.
    pub(super) unannounced: u64,
    /// Of tools, at the segment.
    pub(super) looks: u64,
    /// Of the CPU time due to it, what the worst-off worker of a burst got.
    pub(super) cpu_share: Option<f64>,
    /// Bursts that were done again, because a worker got too little CPU time.
    pub(super) repeats: u64,
    /// Bursts that were kept although one did.
    pub(super) disturbed: u64,
}

/// All bursts of a case that count.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) case: Case,
    pub(super) untimed: Vec<Burst>,
    pub(super) timed: Vec<Burst>,
    pub(super) repeats: u64,
    pub(super) disturbed: u64,
}

impl Results {
    pub(super) fn new(case: Case) -> Self {
        Self { case, untimed: Vec::new(), timed: Vec::new(), repeats: 0, disturbed: 0 }
    }

    /// Whether a lock was lost for good.
    pub(super) fn hangs(&self) -> bool {
        self.bursts().any(|burst| burst.toll.hung)
    }

    fn bursts(&self) -> impl Iterator<Item = &Burst> {
        self.untimed.iter().chain(&self.timed)
    }

    fn sum(&self, count: impl Fn(&Burst) -> u64) -> u64 {
        self.bursts().map(count).sum()
    }

    /// `work_ns`: of the work between two operations.
    pub(super) fn cell(&self, cores: usize, work_ns: f64) -> Cell {
        let Case { lock, buckets, processes } = self.case;
        let hung = self.hangs();
        let mops = Spread::of(self.untimed.iter().map(Burst::mops)).filter(|_| !hung);
        let slots = f64::from(processes).min(cores as f64);
        let capacity = |mops: Spread| mops.median * 1e6 * work_ns / 1e9 / slots;
        let timed = self.timed.as_slice();
        Cell {
            line: lock,
            label: lock.label(),
            buckets,
            processes,
            oversubscribed: processes as usize > cores,
            hung,
            mops,
            capacity: mops.map(capacity).filter(|_| work_ns > 0.0),
            get_ns: Latency::of(timed, |burst| &burst.gets).filter(|_| !hung),
            put_ns: Latency::of(timed, |burst| &burst.puts).filter(|_| !hung),
            recovery_ns: Recovery::of(self.bursts()),
            operations: self.sum(|burst| burst.operations),
            lookups: self.sum(|burst| burst.lookups),
            hits: self.sum(|burst| burst.hits),
            wrong: self.sum(|burst| burst.wrong),
            evictions: self.sum(|burst| burst.evictions),
            waits: self.sum(|burst| burst.waits),
            deadlines: self.sum(|burst| burst.deadlines),
            recoveries: self.sum(|burst| burst.recoveries),
            kills: self.sum(|burst| burst.toll.kills),
            stops: self.sum(|burst| burst.toll.stops),
            unannounced: self.sum(|burst| burst.unannounced),
            looks: self.sum(|burst| burst.looks),
            cpu_share: self.bursts().filter_map(|burst| burst.share).reduce(f64::min),
            repeats: self.repeats,
            disturbed: self.disturbed,
        }
    }
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let below = if values.len().is_multiple_of(2) { middle - 1 } else { middle };
        Some(Self { median: (values[below] + values[middle]) / 2.0, min, max })
    }
}

impl Latency {
    /// Of each burst on its own.
    fn of(bursts: &[Burst], which: fn(&Burst) -> &Histogram<u64>) -> Option<Self> {
        let all = || bursts.iter().map(which).filter(|it| !it.is_empty());
        let at = |part: f64| Spread::of(all().map(|it| it.value_at_quantile(part) as f64));
        let max = Spread::of(all().map(|it| it.max() as f64));
        Some(Self { p50: at(0.5)?, p99: at(0.99)?, p999: at(0.999)?, max: max? })
    }
}

impl Recovery {
    fn of<'a>(bursts: impl Iterator<Item = &'a Burst>) -> Option<Self> {
        let mut times: Vec<_> = bursts.flat_map(|burst| &burst.toll.recoveries).copied().collect();
        times.sort_unstable();
        let max = *times.last()?;
        let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
        Some(Self { measured: times.len(), p50: at(0.5), p99: at(0.99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied()).map(|it| it.median);
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
