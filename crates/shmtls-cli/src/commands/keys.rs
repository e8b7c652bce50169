//! `shmtls keys`: the ring of ticket keys, by fingerprint; never a key.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use shmtls::{Expiry, Inspector, KeyInfo, KeyRole, KeySource, KeyStatus};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table};
use crate::output::{Output, Report, page::Page, style, units};
use crate::segment::{Segment, SegmentArg};
use crate::system::ProcessState;
use crate::watch::Watch;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls keys web              which keys there are, and whether everybody has them
  shmtls keys web -w 5s        watch a rotation
  shmtls keys web --format json | jq .epoch";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Serialize)]
struct Keys {
    segment: String,
    /// Counts updates; 0 before there are any keys.
    epoch: u64,
    source: Option<&'static str>,
    published_unix_secs: Option<u64>,
    publisher_pid: Option<u32>,
    /// Processes that use keys, and are not known to be dead.
    processes_with_keys: usize,
    /// Those of them that use this ring.
    processes_current: usize,
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Key {
    pub(crate) role: &'static str,
    fingerprint: String,
    /// Null: from the beginning.
    not_before_unix_secs: Option<u32>,
    /// Null: without end.
    not_after_unix_secs: Option<u32>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        self.watch.show(output, || {
            let segment = self.segment.find()?;
            Ok(Keys::of(&segment, &segment.inspect()?))
        })
    }
}

impl Keys {
    fn of(segment: &Segment, inspector: &Inspector) -> Self {
        let status = inspector.keys();
        let epoch = status.as_ref().map_or(0, |status| status.epoch);
        let origin = inspector.info();
        let mut users = inspector.processes();
        users.retain(|it| it.key_epoch() != 0 && !ProcessState::of(it, &origin).is_dead());
        Self {
            segment: segment.label().into(),
            epoch,
            source: status.as_ref().map(|status| source(status.source)),
            published_unix_secs: status.as_ref().map(|status| units::unix_secs(status.published)),
            publisher_pid: status.as_ref().map(|status| status.writer_pid),
            processes_with_keys: users.len(),
            processes_current: users.iter().filter(|it| it.key_epoch() == epoch).count(),
            keys: status.iter().flat_map(|KeyStatus { keys, .. }| keys).map(Key::of).collect(),
        }
    }

    fn summary(&self) -> String {
        let published = UNIX_EPOCH + Duration::from_secs(self.published_unix_secs.unwrap_or(0));
        let current = format!("{} of {}", self.processes_current, self.processes_with_keys);
        let adopted = match self.processes_current == self.processes_with_keys {
            true => style::GOOD,
            false => style::WARN,
        };
        format!(
            "epoch {} · set {} ago by {}, pid {} · {} current",
            self.epoch,
            units::age(published),
            self.source.unwrap_or("nobody"),
            self.publisher_pid.unwrap_or(0),
            style::paint(adopted, &format!("{current} processes")),
        )
    }
}

impl Key {
    pub(crate) fn of(info: &KeyInfo) -> Self {
        let start = info.not_before.unix_secs();
        let end = info.not_after.unix_secs();
        Self {
            role: role(info.role),
            fingerprint: info.fingerprint.to_string(),
            not_before_unix_secs: (start != 0).then_some(start),
            not_after_unix_secs: (end != u32::MAX).then_some(end),
        }
    }

    fn cells(&self) -> [Cell; 4] {
        let role = match self.role {
            "current" => Cell::new(style::GOOD, self.role),
            "expired" => Cell::new(style::DIM, self.role),
            _ => self.role.into(),
        };
        [role, self.fingerprint.as_str().into(), self.encrypts().into(), self.decrypts().into()]
    }

    pub(crate) fn encrypts(&self) -> String {
        match (self.role, self.not_before_unix_secs) {
            ("current", _) => "now".into(),
            ("next", Some(start)) => format!("in {}", until(start)),
            _ => "no more".into(),
        }
    }

    pub(crate) fn decrypts(&self) -> String {
        match (self.role, self.not_after_unix_secs) {
            ("expired", _) => "no more".into(),
            (_, None) => "without end".into(),
            (_, Some(end)) => format!("for {}", until(end)),
        }
    }
}

fn until(unix_secs: u32) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(unix_secs.into());
    units::span(Expiry::at(time).remaining())
}

pub(crate) fn source(source: KeySource) -> &'static str {
    match source {
        KeySource::Api => "api",
        KeySource::File => "file",
        KeySource::Rotation => "rotation",
        KeySource::Remote => "remote",
        _ => "other",
    }
}

fn role(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Next => "next",
        KeyRole::Current => "current",
        KeyRole::Previous => "previous",
        KeyRole::Expired => "expired",
        _ => "other",
    }
}

impl Report for Keys {
    const NAME: &'static str = "keys";

    fn text(&self, page: &mut Page) {
        if self.keys.is_empty() {
            page.line("there are no ticket keys");
            return;
        }
        page.line(self.summary());
        let columns =
            [("ROLE", Left), ("FINGERPRINT", Left), ("ENCRYPTS", Left), ("DECRYPTS", Left)];
        let mut table = Table::new(&columns);
        self.keys.iter().for_each(|key| table.row(key.cells()));
        page.table(&table);
    }
}
