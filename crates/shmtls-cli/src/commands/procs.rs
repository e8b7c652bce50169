//! `shmtls procs`: who uses a segment, how, and with which keys.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use shmtls::{Inspector, ProcessInfo};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Output, Report, page::Page, style, units};
use crate::segment::{Segment, SegmentArg};
use crate::system::{self, ProcessState};
use crate::watch::Watch;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls procs web             the workers, their work, and who still has old keys
  shmtls procs pid:81022       of the segment that a process has, with or without a name
  shmtls procs web -w 2s       again and again
  shmtls procs web --format json | jq '.processes[]
    | select(.keys_current == false and .state != \"dead\") | .pid'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Serialize)]
struct Processes {
    segment: String,
    /// The epoch of the ring; 0 without keys.
    key_epoch: u64,
    processes: Vec<Process>,
}

#[derive(Debug, Serialize)]
struct Process {
    pid: u32,
    /// Its number in the segment, by which sessions name who stored them.
    writer: u16,
    command: String,
    state: ProcessState,
    attached_unix_secs: u64,
    /// Null for one that has not used the cache since it attached.
    last_seen_unix_secs: Option<u64>,
    lookups: u64,
    hits: u64,
    foreign_hits: u64,
    stored: u64,
    /// The epoch of the keys that it used last; 0 if it has used none.
    key_epoch: u64,
    /// Null for one that has used none.
    keys_current: Option<bool>,
    /// When it last took over a lock from a dead owner.
    last_recovery_unix_secs: Option<u64>,
    counters: BTreeMap<&'static str, u64>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        self.watch.show(output, || {
            let segment = self.segment.find()?;
            Ok(Processes::of(&segment, &segment.inspect()?))
        })
    }
}

impl Processes {
    fn of(segment: &Segment, inspector: &Inspector) -> Self {
        let key_epoch = inspector.keys().map_or(0, |keys| keys.epoch);
        let origin = inspector.info();
        let process =
            |info: &ProcessInfo| Process::of(info, ProcessState::of(info, &origin), key_epoch);
        let mut processes: Vec<_> = inspector.processes().iter().map(process).collect();
        processes.sort_by_key(|process| (process.attached_unix_secs, process.pid));
        Self { segment: segment.label().into(), key_epoch, processes }
    }
}

impl Process {
    fn of(info: &ProcessInfo, state: ProcessState, key_epoch: u64) -> Self {
        let stats = info.stats();
        Self {
            pid: info.pid(),
            writer: info.writer(),
            command: info.command().into(),
            state,
            attached_unix_secs: units::unix_secs(info.attached()),
            last_seen_unix_secs: system::last_seen(info).map(units::unix_secs),
            lookups: stats.lookups(),
            hits: stats.hits,
            foreign_hits: stats.foreign_hits,
            stored: stats.stored_new.wrapping_add(stats.stored_replaced),
            key_epoch: info.key_epoch(),
            keys_current: (info.key_epoch() != 0).then(|| info.key_epoch() == key_epoch),
            last_recovery_unix_secs: info.last_recovery().map(|(at, _)| units::unix_secs(at)),
            counters: stats.fields().into_iter().collect(),
        }
    }

    fn cells(&self) -> [Cell; 10] {
        let ago = |secs| units::age(UNIX_EPOCH + Duration::from_secs(secs));
        [
            self.pid.to_string().into(),
            self.command.as_str().into(),
            self.state.cell(),
            ago(self.attached_unix_secs).into(),
            Cell::maybe(self.last_seen_unix_secs.map(ago)),
            units::count(self.lookups).into(),
            units::percent(self.hits, self.lookups).into(),
            units::percent(self.foreign_hits, self.hits).into(),
            units::count(self.stored).into(),
            self.keys_cell(),
        ]
    }

    fn keys_cell(&self) -> Cell {
        match self.keys_current {
            None => Cell::maybe(None),
            Some(true) => Cell::new(style::GOOD, format!("{} current", self.key_epoch)),
            Some(false) => Cell::new(style::WARN, format!("{} old", self.key_epoch)),
        }
    }
}

impl Report for Processes {
    const NAME: &'static str = "procs";

    fn text(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("PID", Right),
            ("COMMAND", Left),
            ("STATE", Left),
            ("ATTACHED", Right),
            ("SEEN", Right),
            ("LOOKUPS", Right),
            ("HIT", Right),
            ("FOREIGN", Right),
            ("STORES", Right),
            ("KEYS", Left),
        ]);
        self.processes.iter().for_each(|process| table.row(process.cells()));
        page.table(&table);
    }
}
