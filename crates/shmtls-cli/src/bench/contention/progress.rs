//! A line on stderr for each case that has had its turn.

use std::io::{IsTerminal, stderr};

use super::summary::Results;

#[derive(Debug)]
pub(super) struct Progress {
    done: usize,
    all: usize,
    /// On a terminal a line takes the place of the last.
    in_place: bool,
}

impl Progress {
    pub(super) fn new(all: usize) -> Self {
        Self { done: 0, all, in_place: stderr().is_terminal() }
    }

    pub(super) fn show(&mut self, result: &Results) {
        self.done += 1;
        let case = result.case;
        let outcome = match result.untimed.last() {
            Some(burst) if !result.hangs() => format!("{:.3} Mops/s", burst.mops()),
            _ => "hangs".into(),
        };
        let line = format!(
            "{}/{}  {} buckets, {} processes, {}: {outcome}",
            self.done,
            self.all,
            case.buckets,
            case.processes,
            case.lock.label(),
        );
        if self.in_place {
            anstream::eprint!("\r\x1b[K{line}");
        } else {
            anstream::eprintln!("{line}");
        }
    }

    pub(super) fn end(&self) {
        if self.in_place {
            anstream::eprint!("\r\x1b[K");
        }
    }
}
