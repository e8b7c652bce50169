//! `shmtls doctor`: what is wrong with a segment, what it means, what to do. Each rule looks at the
//! same picture, which is taken once.

use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::quantity;
use crate::segment::SegmentArg;
use finding::{Finding, Severity};
use picture::Picture;

mod advice;
mod events;
mod finding;
mod picture;
mod rules;
mod swap;
mod text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls doctor web            what is wrong, and what to do; exit code 1 if there is a problem
  shmtls doctor web --for 1m   judges by what happens in the next minute, not since the beginning
  shmtls doctor web --format json | jq '.findings[] | select(.severity == \"problem\")'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Judge by what is counted in so long a time from now, instead of since the segment was made
    #[arg(long = "for", value_name = "DURATION", value_parser = quantity::duration)]
    window: Option<Duration>,
}

#[derive(Debug, Serialize)]
struct Diagnosis {
    segment: String,
    created_unix_secs: u64,
    /// Null: all that was counted since it was made.
    window_millis: Option<u64>,
    lookups: u64,
    hits: u64,
    problems: usize,
    /// The worst first.
    findings: Vec<Finding>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let segment = self.segment.find()?;
        let inspector = segment.inspect()?;
        let earlier = self.window.map(|window| {
            let stats = inspector.stats();
            thread::sleep(window);
            (window, stats)
        });
        let report = Diagnosis::of(&Picture::take(&segment, &inspector, earlier));
        output.show(&report)?;
        Ok(report.outcome())
    }
}

impl Diagnosis {
    fn of(picture: &Picture) -> Self {
        let findings = rules::apply(picture);
        let is_problem = |finding: &&Finding| finding.severity == Severity::Problem;
        Self {
            segment: picture.label.clone(),
            created_unix_secs: crate::output::units::unix_secs(picture.created),
            window_millis: picture.window.map(crate::output::units::millis),
            lookups: picture.stats.lookups(),
            hits: picture.stats.hits,
            problems: findings.iter().filter(is_problem).count(),
            findings,
        }
    }
}
