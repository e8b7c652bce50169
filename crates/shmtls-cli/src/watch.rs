//! `-w 2s`: a report again and again.

use std::io::{IsTerminal, stdout};
use std::thread;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::quantity;

#[derive(Debug, clap::Args)]
pub(crate) struct Watch {
    /// Repeat every DURATION (500ms, 2s, 1m) until interrupted
    #[arg(short = 'w', long = "watch", value_name = "DURATION", value_parser = quantity::interval)]
    every: Option<Duration>,
}

impl Watch {
    /// Shows what `look` finds, once or until the tool is interrupted. Each look opens the segment
    /// anew, so a segment that is replaced is followed.
    pub(crate) fn show<R: Report>(
        &self,
        output: &Output,
        mut look: impl FnMut() -> Result<R, Failure>,
    ) -> Result<Exit, Failure> {
        let Some(every) = self.every else {
            let report = look()?;
            output.show(&report)?;
            return Ok(report.outcome());
        };
        let screen = stdout().is_terminal();
        for round in 0_u64.. {
            let report = look()?;
            match (screen, round) {
                (true, _) => output.clear_screen()?,
                (false, 0) => {}
                (false, _) => output.separate()?,
            }
            output.show(&report)?;
            thread::sleep(every);
        }
        Ok(Exit::Fine)
    }
}
