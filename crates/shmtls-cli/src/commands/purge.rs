//! `shmtls purge`: removes sessions. Handshakes that would have resumed are full ones then.

use serde::Serialize;
use shmtls::{Cache, Context, Inspector, Purged};

use crate::context::{self, Wanted};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report, note, page::Page, units::plural};
use crate::segment::{Segment, SegmentArg};

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls purge web --context 9f31c0aa      as ls shows it: its certificate or client policy has
                                           changed
  shmtls purge web --context example.org   as the application named it (Context::named)
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
    /// Remove the sessions of one context: the 8 hex digits that ls shows, the 16 of the whole
    /// context, the 32 or 64 of a digest, or a name
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
        let (what, Purged { removed, busy, .. }) = self.purge(&segment, &cache)?;
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
        } else if removed == 0 {
            self.context.as_deref().inspect(|text| context::note_that_none_has(text));
        }
        Ok(report.outcome())
    }

    fn purge(&self, segment: &Segment, cache: &Cache) -> Result<(&'static str, Purged), Failure> {
        Ok(match self.context.as_deref().map(Wanted::parse) {
            Some(Wanted::Whole(context)) => ("context", cache.remove_context(&context)),
            Some(wanted) => ("context", remove_found(&segment.inspect()?, cache, wanted)),
            None if self.expired => ("expired", cache.sweep()),
            None => ("all", cache.clear()),
        })
    }
}

/// The cache removes whole contexts only: those that a start stands for are looked up first.
fn remove_found(inspector: &Inspector, cache: &Cache, wanted: Wanted) -> Purged {
    let mut contexts = Vec::<Context>::new();
    let mut all = Purged::default();
    // What could not be read may be of a context that is nowhere else.
    all.busy = inspector.for_each(|entry| {
        let context = entry.context();
        if wanted.is(context) && !contexts.contains(context) {
            contexts.push(*context);
        }
    });
    for context in &contexts {
        let purged = cache.remove_context(context);
        all.removed += purged.removed;
        all.busy = all.busy.max(purged.busy);
    }
    all
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
