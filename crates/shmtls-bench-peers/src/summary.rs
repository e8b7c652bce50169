//! What the rounds of one case come to: medians, and how far they lie apart.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::plan::{Case, Kind, Mix, Peer};
use crate::worker::{Seen, histogram};

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// Nanoseconds, what taking the time costs included.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

/// A row of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) mix: Mix,
    pub(crate) kind: Kind,
    pub(crate) workers: u32,
    pub(crate) store: Peer,
    /// Million operations a second, of all workers together.
    pub(crate) mops: Spread,
    /// The library's median in the same place, divided by this one.
    pub(crate) shmtls_times: Option<f64>,
    pub(crate) get_ns: Option<Latency>,
    pub(crate) put_ns: Option<Latency>,
    pub(crate) operations: u64,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
    /// Sessions that it would not store.
    pub(crate) refused: u64,
    /// Sessions that were not what was stored, of those that were compared.
    pub(crate) wrong: u64,
    /// Of the CPU time due to it, what the worst-off worker of a burst got.
    pub(crate) cpu_share: Option<f64>,
    /// Bursts that were done again, because a worker got too little CPU time.
    pub(crate) repeats: u64,
}

/// All bursts of a case that count.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) case: Case,
    pub(crate) repeats: u64,
    rates: Vec<f64>,
    gets: Histogram<u64>,
    puts: Histogram<u64>,
    sum: Seen,
    share: Option<f64>,
}

impl Results {
    pub(crate) fn new(case: Case) -> Self {
        Self {
            case,
            repeats: 0,
            rates: Vec::new(),
            gets: histogram(),
            puts: histogram(),
            sum: Seen::default(),
            share: None,
        }
    }

    pub(crate) fn add(&mut self, burst: &[Seen], share: Option<f64>) {
        self.rates.push(burst.iter().map(|it| it.operations as f64 / it.ns as f64 * 1e3).sum());
        self.share = self.share.into_iter().chain(share).reduce(f64::min);
        for seen in burst {
            self.sum.operations += seen.operations;
            self.sum.lookups += seen.lookups;
            self.sum.hits += seen.hits;
            self.sum.refused += seen.refused;
            self.sum.wrong += seen.wrong;
            for (into, counts) in [(&mut self.gets, &seen.gets), (&mut self.puts, &seen.puts)] {
                counts.iter().for_each(|(value, n)| into.saturating_record_n(*value, *n));
            }
        }
    }

    /// `None` if there was no burst.
    pub(crate) fn row(&self, mix: Mix) -> Option<Row> {
        Some(Row {
            mix,
            kind: self.case.kind,
            workers: self.case.workers,
            store: self.case.peer,
            mops: Spread::of(&self.rates)?,
            shmtls_times: None,
            get_ns: Latency::of(&self.gets),
            put_ns: Latency::of(&self.puts),
            operations: self.sum.operations,
            lookups: self.sum.lookups,
            hits: self.sum.hits,
            refused: self.sum.refused,
            wrong: self.sum.wrong,
            cpu_share: self.share,
            repeats: self.repeats,
        })
    }
}

/// Of the time that its worst-off worker could have had, the part that it got.
pub(crate) fn share(burst: &[Seen], cores: usize) -> Option<f64> {
    let due = (cores as f64 / burst.len() as f64).min(1.0);
    let had = burst.iter().filter_map(|it| it.scheduled);
    had.map(|(on, off)| on as f64 / (on + off).max(1) as f64 / due).reduce(f64::min)
}

/// Compares each row with the library's row of the same place.
pub(crate) fn compare(rows: &mut [Row]) {
    let ours = |row: &&Row| row.store == Peer::Shmtls;
    let medians: Vec<_> =
        rows.iter().filter(ours).map(|row| (place(row), row.mops.median)).collect();
    for row in rows {
        let found = medians.iter().find(|(of, _)| *of == place(row));
        row.shmtls_times = found.map(|(_, median)| median / row.mops.median);
    }
}

fn place(row: &Row) -> (Mix, Kind, u32) {
    (row.mix, row.kind, row.workers)
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let below = if values.len().is_multiple_of(2) { middle - 1 } else { middle };
        Some(Self { median: (values[below] + values[middle]) / 2.0, min, max })
    }
}

impl Latency {
    /// Over all rounds.
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |part: f64| histogram.value_at_quantile(part);
        (!histogram.is_empty()).then(|| Self { p50: at(0.5), p99: at(0.99) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let median = |values: &[f64]| Spread::of(values).map(|it| it.median);
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    /// A wrong divisor here would make the library look better or worse than it is.
    #[test]
    fn rates_add_up_over_workers_and_compare_with_the_library() {
        let burst = |operations| {
            let seen = || Seen { ns: 1_000_000_000, operations, ..Seen::default() };
            vec![seen(), seen()]
        };
        let results = |peer, operations| {
            let mut results = Results::new(Case { peer, kind: Kind::Processes, workers: 2 });
            results.add(&burst(operations), None);
            results.row(Mix::Get).expect("a burst")
        };
        let mut rows = [results(Peer::Lmdb, 500_000), results(Peer::Shmtls, 2_000_000)];
        compare(&mut rows);
        assert_eq!(rows[0].mops.median, 1.0);
        assert_eq!((rows[0].shmtls_times, rows[1].shmtls_times), (Some(4.0), Some(1.0)));
    }
}
