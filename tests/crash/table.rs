//! The figures of a storm: a line for people, and one for the table of `make kill-storm`.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use shmtls::Stats;

use super::board::Board;
use super::procs::notice;

/// What one storm came to.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    kills: u64,
    took: Duration,
    pub(crate) ops: u64,
    hits: u64,
    /// Key updates, attachments, looks of tools.
    visits: [u64; 3],
    stats: Stats,
    pub(crate) busy: u64,
    pub(crate) excused: u64,
    pub(crate) late: u64,
    wait: Duration,
    delay: Duration,
}

impl Row {
    pub(crate) fn of(
        name: &'static str,
        (kills, took): (u64, Duration),
        board: &Board,
        stats: &Stats,
    ) -> Self {
        Self {
            name,
            kills,
            took,
            ops: board.sum(|tally| &tally.ops),
            hits: board.sum(|tally| &tally.hits),
            visits: [
                board.sum(|tally| &tally.key_updates),
                board.sum(|tally| &tally.attaches),
                board.sum(|tally| &tally.looks),
            ],
            stats: *stats,
            busy: board.sum(|tally| &tally.busy),
            excused: board.sum(|tally| &tally.excused),
            late: board.sum(|tally| &tally.late),
            wait: board.longest(|tally| &tally.longest_wait_ns),
            delay: board.longest(|tally| &tally.longest_delay_ns),
        }
    }

    /// One that killed creators: they share nothing.
    pub(crate) fn of_creators(kills: u64, took: Duration) -> Self {
        let (stats, zero) = (Stats::default(), Duration::ZERO);
        let (ops, hits, visits, busy, excused, late) = (0, 0, [0; 3], 0, 0, 0);
        let (name, wait, delay) = ("created", zero, zero);
        Self { name, kills, took, ops, hits, visits, stats, busy, excused, late, wait, delay }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kills, ops, hits, busy, excused, stats, .. } = self;
        let [keys, attaches, looks] = self.visits;
        write!(
            f,
            "{name}: {kills} kills in {:.1} s, {ops} operations, {hits} hits, {keys} key updates, \
             {attaches} attachments, {looks} looks, {} deaths in a lock (kernel {}, stolen {}, own \
             ID {}), {} repairs kept {} and lost {}, {} evicted, {} lock waits, {} late wakes, \
             {busy} busy, {excused} busy for who stood still, longest wait {:.1} ms (without a \
             core {:.1} ms)",
            self.took.as_secs_f64(),
            stats.recoveries(),
            stats.owner_died_kernel,
            stats.owner_died_stolen,
            stats.owner_died_self,
            stats.repairs,
            stats.repair_kept,
            stats.repair_lost,
            stats.evicted,
            stats.lock_waits,
            stats.lock_late_wakes,
            millis(self.wait),
            millis(self.delay),
        )
    }
}

/// Tells the figures, and adds them to the file that `SHMTLS_TABLE` names.
pub(crate) fn add(row: &Row) {
    notice(&row.to_string());
    let Some(path) = std::env::var_os("SHMTLS_TABLE") else { return };
    let stats = &row.stats;
    let line = format!(
        "{} {} {:.3} {} {} {} {} {} {} {:.1} {} {} {} {}\n",
        row.name,
        row.kills,
        row.took.as_secs_f64(),
        row.ops,
        stats.owner_died_kernel,
        stats.owner_died_stolen,
        stats.owner_died_self,
        stats.repair_kept,
        stats.repair_lost,
        millis(row.wait),
        row.busy,
        row.excused,
        row.late,
        row.visits[0],
    );
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the table's file");
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
