//! A list that is too long to be held: each row goes out when it is found.

use std::io;

use serde::Serialize;

use super::table::{Cell, Lines};
use super::{Format, Output, json, write};

/// A row, for people and for programs.
pub(crate) trait Row: Serialize {
    fn cells(&self) -> Vec<Cell>;
}

#[derive(Debug)]
pub(crate) struct Listing {
    format: Format,
    lines: Lines,
    rows: usize,
    /// What has not been written yet.
    pending: String,
}

/// Written at a time, so that rows cost no system call each.
const CHUNK: usize = 32 << 10;

impl Listing {
    /// JSON is one object: the fields of `head`, the rows as the array `rows`, those of the end.
    pub(crate) fn start(
        output: &Output,
        (schema, rows): (&str, &str),
        head: &impl Serialize,
        lines: Lines,
    ) -> Self {
        let pending = match output.format {
            Format::Text => lines.head(),
            Format::Json => {
                let head = json::object(schema, head);
                format!("{},\"{rows}\":[", head.trim_end_matches('}'))
            }
        };
        Self { format: output.format, lines, rows: 0, pending }
    }

    pub(crate) fn row(&mut self, row: &impl Row) -> io::Result<()> {
        match self.format {
            Format::Text => self.pending += &self.lines.row(&row.cells()),
            Format::Json => {
                let comma = if self.rows == 0 { "" } else { "," };
                self.pending += &format!("{comma}{}", json::plain(row));
            }
        }
        self.rows += 1;
        if self.pending.len() < CHUNK { Ok(()) } else { self.flush() }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// `end` has at least one field.
    pub(crate) fn end(mut self, end: &impl Serialize) -> io::Result<()> {
        if self.format == Format::Json {
            self.pending += &format!("],{}\n", json::plain(end).trim_start_matches('{'));
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        write(&std::mem::take(&mut self.pending))
    }
}
