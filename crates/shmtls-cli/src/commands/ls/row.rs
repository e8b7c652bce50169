//! What is shown of a session.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use shmtls::{EntryInfo, Library, ProcessInfo};

use crate::context;
use crate::output::listing;
use crate::output::table::Cell;
use crate::output::{style, units};

#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// What stands for the ID where others look.
    digest: String,
    context: String,
    protocol: Option<String>,
    library: &'static str,
    pub(super) bytes: usize,
    pub(super) age_secs: u64,
    /// 0: expired.
    pub(super) left_secs: u64,
    pub(super) idle_secs: u64,
    single_use: bool,
    /// The number of the process that stored it.
    writer: u16,
    /// Its PID while it has a line in the process table.
    pid: Option<u32>,
    /// 7 is that often, or more.
    pub(super) hits: u8,
    bucket: usize,
    #[serde(skip)]
    verbose: bool,
}

/// The processes by the number that their sessions carry.
#[derive(Debug)]
pub(super) struct Writers(Vec<(u16, u32)>);

impl Writers {
    pub(super) fn of(processes: &[ProcessInfo]) -> Self {
        Self(processes.iter().map(|process| (process.writer(), process.pid())).collect())
    }

    pub(super) fn numbers_of(&self, pid: u32) -> Vec<u16> {
        self.0.iter().filter(|(_, other)| *other == pid).map(|(number, _)| *number).collect()
    }

    fn pid_of(&self, number: u16) -> Option<u32> {
        self.0.iter().find(|(other, _)| *other == number).map(|(_, pid)| *pid)
    }
}

impl Row {
    pub(super) fn of(entry: &EntryInfo, writers: &Writers, verbose: bool) -> Self {
        let age = SystemTime::now().duration_since(entry.created()).unwrap_or_default();
        Self {
            digest: entry.digest().to_string(),
            context: context::shown(entry.context().start()),
            protocol: protocol(entry.protocol()),
            library: library(entry.library()),
            bytes: entry.len(),
            age_secs: age.as_secs(),
            left_secs: entry.expiry().remaining().as_secs(),
            // The last use is kept in coarser ticks: it may seem to lie before the first.
            idle_secs: entry.idle().min(age).as_secs(),
            single_use: entry.is_single_use(),
            writer: entry.writer(),
            pid: writers.pid_of(entry.writer()),
            hits: entry.hits(),
            bucket: entry.bucket(),
            verbose,
        }
    }
}

impl listing::Row for Row {
    fn cells(&self) -> Vec<Cell> {
        let span = |secs| Cell::from(units::span(Duration::from_secs(secs)));
        let mut cells = vec![
            self.digest.as_str().into(),
            self.context.as_str().into(),
            Cell::maybe(self.protocol.clone()),
            self.library.into(),
            units::bytes(self.bytes as u64).into(),
            span(self.age_secs),
            if self.left_secs == 0 {
                Cell::new(style::WARN, "expired")
            } else {
                span(self.left_secs)
            },
            span(self.idle_secs),
            if self.single_use { "single" } else { "many" }.into(),
            Cell::maybe(self.pid.map(|pid| pid.to_string())),
            if self.hits < 7 { self.hits.to_string() } else { "7+".into() }.into(),
        ];
        if self.verbose {
            cells.push(self.bucket.to_string().into());
        }
        cells
    }
}

/// The name of a version as on the wire; `None` where the writer did not say.
pub(super) fn protocol(version: u16) -> Option<String> {
    let name = match version {
        0 => return None,
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        0xFEFF => "DTLS 1.0",
        0xFEFD => "DTLS 1.2",
        0xFEFC => "DTLS 1.3",
        other => return Some(format!("{other:#06x}")),
    };
    Some(name.into())
}

fn library(library: Option<Library>) -> &'static str {
    match library {
        Some(Library::Raw) => "raw",
        Some(Library::OpenSsl) => "openssl",
        Some(Library::Rustls) => "rustls",
        _ => "unknown",
    }
}
