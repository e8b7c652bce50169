//! `shmtls top`: the live view.

use std::io::{IsTerminal, stdin, stdout};
use std::time::Duration;

use crate::commands::stat;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::quantity;
use crate::segment::SegmentArg;
use app::App;
use look::Watcher;
use view::theme::Theme;

mod app;
mod input;
mod look;
mod model;
mod run;
mod view;
mod words;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls top                   of the only segment that there is
  shmtls top web -d 5s         new figures every five seconds
  shmtls top pid:81022         of the segment that a process has, with or without a name

Keys:
  b  heat map of the buckets   e  events   t  ticket keys   p, Esc  processes
  j k, arrows  move   s  sort   space  pause   ?  help   q  quit";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Between two looks at the segment; at least 250ms
    #[arg(short, long, value_name = "DURATION", default_value = "1s", value_parser = delay)]
    delay: Duration,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if !stdout().is_terminal() || !stdin().is_terminal() {
            return self.once(output);
        }
        let mut watcher = Watcher::new(self.segment.find()?)?;
        let mut app = App::new(Theme::of_stdout());
        run::run(&mut watcher, &mut app, self.delay)
    }

    fn once(&self, output: &Output) -> Result<Exit, Failure> {
        note("no terminal to draw on: this is `shmtls stat`, once");
        stat::once(&self.segment, output)
    }
}

/// Looking is work too: four times a second is the most.
fn delay(text: &str) -> Result<Duration, String> {
    let delay = quantity::duration(text)?;
    let least = Duration::from_millis(250);
    if delay < least { Err("at least 250ms".into()) } else { Ok(delay) }
}
