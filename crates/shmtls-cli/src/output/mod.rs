//! Where reports go: text for people, JSON for programs, both from one model.

use std::io::{self, Write};

use serde::Serialize;

pub(crate) mod json;
pub(crate) mod listing;
pub(crate) mod page;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod units;

use crate::exit::Exit;
use crate::fault;
use page::Page;

/// What a command has found out.
pub(crate) trait Report: Serialize {
    /// The `NAME` of its schema, `shmtls.NAME/1`.
    const NAME: &'static str;

    /// For people.
    fn text(&self, page: &mut Page);

    /// What it means for the exit code.
    fn outcome(&self) -> Exit {
        Exit::Fine
    }
}

/// Who reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

impl Output {
    /// Writes a report to stdout.
    pub(crate) fn show<R: Report>(&self, report: &R) -> io::Result<()> {
        let text = match self.format {
            Format::Json => json::line(report),
            Format::Text => {
                let mut page = Page::default();
                report.text(&mut page);
                page.into()
            }
        };
        write(&text)
    }

    /// Starts a new screen where there is one, also for who wants no colours.
    pub(crate) fn clear_screen(&self) -> io::Result<()> {
        match self.format {
            Format::Text => io::stdout().write_all(b"\x1b[H\x1b[2J"),
            Format::Json => Ok(()),
        }
    }

    /// Keeps two reports of text apart.
    pub(crate) fn separate(&self) -> io::Result<()> {
        if self.format == Format::Text { write("\n") } else { Ok(()) }
    }
}

/// A remark that is no result: stderr.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("note: {}", style::plain(text));
}

/// Writes to stdout, without colours if it does not want them.
pub(crate) fn write(text: &str) -> io::Result<()> {
    fault::stay_if_any();
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
