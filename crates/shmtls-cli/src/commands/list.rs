//! `shmtls list`: every segment on this machine, the sick ones too.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use shmtls::{Inspector, ProcessInfo};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Output, Report, page::Page, style, units};
use crate::segment::Segment;
use crate::system::{self, ProcessState};
use crate::watch::Watch;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls list                  what is there, and what is the matter with it
  sudo shmtls list             also what other users' servers hold
  shmtls list --format json | jq '.segments[] | select(.problem)'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Serialize)]
struct List {
    segments: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    /// What to call it in other commands.
    segment: String,
    path: String,
    backing: &'static str,
    owner: Option<String>,
    /// As `ls` would show it, in octal.
    mode: Option<String>,
    bytes: Option<u64>,
    #[serde(flatten)]
    contents: Option<Contents>,
    /// Why it could not be opened.
    problem: Option<String>,
}

#[derive(Debug, Serialize)]
struct Contents {
    sessions: usize,
    sealed: bool,
    processes_alive: usize,
    processes_dead: usize,
    /// Those of another PID namespace.
    processes_unknown: usize,
    creator_pid: u32,
    creator_command: Option<String>,
    created_unix_secs: u64,
    age_secs: u64,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        self.watch.show(output, || {
            Ok(List { segments: Segment::all().iter().filter_map(Row::of).collect() })
        })
    }
}

impl Row {
    /// `None` if it went away since it was found: its file was removed, or its process has ended.
    fn of(segment: &Segment) -> Option<Self> {
        // It may be there again a moment later, and not be what was found any more.
        if segment.is_gone() {
            return None;
        }
        let contents = segment.inspect_one_of_many().map(|it| Contents::of(&it));
        let file = fs::metadata(segment.path());
        if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return None;
        }
        let file = file.ok();
        // One whose name was removed is as a memfd to who looks for it.
        let has_name = file.as_ref().map_or(segment.has_name(), |file| file.nlink() > 0);
        Some(Self {
            segment: segment.label().into(),
            path: segment.path().display().to_string(),
            backing: if has_name { "named" } else { "memfd" },
            owner: file.as_ref().map(|file| system::user_name(file.uid())),
            mode: file.as_ref().map(|file| format!("{:04o}", file.mode() & 0o7777)),
            bytes: file.as_ref().map(fs::Metadata::len),
            problem: contents.as_ref().err().map(|failure| failure.text().into()),
            contents: contents.ok(),
        })
    }

    fn cells(&self) -> [Cell; 8] {
        let contents = self.contents.as_ref();
        [
            self.segment.as_str().into(),
            Cell::maybe(self.bytes.map(units::bytes)),
            Cell::maybe(contents.map(|it| units::count(it.sessions as u64))),
            Cell::maybe(contents.map(Contents::processes)),
            Cell::maybe(self.owner.clone()),
            Cell::maybe(contents.map(Contents::creator)),
            Cell::maybe(contents.map(|it| it.age_secs).map(Duration::from_secs).map(units::span)),
            match &self.problem {
                Some(problem) => Cell::new(style::BAD, problem),
                None => Cell::new(style::GOOD, "ok"),
            },
        ]
    }
}

impl Contents {
    fn of(inspector: &Inspector) -> Self {
        let processes = inspector.processes();
        let info = inspector.info();
        let states: Vec<_> = processes.iter().map(|it| ProcessState::of(it, &info)).collect();
        let count =
            |which: fn(ProcessState) -> bool| states.iter().filter(|state| which(**state)).count();
        let is_creator = |process: &&ProcessInfo| process.pid() == info.creator_pid();
        let age = SystemTime::now().duration_since(info.created()).unwrap_or_default();
        Self {
            sessions: inspector.len(),
            sealed: inspector.is_sealed(),
            processes_alive: count(ProcessState::is_alive),
            processes_dead: count(ProcessState::is_dead),
            processes_unknown: count(|state| state == ProcessState::Unknown),
            creator_pid: info.creator_pid(),
            creator_command: processes.iter().find(is_creator).map(|it| it.command().into()),
            created_unix_secs: units::unix_secs(info.created()),
            age_secs: age.as_secs(),
        }
    }

    fn processes(&self) -> String {
        let known = self.processes_alive.to_string();
        let others = [(self.processes_dead, "dead"), (self.processes_unknown, "unknown")];
        let others = others.iter().filter(|(n, _)| *n > 0);
        others.fold(known, |text, (n, what)| format!("{text} + {n} {what}"))
    }

    fn creator(&self) -> String {
        match &self.creator_command {
            Some(command) => format!("{} ({command})", self.creator_pid),
            None => self.creator_pid.to_string(),
        }
    }
}

impl Report for List {
    const NAME: &'static str = "list";

    fn text(&self, page: &mut Page) {
        if self.segments.is_empty() {
            page.line("no segments that you can see: shmtls create NAME makes one");
            return;
        }
        let mut table = Table::new(&[
            ("SEGMENT", Left),
            ("SIZE", Right),
            ("SESSIONS", Right),
            ("PROCESSES", Right),
            ("OWNER", Left),
            ("CREATOR", Left),
            ("AGE", Right),
            ("STATE", Left),
        ]);
        self.segments.iter().for_each(|row| table.row(row.cells()));
        page.table(&table);
    }
}
