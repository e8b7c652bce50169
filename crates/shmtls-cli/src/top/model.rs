//! What the view shows, from looks at a segment. Pure: it knows no segment and no clock.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, SystemTime};

pub(crate) mod events;
pub(crate) mod history;
pub(crate) mod shot;
pub(crate) mod tally;

use events::Events;
use history::History;
use shot::{Identity, Process, Shot};
use tally::Span;

/// The time that figures of single processes are an average of.
pub(crate) const SHORT: Duration = Duration::from_secs(10);
/// The times of the moving averages.
pub(crate) const WINDOWS: [(&str, Duration); 3] =
    [("10 s", SHORT), ("1 m", Duration::from_secs(60)), ("5 m", LONG)];
const LONG: Duration = Duration::from_secs(300);
/// Spans that a chart can show; more than any terminal has columns.
const BARS: usize = 1000;
/// How long the header tells of a segment that came in the place of another.
const NEWS: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Model {
    /// The last look that succeeded.
    pub(crate) shot: Option<Shot>,
    pub(crate) events: Events,
    trouble: Option<Trouble>,
    /// When another segment took the place of the one before.
    replaced: Option<Duration>,
    totals: History,
    /// What each look found on top of the one before, the oldest first.
    spans: VecDeque<Span>,
    processes: HashMap<Key, History>,
    now: Duration,
}

/// Why there are no new figures, or why they will not go on for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) text: String,
    /// When it was first seen.
    pub(crate) since: Duration,
}

/// Process IDs come again, and a process may attach twice.
type Key = (u32, u16, SystemTime);

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            shot: None,
            events: Events::default(),
            trouble: None,
            replaced: None,
            totals: History::new(LONG),
            spans: VecDeque::new(),
            processes: HashMap::new(),
            now: Duration::ZERO,
        }
    }

    /// Takes up what a look has found; `remark` is what is the matter with it nevertheless.
    pub(crate) fn take(&mut self, shot: Shot, remark: Option<String>) {
        self.now = shot.at;
        self.set_trouble(remark);
        if self.identity().is_some_and(|identity| identity != shot.identity) {
            self.start_anew(shot.at);
        }
        self.totals.push(shot.at, shot.tally);
        self.spans.extend(self.totals.latest());
        if self.spans.len() > BARS {
            self.spans.pop_front();
        }
        for process in &shot.processes {
            let history = self.processes.entry(key(process));
            history.or_insert_with(|| History::new(SHORT)).push(shot.at, process.tally);
        }
        self.processes.retain(|key, _| shot.processes.iter().any(|it| self::key(it) == *key));
        self.shot = Some(shot);
    }

    /// A look has failed: the last figures stay.
    pub(crate) fn fail(&mut self, at: Duration, text: String) {
        self.now = at;
        self.set_trouble(Some(text));
    }

    fn set_trouble(&mut self, text: Option<String>) {
        let since = self.trouble.as_ref().map_or(self.now, |trouble| trouble.since);
        self.trouble = text.map(|text| Trouble { text, since });
    }

    fn start_anew(&mut self, at: Duration) {
        self.replaced = Some(at);
        self.totals = History::new(LONG);
        self.spans.clear();
        self.processes.clear();
        self.events = Events::default();
    }

    fn identity(&self) -> Option<Identity> {
        self.shot.as_ref().map(|shot| shot.identity)
    }

    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// How long the trouble has lasted.
    pub(crate) fn trouble_age(&self) -> Duration {
        self.trouble.as_ref().map_or(Duration::ZERO, |it| self.now.saturating_sub(it.since))
    }

    /// How long ago another segment took the place of the one before, if that is news.
    pub(crate) fn replaced(&self) -> Option<Duration> {
        let age = self.now.saturating_sub(self.replaced?);
        (age < NEWS).then_some(age)
    }

    /// Between the last two looks.
    pub(crate) fn latest(&self) -> Option<Span> {
        self.totals.latest()
    }

    pub(crate) fn over(&self, window: Duration) -> Option<Span> {
        self.totals.over(window)
    }

    pub(crate) fn spans(&self) -> &VecDeque<Span> {
        &self.spans
    }

    /// Of one process, over [`SHORT`].
    pub(crate) fn of_process(&self, process: &Process) -> Option<Span> {
        self.processes.get(&key(process))?.over(SHORT)
    }
}

fn key(process: &Process) -> Key {
    (process.pid, process.writer, process.attached)
}
