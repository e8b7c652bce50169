//! Why a command could not do what it was asked, what to do about it, and the exit code.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use crate::discover;
use crate::exit::Exit;
use crate::output::style::plain;

mod attach;
mod create;

/// What goes to stderr: `error: ...`, and `tip: ...` below it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
    tip: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), tip: None }
    }

    pub(crate) fn cannot_open(text: impl Into<String>) -> Self {
        Self::new(Exit::CannotOpen, text)
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// What to do about it.
    pub(crate) fn tip(self, tip: impl Into<String>) -> Self {
        Self { tip: Some(tip.into()), ..self }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Why, on one line: for a row of `shmtls list`.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Says it on stderr. An error without words (nobody reads our output any more) is silent.
    pub(crate) fn tell(&self) -> ExitCode {
        let red = AnsiColor::Red.on_default().bold();
        if !self.text.is_empty() {
            anstream::eprintln!("{red}error:{red:#} {}", plain(&self.text));
        }
        if let Some(tip) = &self.tip {
            let green = Style::new().fg_color(Some(AnsiColor::Green.into()));
            anstream::eprintln!("  {green}tip:{green:#} {}", plain(tip));
        }
        self.exit.into()
    }
}

/// Of a write to stdout. `shmtls list | head -1` ends the pipe early, which is nobody's failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Fine, ""),
            _ => Self::new(Exit::CannotOpen, format!("cannot write the output: {error}")),
        }
    }
}

/// Of a file's name (`NAME_MAX`), less the prefix that a segment's has in /dev/shm.
const LONGEST_NAME: usize = 255 - discover::PREFIX.len();

/// Why the library takes this for no name.
fn no_name(name: &str) -> String {
    if name.len() > LONGEST_NAME && !name.contains('/') {
        return format!(
            "a segment's name has at most {LONGEST_NAME} characters, this one has {}",
            name.len()
        );
    }
    format!("{name:?} is no segment name")
}

/// An error with all that caused it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
