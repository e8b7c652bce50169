//! Events, as they are shown.

use serde::Serialize;
use shmtls::{Inspector, Origin, PastEvent, ProcessInfo};

use super::what::{self, What};
use crate::context;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Lines};
use crate::output::{Report, page::Page, style, units};
use crate::segment::Segment;

#[derive(Debug, Serialize)]
pub(super) struct Events {
    segment: String,
    /// So many are kept of each.
    events_per_process: usize,
    #[serde(flatten)]
    lost: Lost,
    events: Vec<Event>,
    #[serde(skip)]
    with_head: bool,
}

/// How many there were that nobody can see any more.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Lost {
    /// Overwritten since the last look.
    pub(super) missed: u64,
    /// Overwritten before the first look; null at the others.
    pub(super) overwritten: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Event {
    unix_millis: u64,
    /// Null if the process has given its line back.
    pid: Option<u32>,
    command: Option<String>,
    /// Its number, which its sessions carry.
    writer: u16,
    what: What,
    reason: Option<&'static str>,
    digest: Option<String>,
    context: Option<String>,
    session_bytes: Option<usize>,
    /// Of a recovery.
    bucket: Option<u64>,
    origin: &'static str,
}

impl Events {
    pub(super) fn of(
        segment: &Segment,
        inspector: &Inspector,
        events: &[PastEvent],
        lost: Lost,
    ) -> Self {
        let processes = if events.is_empty() { Vec::new() } else { inspector.processes() };
        Self {
            segment: segment.label().into(),
            events_per_process: inspector.info().events(),
            lost,
            events: events.iter().map(|event| Event::of(event, &processes)).collect(),
            with_head: true,
        }
    }

    pub(super) fn keep_last(&mut self, limit: Option<usize>) {
        let too_many = limit.map_or(0, |limit| self.events.len().saturating_sub(limit));
        self.events.drain(..too_many);
    }

    /// As the continuation of what was shown before.
    pub(super) fn without_head(self) -> Self {
        Self { with_head: false, ..self }
    }

    pub(super) fn missed(&self) -> u64 {
        self.lost.missed
    }

    pub(super) fn overwritten(&self) -> u64 {
        self.lost.overwritten.unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl Event {
    fn of(event: &PastEvent, processes: &[ProcessInfo]) -> Self {
        // An event can be older than the process that has the line now.
        let process = processes.iter().find(|it| it.writer() == event.writer());
        let of_session = event.digest().is_some();
        Self {
            unix_millis: units::unix_millis(event.at()),
            pid: process.map(ProcessInfo::pid),
            command: process.map(|process| process.command().into()),
            writer: event.writer(),
            what: What::of(event.happening()),
            reason: what::reason(event.happening()),
            digest: event.digest().map(|digest| digest.to_string()),
            context: of_session.then(|| context::shown(event.context_start())),
            session_bytes: Some(event.session_len()).filter(|len| *len > 0),
            bucket: event.bucket(),
            origin: match event.origin() {
                Origin::Handshake => "handshake",
                Origin::Api => "api",
                Origin::Remote => "remote",
                _ => "other",
            },
        }
    }

    fn cells(&self) -> [Cell; 8] {
        let style = match self.what {
            What::Hit | What::ForeignHit => style::GOOD,
            What::Missed | What::Evicted => style::WARN,
            What::Refused | What::Recovered => style::BAD,
            _ => style::PLAIN,
        };
        [
            units::utc(self.unix_millis).into(),
            Cell::maybe(self.pid.map(|pid| pid.to_string())),
            Cell::maybe(self.command.clone()),
            Cell::maybe(self.digest.clone()),
            Cell::maybe(self.context.clone()),
            Cell::maybe(self.session_bytes.map(|len| units::bytes(len as u64))),
            self.origin.into(),
            Cell::new(style, self.text()),
        ]
    }

    fn text(&self) -> String {
        let reason = self.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let bucket = self.bucket.map(|bucket| format!(" bucket {bucket}")).unwrap_or_default();
        format!("{}{bucket}{reason}", self.what.text())
    }
}

impl Report for Events {
    const NAME: &'static str = "events";

    fn text(&self, page: &mut Page) {
        let lines = Lines::new(&[
            ("TIME", Left, 24),
            ("PID", Right, 7),
            ("COMMAND", Left, 15),
            ("ID HASH", Left, 8),
            ("CONTEXT", Left, 8),
            ("SIZE", Right, 8),
            ("FOR", Left, 9),
            ("WHAT", Left, 0),
        ]);
        if self.with_head {
            page.raw(&lines.head());
        }
        self.events.iter().for_each(|event| page.raw(&lines.row(&event.cells())));
    }
}
