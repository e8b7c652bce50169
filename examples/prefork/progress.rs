//! What is going on: on a terminal a line that replaces itself, elsewhere now and then a line.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

pub(crate) struct Progress {
    terminal: bool,
    last: Instant,
}

impl Progress {
    pub(crate) fn new() -> Progress {
        Progress { terminal: io::stderr().is_terminal(), last: Instant::now() }
    }

    pub(crate) fn say(&mut self, what: impl FnOnce() -> String) {
        let pause = Duration::from_millis(if self.terminal { 100 } else { 5000 });
        if self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let (before, after) = if self.terminal { ("\r\x1b[2K  ", "") } else { ("... ", "\n") };
        let _ = write!(io::stderr(), "{before}{}{after}", what());
    }

    /// Prints a result where the progress was.
    pub(crate) fn print(&self, line: &str) {
        if self.terminal {
            let _ = write!(io::stderr(), "\r\x1b[2K");
        }
        println!("{line}");
    }
}
