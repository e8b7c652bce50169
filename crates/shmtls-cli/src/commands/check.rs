//! `shmtls check`: which invariants of a segment do not hold, and with `--repair` heals what the
//! processes themselves would heal.

use std::collections::BTreeSet;

use serde::Serialize;
use shmtls::{Checked, Inspector, LockState, Spot, Violation};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report, note, units};
use crate::segment::{Segment, SegmentArg};

mod invariants;
mod text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls check web             look at everything, change nothing; exit code 1 if anything is wrong
  shmtls check web --repair    also repair the buckets that need it, under their locks
  shmtls check web --format json | jq '.violations[].invariant'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Attach as a server does, repair the buckets in which something is wrong, and look again
    #[arg(long)]
    repair: bool,
}

#[derive(Debug, Serialize)]
struct Check {
    segment: String,
    buckets: usize,
    /// Those that are whole.
    sessions: usize,
    /// Somebody was changing them all the time.
    busy_buckets: usize,
    violations: Vec<Found>,
    unlisted: usize,
    /// All else is from after it.
    repair: Option<Repair>,
}

#[derive(Debug, Serialize)]
struct Found {
    /// `I9`.
    invariant: String,
    says: &'static str,
    place: &'static str,
    bucket: Option<usize>,
    slot: Option<usize>,
    line: Option<usize>,
    found: String,
    #[serde(skip)]
    number: u8,
    #[serde(skip)]
    spot: Spot,
}

#[derive(Debug, Default, Serialize)]
struct Repair {
    /// Before it.
    violations: usize,
    repaired_buckets: usize,
    sessions_kept: u64,
    sessions_lost: u64,
    /// Could not be had before the deadline.
    busy_buckets: usize,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let segment = self.segment.find()?;
        let inspector = segment.inspect()?;
        let mut checked = inspector.check();
        let mut repair = None;
        let ill = ill_buckets(&inspector, &checked);
        if self.repair && !(checked.violations.is_empty() && ill.is_empty()) {
            repair = Some(heal(&segment, count(&checked), ill)?);
            checked = inspector.check();
        }
        let report = Check::of(&segment, &inspector, checked, repair);
        output.show(&report)?;
        if report.busy_buckets > 0 {
            let busy = units::plural(report.busy_buckets as u64, "bucket was", "buckets were");
            note(&format!("{busy} being changed all the time: nothing is known of them"));
        }
        Ok(report.outcome())
    }
}

/// Those in which something is wrong, and those whose last owner died: all may be right in there,
/// but whoever comes next would look after it.
fn ill_buckets(inspector: &Inspector, checked: &Checked) -> BTreeSet<usize> {
    let marked = inspector.held_locks().filter(|bucket| bucket.lock() == LockState::OwnerDied);
    let wrong = checked.violations.iter().filter_map(bucket_of);
    wrong.chain(marked.map(|bucket| bucket.index())).collect()
}

fn heal(segment: &Segment, violations: usize, ill: BTreeSet<usize>) -> Result<Repair, Failure> {
    let cache = segment.attach()?;
    let mut repair = Repair { violations, ..Repair::default() };
    for bucket in ill {
        match cache.repair(bucket) {
            Ok(repaired) => {
                repair.repaired_buckets += 1;
                repair.sessions_kept += repaired.kept;
                repair.sessions_lost += repaired.lost;
            }
            Err(_) => repair.busy_buckets += 1,
        }
    }
    Ok(repair)
}

fn bucket_of(violation: &Violation) -> Option<usize> {
    match violation.spot {
        Spot::Bucket(bucket) | Spot::Slot { bucket, .. } => Some(bucket),
        _ => None,
    }
}

fn count(checked: &Checked) -> usize {
    checked.violations.len() + checked.unlisted
}

impl Check {
    fn of(
        segment: &Segment,
        inspector: &Inspector,
        checked: Checked,
        repair: Option<Repair>,
    ) -> Self {
        Self {
            segment: segment.label().into(),
            buckets: inspector.info().buckets(),
            sessions: checked.sessions,
            busy_buckets: checked.busy,
            violations: checked.violations.into_iter().map(Found::of).collect(),
            unlisted: checked.unlisted,
            repair,
        }
    }
}

impl Found {
    fn of(violation: Violation) -> Self {
        let (place, line, slot) = match violation.spot {
            Spot::Bucket(_) => ("bucket", None, None),
            Spot::Slot { slot, .. } => ("slot", None, Some(slot)),
            Spot::Line(line) => ("process table", Some(line), None),
            Spot::Keys => ("ticket keys", None, None),
            _ => ("other", None, None),
        };
        Self {
            invariant: format!("I{}", violation.invariant),
            says: invariants::says(violation.invariant),
            place,
            bucket: bucket_of(&violation),
            slot,
            line,
            number: violation.invariant,
            spot: violation.spot,
            found: violation.found,
        }
    }
}
