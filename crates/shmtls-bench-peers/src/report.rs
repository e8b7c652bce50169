//! The report: a table for people, everything for programs.

use std::fmt::{self, Display};

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::Serialize;

use crate::machine::Machine;
use crate::plan::Peer;
use crate::summary::{Latency, Row};

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) workload: Workload,
    pub(crate) rows: Vec<Row>,
    pub(crate) not_run: Vec<NotRun>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Workload {
    pub(crate) sessions: u32,
    pub(crate) burst_ms: u64,
    pub(crate) rounds: u32,
}

/// A store that is not in the table, and why.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NotRun {
    pub(crate) store: Peer,
    pub(crate) why: String,
}

const HEADS: [&str; 12] = [
    "WORK",
    "BY",
    "STORE",
    "MOPS/S",
    "SPREAD",
    "SHMTLS IS",
    "GET P50",
    "P99",
    "PUT P50",
    "P99",
    "HIT",
    "CPU",
];
/// A worker that has less than this part of the CPU time due to it was disturbed.
pub(crate) const SHARE: f64 = 0.9;
/// Columns of words.
const WORDS: usize = 3;

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine.text())?;
        writeln!(f, "{}\n", self.workload.text(self.machine.timer_ns))?;
        writeln!(f, "{}", self.table())?;
        let notes = self.notes();
        if !notes.is_empty() {
            writeln!(f)?;
        }
        notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

impl Workload {
    pub(crate) fn text(&self, timer_ns: u64) -> String {
        format!(
            "{} sessions of 584 bytes on average; rounds: {}, of {} ms: medians, least and most; \
             latencies of one operation in 16, {} ns of them the timer's",
            self.sessions, self.rounds, self.burst_ms, timer_ns,
        )
    }
}

impl Report {
    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(HEADS);
        for row in &self.rows {
            table.add_row(cells(row));
        }
        for column in table.column_iter_mut().skip(WORDS) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// What the figures cannot show.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<_> = self.not_run.iter().map(NotRun::text).collect();
        let machine = &self.machine;
        if self.rows.iter().any(|row| row.workers as usize > machine.cores) {
            notes.push(format!("{} cores: more workers than that are not pinned", machine.cores));
        }
        if self.rows.iter().any(|row| row.cpu_share.is_some_and(|share| share < SHARE)) {
            notes
                .push("CPU below 90 %: others had the cores, and those figures are too low".into());
        }
        if !machine.optimized {
            notes.push("a debug build: its figures are those of unoptimized code".into());
        }
        for row in self.rows.iter().filter(|row| row.refused > 0) {
            let part = row.refused as f64 / (row.operations - row.lookups).max(1) as f64;
            notes.push(format!("{}: {:.1} % of its sessions refused", name(row), part * 100.0));
        }
        notes
    }
}

impl NotRun {
    fn text(&self) -> String {
        format!("not run: {}: {}", self.store.label(), self.why)
    }
}

fn name(row: &Row) -> String {
    format!("{}, {}, {}", row.mix.title(), by(row), row.store.label())
}

fn by(row: &Row) -> String {
    format!("{} {}", row.workers, row.kind.name(row.workers))
}

fn cells(row: &Row) -> Vec<Cell> {
    let mut cells = vec![
        row.mix.title().to_owned(),
        by(row),
        row.store.label().to_owned(),
        format!("{:.3}", row.mops.median),
        format!("{:.3}-{:.3}", row.mops.min, row.mops.max),
        row.shmtls_times.map_or_else(dash, times),
    ];
    for latency in [row.get_ns, row.put_ns] {
        let cell = |pick: fn(Latency) -> u64| latency.map_or_else(dash, |it| nanos(pick(it)));
        cells.extend([cell(|it| it.p50), cell(|it| it.p99)]);
    }
    let is_any = row.lookups > 0;
    let hit = || format!("{:.1} %", row.hits as f64 / row.lookups as f64 * 100.0);
    cells.push(if is_any { hit() } else { dash() });
    cells.push(row.cpu_share.map_or_else(dash, |share| format!("{:.0} %", share * 100.0)));
    cells.into_iter().map(Cell::new).collect()
}

fn dash() -> String {
    "-".into()
}

/// `4.61x`, `61.3x`, `613x`.
pub(crate) fn times(ratio: f64) -> String {
    format!("{}x", three_digits(ratio))
}

/// `85 ns`, `1.20 us`, `32.0 ms`.
fn nanos(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let texts = [85, 1_204, 9_999, 120_400, 32_000_000].map(nanos);
        assert_eq!(texts, ["85 ns", "1.20 us", "10.0 us", "120 us", "32.0 ms"]);
        assert_eq!([0.904, 4.613, 61.28, 613.4].map(times), ["0.90x", "4.61x", "61.3x", "613x"]);
    }
}
