//! `shmtls purge`: removes sessions. Handshakes that would have resumed are full ones then.

use serde::Serialize;
use shmtls::{Cache, Purged};

use crate::context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report, note, page::Page, units::plural};
use crate::segment::SegmentArg;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls purge web --context example.org   its certificate or client policy has changed
  shmtls purge web --context 9f31c0aa5b7702d107d2931fc4510e8a
  shmtls purge web --expired               seldom needed: they give way first anyway
  shmtls purge web --all                   every client starts anew";

#[derive(Debug, clap::Args)]
#[group(id = "which", required = true, multiple = false, args = ["all", "expired", "context"])]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Remove every session
    #[arg(long)]
    all: bool,
    /// Remove the sessions whose lifetime is over
    #[arg(long)]
    expired: bool,
    /// Remove the sessions of one context: its name, or its digest in 32 or 64 hex digits
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
}

#[derive(Debug, Serialize)]
struct Removed {
    segment: String,
    /// `all`, `expired` or `context`.
    what: &'static str,
    removed: usize,
    left: usize,
    /// Buckets that could not be had before the deadline.
    busy_buckets: usize,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let segment = self.segment.find()?;
        let cache = segment.attach()?;
        let (what, Purged { removed, busy, .. }) = self.purge(&cache);
        let report = Removed {
            segment: segment.label().into(),
            what,
            removed,
            left: cache.len(),
            busy_buckets: busy,
        };
        output.show(&report)?;
        if busy > 0 {
            note("somebody held these buckets for too long; `shmtls purge` again");
        }
        Ok(report.outcome())
    }

    fn purge(&self, cache: &Cache) -> (&'static str, Purged) {
        match &self.context {
            Some(context) => ("context", cache.remove_context(&context::parse(context))),
            None if self.expired => ("expired", cache.sweep()),
            None => ("all", cache.clear()),
        }
    }
}

impl Report for Removed {
    const NAME: &'static str = "purge";

    fn text(&self, page: &mut Page) {
        let sessions = plural(self.removed as u64, "session", "sessions");
        let left = plural(self.left as u64, "is", "are");
        page.line(format_args!("removed {sessions} from {}; {left} left", self.segment));
        if self.busy_buckets > 0 {
            let buckets = plural(self.busy_buckets as u64, "bucket was", "buckets were");
            page.line(format_args!("{buckets} busy and left as it was"));
        }
    }

    fn outcome(&self) -> Exit {
        if self.busy_buckets > 0 { Exit::NotMet } else { Exit::Fine }
    }
}
