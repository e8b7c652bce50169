//! `shmtls locks`: who holds which lock and for how long, where callers wait, who died in one.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Serialize;
use shmtls::{BucketInfo, EventCursor, Happening, Inspector};

use crate::commands::events::recovered;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, units};
use crate::quantity;
use crate::recoveries::Recoveries;
use crate::segment::{Segment, SegmentArg};
use crate::waits::Waits;
use crate::watch::Watch;
pub(crate) use held::Held;
use sample::Sample;

mod held;
mod sample;
mod text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls locks web             who is in which bucket, where callers wait, who died in one
  shmtls locks web --for 2s    watch longer: what is held all that time is stuck
  shmtls locks web -w 1s       again and again
  shmtls locks web --format json | jq '.held[] | select(.state != \"running\")'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Watch the locks for so long
    #[arg(
        long = "for",
        value_name = "DURATION",
        default_value = "200ms",
        value_parser = quantity::duration
    )]
    duration: Duration,
    /// Show at most so many contended buckets, repaired buckets and recoveries
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Serialize)]
struct Locks {
    segment: String,
    sampled_millis: u64,
    /// Looks at all locks.
    samples: u64,
    held: Vec<Held>,
    /// The most contended.
    contended: Vec<Contended>,
    repaired: Vec<Repaired>,
    /// All that anybody ever waited for.
    contended_buckets: usize,
    repaired_buckets: usize,
    lock_waits: Waits,
    recoveries: Recoveries,
    /// Those that are still in the rings of events, the latest first.
    recent_recoveries: Vec<Recent>,
    late_wakes: u64,
    reentered: u64,
    without_kernel: u64,
}

#[derive(Debug, Serialize)]
struct Contended {
    bucket: usize,
    contended: u32,
    sessions: usize,
}

#[derive(Debug, Serialize)]
struct Repaired {
    bucket: usize,
    repairs: u32,
}

#[derive(Debug, Serialize)]
struct Recent {
    unix_millis: u64,
    /// Null if the process has given its line back: it recovered, and left.
    pid: Option<u32>,
    bucket: u64,
    how: &'static str,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        self.watch.show(output, || {
            let segment = self.segment.find()?;
            let inspector = segment.inspect()?;
            let sample = Sample::take(&inspector, self.duration);
            Ok(Locks::of(&segment, &inspector, &sample, self.limit))
        })
    }
}

impl Locks {
    fn of(segment: &Segment, inspector: &Inspector, sample: &Sample, limit: usize) -> Self {
        let processes = inspector.processes();
        let stats = inspector.stats();
        let buckets = || inspector.buckets();
        let (contended_buckets, contended) = most(buckets(), BucketInfo::contended, limit);
        let (repaired_buckets, repaired) = most(buckets(), BucketInfo::repairs, limit);
        Self {
            segment: segment.label().into(),
            sampled_millis: units::millis(sample.duration()),
            samples: sample.looks(),
            held: Held::all(sample, &processes, &inspector.info()),
            contended: contended.iter().map(Contended::of).collect(),
            repaired: repaired.iter().map(Repaired::of).collect(),
            contended_buckets,
            repaired_buckets,
            lock_waits: Waits::of(&stats),
            recoveries: Recoveries::of(&stats, &processes),
            recent_recoveries: recent(inspector, limit),
            late_wakes: stats.lock_late_wakes,
            reentered: stats.lock_reentered,
            without_kernel: stats.locks_without_kernel,
        }
    }
}

/// The locks that somebody has at this moment, and who that is.
pub(crate) fn held_now(inspector: &Inspector) -> Vec<Held> {
    let sample = Sample::take(inspector, Duration::ZERO);
    Held::all(&sample, &inspector.processes(), &inspector.info())
}

/// How many buckets have the figure at all, and those that have most of it.
fn most(
    buckets: impl Iterator<Item = BucketInfo>,
    figure: fn(&BucketInfo) -> u32,
    limit: usize,
) -> (usize, Vec<BucketInfo>) {
    let mut found: Vec<_> = buckets.filter(|bucket| figure(bucket) > 0).collect();
    let all = found.len();
    found.sort_by_key(|bucket| (Reverse(figure(bucket)), bucket.index()));
    found.truncate(limit);
    (all, found)
}

impl Contended {
    fn of(bucket: &BucketInfo) -> Self {
        let (contended, sessions) = (bucket.contended(), bucket.sessions());
        Self { bucket: bucket.index(), contended, sessions }
    }
}

impl Repaired {
    fn of(bucket: &BucketInfo) -> Self {
        Self { bucket: bucket.index(), repairs: bucket.repairs() }
    }
}

fn recent(inspector: &Inspector, limit: usize) -> Vec<Recent> {
    let (events, _) = inspector.events(&mut EventCursor::default());
    let recoveries = events.iter().rev().filter_map(|event| {
        let (Happening::Recovered(how), Some(bucket)) = (event.happening(), event.bucket()) else {
            return None;
        };
        let unix_millis = units::unix_millis(event.at());
        Some(Recent {
            unix_millis,
            pid: Some(event.pid()).filter(|pid| *pid != 0),
            bucket,
            how: recovered(how),
        })
    });
    recoveries.take(limit).collect()
}

impl Locks {
    fn oddities(&self) -> [(&'static str, u64); 3] {
        [
            ("wake-ups that came late", self.late_wakes),
            ("calls from a signal handler in a call", self.reentered),
            ("locks taken without the kernel's help at a death", self.without_kernel),
        ]
    }
}
