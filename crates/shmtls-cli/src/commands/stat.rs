//! `shmtls stat`: one screen. What the cache saves, why lookups miss, how full it is, how its
//! locks and keys are.

use std::collections::BTreeMap;

use serde::Serialize;
use shmtls::{Inspector, SegmentInfo, Stats};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, units};
use crate::recoveries::Recoveries;
use crate::segment::{Segment, SegmentArg};
use crate::system::ProcessState;
use crate::waits::Waits;
use crate::watch::Watch;
use rates::{Moment, Rates};

mod contents;
mod rates;
mod text;

pub(crate) use contents::Contents;
#[cfg(feature = "top")]
pub(crate) use contents::mean_session_bytes;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls stat web              hits, misses and why, evictions, locks, keys: one screen
  shmtls stat web -w 2s        with rates per second since the last look
  shmtls stat web --format json | jq '.foreign_hits / .hits'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Serialize)]
struct Stat {
    segment: String,
    path: String,
    layout_version: u32,
    bytes: u64,
    buckets: usize,
    bucket_bytes: usize,
    max_session_bytes: usize,
    lifetime_secs: u64,
    sealed: bool,
    created_unix_secs: u64,
    creator_pid: u32,
    /// Null if it is not attached any more.
    creator_command: Option<String>,
    lookups: u64,
    hits: u64,
    /// Full handshakes that sharing saved.
    foreign_hits: u64,
    misses: u64,
    /// By reason.
    misses_by_reason: Vec<Reason>,
    stored: u64,
    evicted: u64,
    /// Of the live sessions that had to go.
    evicted_mean_age_secs: Option<u64>,
    #[serde(flatten)]
    contents: Contents,
    lock_waits: Waits,
    recoveries: Recoveries,
    keys: Option<Keys>,
    processes_alive: usize,
    processes_dead: usize,
    processes_unknown: usize,
    counters: BTreeMap<&'static str, u64>,
    /// Null at the first look.
    per_second: Option<Rates>,
    #[serde(skip)]
    stats: Stats,
}

#[derive(Debug, Serialize)]
struct Reason {
    reason: &'static str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Keys {
    epoch: u64,
    published_unix_secs: u64,
    /// Live processes that use keys.
    processes: usize,
    /// Those of them that use this ring.
    processes_current: usize,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let mut earlier = None;
        self.watch.show(output, || look(&self.segment, &mut earlier))
    }
}

/// The report of this moment.
#[cfg(feature = "top")]
pub(crate) fn once(segment: &SegmentArg, output: &Output) -> Result<Exit, Failure> {
    use crate::output::Report;
    let report = look(segment, &mut None)?;
    output.show(&report)?;
    Ok(report.outcome())
}

/// With rates since `earlier`, which becomes this moment.
fn look(segment: &SegmentArg, earlier: &mut Option<Moment>) -> Result<Stat, Failure> {
    let segment = segment.find()?;
    let inspector = segment.inspect()?;
    let now = Moment::of(&inspector);
    let rates = earlier.replace(now).and_then(|earlier| now.rates_since(&earlier));
    Ok(Stat::of(&segment, &inspector, &now.stats, rates))
}

impl Stat {
    fn of(segment: &Segment, inspector: &Inspector, stats: &Stats, rates: Option<Rates>) -> Self {
        let info = inspector.info();
        let processes = inspector.processes();
        let states: Vec<_> = processes.iter().map(|it| ProcessState::of(it, &info)).collect();
        let count =
            |which: fn(ProcessState) -> bool| states.iter().filter(|it| which(**it)).count();
        let creator = processes.iter().find(|it| it.pid() == info.creator_pid());
        Self {
            segment: segment.label().into(),
            path: segment.path().display().to_string(),
            layout_version: info.layout_version(),
            bytes: info.bytes(),
            buckets: info.buckets(),
            bucket_bytes: info.bucket_bytes(),
            max_session_bytes: info.max_session(),
            lifetime_secs: info.lifetime().as_secs(),
            sealed: info.is_sealed(),
            created_unix_secs: units::unix_secs(info.created()),
            creator_pid: info.creator_pid(),
            creator_command: creator.map(|it| it.command().into()),
            lookups: stats.lookups(),
            hits: stats.hits,
            foreign_hits: stats.foreign_hits,
            misses: stats.misses(),
            misses_by_reason: reasons(stats),
            stored: stats.stored_new.wrapping_add(stats.stored_replaced),
            evicted: stats.evicted,
            evicted_mean_age_secs: stats.evicted_age_secs.checked_div(stats.evicted),
            contents: Contents::of(inspector),
            lock_waits: Waits::of(stats),
            recoveries: Recoveries::of(stats, &processes),
            keys: Keys::of(inspector, &info),
            processes_alive: count(ProcessState::is_alive),
            processes_dead: count(ProcessState::is_dead),
            processes_unknown: count(|state| state == ProcessState::Unknown),
            counters: stats.fields().into_iter().collect(),
            per_second: rates,
            stats: *stats,
        }
    }
}

impl Keys {
    fn of(inspector: &Inspector, info: &SegmentInfo) -> Option<Self> {
        let status = inspector.keys()?;
        let mut users = inspector.processes();
        users.retain(|it| it.key_epoch() != 0 && !ProcessState::of(it, info).is_dead());
        Some(Self {
            epoch: status.epoch,
            published_unix_secs: units::unix_secs(status.published),
            processes: users.len(),
            processes_current: users.iter().filter(|it| it.key_epoch() == status.epoch).count(),
        })
    }
}

fn reasons(stats: &Stats) -> Vec<Reason> {
    let counts = [
        ("absent", stats.misses_absent),
        ("evicted recently", stats.misses_evicted),
        ("expired", stats.misses_expired),
        ("other context", stats.misses_context),
        ("other library", stats.misses_library),
        ("busy", stats.misses_busy),
        ("damaged", stats.misses_damaged),
        ("forged", stats.misses_forged),
        ("undecodable", stats.misses_undecodable),
        ("invalid id", stats.misses_invalid_id),
    ];
    counts.into_iter().map(|(reason, count)| Reason { reason, count }).collect()
}
