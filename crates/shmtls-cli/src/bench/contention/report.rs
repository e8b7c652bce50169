//! The report: a table for people, everything for programs.

use serde::Serialize;

use super::machine::Machine;
use super::plan::Keys;
use super::summary::{Cell, Latency, Spread};
use crate::exit::Exit;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{self, Table};
use crate::output::{Report, page::Page, style, units};

#[derive(Debug, Serialize)]
pub(super) struct Contention {
    pub(super) machine: Machine,
    pub(super) workload: Workload,
    pub(super) notes: Vec<String>,
    pub(super) cells: Vec<Cell>,
}

#[derive(Debug, Serialize)]
pub(super) struct Workload {
    pub(super) get_percent: u8,
    pub(super) insert_percent: u8,
    pub(super) take_percent: u8,
    pub(super) keys: Keys,
    pub(super) session_bytes_mean: u64,
    pub(super) work_ns: u64,
    pub(super) burst_ms: u64,
    pub(super) rounds: u32,
    pub(super) kills_per_second: f64,
    pub(super) stops_per_second: f64,
    pub(super) priority_inheritance: bool,
}

impl Workload {
    pub(super) fn text(&self) -> String {
        format!(
            "{} % get, {} % insert, {} % take, sessions of {} on average",
            self.get_percent,
            self.insert_percent,
            self.take_percent,
            units::bytes(self.session_bytes_mean),
        )
    }
}

impl Report for Contention {
    const NAME: &'static str = "bench-contention";

    fn text(&self, page: &mut Page) {
        page.line(self.machine.text());
        page.line(format_args!(
            "{}; {} of {} ms; medians, and the least and most where they differ",
            self.workload.text(),
            units::plural(self.workload.rounds.into(), "round", "rounds"),
            self.workload.burst_ms,
        ));
        page.line(format_args!(
            "latencies hold {} ns for the timer; put: insert and take",
            self.machine.timer_ns
        ));
        let (rates, troubles) = (self.rates(), self.troubles());
        page.line("");
        page.table(&rates);
        if let Some(troubles) = troubles {
            page.line("");
            page.table(&troubles);
        }
    }

    fn outcome(&self) -> Exit {
        if self.cells.iter().any(|cell| cell.wrong > 0) { Exit::NotMet } else { Exit::Fine }
    }
}

impl Contention {
    fn rates(&self) -> Table {
        let mut table = Table::new(&[
            ("LOCK", Left),
            ("BUCKETS", Right),
            ("PROCS", Right),
            ("MOPS/S", Right),
            ("SPREAD", Right),
            ("GET P50", Right),
            ("P99", Right),
            ("P99.9", Right),
            ("MAX", Right),
            ("PUT P50", Right),
            ("P99", Right),
            ("P99.9", Right),
            ("MAX", Right),
            ("WAITS", Right),
            ("CPU", Right),
        ]);
        for cell in &self.cells {
            let mut row = vec![
                cell.label.into(),
                cell.buckets.to_string().into(),
                cell.processes.to_string().into(),
                rate(cell),
                table::Cell::maybe(cell.mops.map(spread)),
            ];
            row.extend(latency(cell.get_ns));
            row.extend(latency(cell.put_ns));
            row.push(units::percent(cell.waits, cell.operations).into());
            row.push(share(cell));
            table.row(row);
        }
        table
    }

    /// If there was any.
    fn troubles(&self) -> Option<Table> {
        let is_calm = |cell: &Cell| {
            cell.kills + cell.stops + cell.deadlines + cell.wrong == 0 && cell.capacity.is_none()
        };
        if self.cells.iter().all(is_calm) {
            return None;
        }
        let mut table = Table::new(&[
            ("LOCK", Left),
            ("BUCKETS", Right),
            ("PROCS", Right),
            ("KILLS", Right),
            ("STOPS", Right),
            ("RECOVERIES", Right),
            ("RECOVERY P50", Right),
            ("P99", Right),
            ("MAX", Right),
            ("DEADLINES", Right),
            ("HIT", Right),
            ("WRONG", Right),
            ("CAPACITY", Right),
        ]);
        for cell in &self.cells {
            let recovery =
                |pick: fn(super::summary::Recovery) -> u64| cell.recovery_ns.map(pick).map(nanos);
            table.row([
                cell.label.into(),
                cell.buckets.to_string().into(),
                cell.processes.to_string().into(),
                units::count(cell.kills).into(),
                units::count(cell.stops).into(),
                units::count(cell.recoveries).into(),
                table::Cell::maybe(recovery(|it| it.p50)),
                table::Cell::maybe(recovery(|it| it.p99)),
                table::Cell::maybe(recovery(|it| it.max)),
                units::count(cell.deadlines).into(),
                units::percent(cell.hits, cell.lookups).into(),
                match cell.wrong {
                    0 => table::Cell::new(style::GOOD, "0"),
                    n => table::Cell::new(style::BAD, units::count(n)),
                },
                table::Cell::maybe(cell.capacity.map(|it| format!("{:.0} %", it * 100.0))),
            ]);
        }
        Some(table)
    }
}

fn rate(cell: &Cell) -> table::Cell {
    match cell.mops {
        Some(mops) => format!("{:.3}", mops.median).into(),
        None => table::Cell::new(style::BAD, "hangs"),
    }
}

fn spread(spread: Spread) -> String {
    format!("{:.3}-{:.3}", spread.min, spread.max)
}

fn latency(latency: Option<Latency>) -> [table::Cell; 4] {
    let cell = |pick: fn(&Latency) -> &Spread| {
        table::Cell::maybe(latency.as_ref().map(|it| nanos(pick(it).median as u64)))
    };
    [cell(|it| &it.p50), cell(|it| &it.p99), cell(|it| &it.p999), cell(|it| &it.max)]
}

/// The least share of the CPU time due; in yellow where it stayed too small.
fn share(cell: &Cell) -> table::Cell {
    let text = cell.cpu_share.map(|share| format!("{:.0} %", share * 100.0));
    match text {
        Some(text) if cell.disturbed > 0 => table::Cell::new(style::WARN, text + "!"),
        text => table::Cell::maybe(text),
    }
}

/// `85 ns`, `1.20 us`, `32.0 ms`: three digits.
pub(super) fn nanos(nanos: u64) -> String {
    let (value, unit) = match nanos {
        0..1_000 => return format!("{nanos} ns"),
        1_000..1_000_000 => (nanos as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (nanos as f64 / 1e6, "ms"),
        _ => (nanos as f64 / 1e9, "s"),
    };
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::nanos;

    #[test]
    fn three_digits() {
        let expected = [(85, "85 ns"), (1_204, "1.20 us"), (32_000_000, "32.0 ms")];
        for (value, text) in expected {
            assert_eq!(nanos(value), text);
        }
        assert_eq!((nanos(9_999), nanos(120_400)), ("10.0 us".into(), "120 us".into()));
    }
}
