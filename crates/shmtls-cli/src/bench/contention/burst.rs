//! One burst: a fresh segment, processes that work on it for a while, and what came of it.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use shmtls::{Cache, SegmentInfo};

use super::arena::{self, Line};
use super::crew::Crew;
use super::plan::{Keys, Lock, Mix, Task, Value};
use super::segment::{self, failed, inspect};
use super::sessions::{Random, Sessions};
use super::trouble::{Toll, Trouble};
use super::watchers::Watchers;
use super::worker::{Seen, histogram};
use super::workload;
use crate::failure::Failure;

/// What every burst of a run has in common.
#[derive(Debug)]
pub(super) struct Workbench {
    pub(super) mix: Mix,
    pub(super) keys: Keys,
    pub(super) value: Value,
    pub(super) work_rounds: u64,
    pub(super) duration: Duration,
    pub(super) kill: f64,
    pub(super) stop: f64,
    pub(super) priority_inheritance: bool,
    /// Cores that we may use.
    pub(super) cores: Vec<usize>,
}

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) lock: Lock,
    pub(super) buckets: u32,
    pub(super) processes: u32,
}

#[derive(Debug)]
pub(super) struct Burst {
    pub(super) seconds: f64,
    pub(super) operations: u64,
    pub(super) lookups: u64,
    pub(super) hits: u64,
    pub(super) wrong: u64,
    /// Sessions that had to go for others.
    pub(super) evictions: u64,
    pub(super) waits: u64,
    pub(super) deadlines: u64,
    pub(super) recoveries: u64,
    /// Locks that the library took without a robust list.
    pub(super) unannounced: u64,
    pub(super) gets: Histogram<u64>,
    pub(super) puts: Histogram<u64>,
    pub(super) toll: Toll,
    /// Of tools that looked on.
    pub(super) looks: u64,
    /// Of the worker that got the least of the CPU time that was due to it.
    pub(super) share: Option<f64>,
}

impl Workbench {
    pub(super) fn burst(&self, case: Case, timed: bool, seed: u64) -> Result<Burst, Failure> {
        let cache = segment::create(case.lock, case.buckets)?;
        self.run(case, (timed, seed), &cache).map_err(failed)
    }

    fn run(&self, case: Case, (timed, seed): (bool, u64), cache: &Cache) -> io::Result<Burst> {
        let inspector = inspect(cache)?;
        let universe = self.universe(&inspector.info());
        if case.lock != Lock::Copy {
            self.fill(cache, universe, seed);
        }
        let (file, shared) = arena::create(self.priority_inheritance)?;
        let arena = shared.arena();
        let task = Task {
            worker: 0,
            workers: case.processes,
            arena: path_of(file.as_raw_fd()),
            segment: path_of(cache.fd().as_raw_fd()),
            lock: case.lock,
            mix: self.mix,
            keys: self.keys,
            value: self.value,
            universe,
            work_rounds: self.work_rounds,
            timed,
            core: None,
            seed,
        };
        let n = case.processes as usize;
        let mut crew = Crew::start(n, task, &self.cores, arena)?;
        let mut trouble = Trouble {
            lock: case.lock,
            arena,
            cache,
            inspector: &inspector,
            random: Random::new(seed),
            toll: Toll::default(),
        };
        let before = cache.stats();
        let name = format!("pid:{}:{}", std::process::id(), cache.fd().as_raw_fd());
        let watchers = (case.lock == Lock::Watched).then(|| Watchers::start(&name));
        arena.start();
        let start = Instant::now();
        trouble.make(&mut crew, (self.kill, self.stop), start + self.duration)?;
        let seconds = start.elapsed().as_secs_f64();
        arena.end();
        let looks = watchers.map(Watchers::end).transpose()?;
        let mut toll = trouble.toll;
        let seen = if toll.hung { None } else { crew.finish()? };
        toll.hung |= seen.is_none();
        let mut burst = Burst::new(seconds, arena.lines(n), toll);
        burst.hear(&seen.unwrap_or_default());
        // Who is stopped, or has just come, has no share to speak of, and tools want a part of it.
        let is_calm = self.kill + self.stop == 0.0 && looks.is_none();
        let due = self.due(case.processes);
        burst.share = burst.share.filter(|_| is_calm).map(|share| share / due);
        burst.looks = looks.unwrap_or(0);
        burst.count(case.lock, &before, &cache.stats());
        Ok(burst)
    }

    /// The part of a core that a worker can have.
    fn due(&self, processes: u32) -> f64 {
        (self.cores.len() as f64 / f64::from(processes)).min(1.0)
    }

    /// As many keys as find room, or many more.
    fn universe(&self, segment: &SegmentInfo) -> u32 {
        let a_bucket = segment.bucket_bytes() as u64 / (self.value.mean() + RECORD_BYTES);
        let percent = if self.mix.overfills() { 200 } else { 75 };
        let universe = segment.buckets() as u64 * a_bucket * percent / 100;
        universe.clamp(1, u32::MAX.into()) as u32
    }

    fn fill(&self, cache: &Cache, universe: u32, seed: u64) {
        let mut sessions = Sessions::new(self.value.fixed());
        let (context, expiry) = (workload::context(), workload::expiry());
        for key in 0..universe {
            let bytes = sessions.compose(key, seed ^ u64::from(key));
            // A full bucket makes room: those keys are the misses.
            let _ = cache.insert(&context, &workload::id(key), bytes, expiry);
        }
    }
}

/// What a session takes besides its own bytes: a head, its ID, a slot.
const RECORD_BYTES: u64 = 64;

/// Where a worker finds an open file of ours.
fn path_of(fd: RawFd) -> String {
    format!("/proc/{}/fd/{fd}", std::process::id())
}

impl Burst {
    fn new(seconds: f64, lines: &[Line], toll: Toll) -> Self {
        let sum = |counter: fn(&Line) -> &AtomicU64| -> u64 {
            lines.iter().map(|line| counter(line).load(Relaxed)).sum()
        };
        Self {
            seconds,
            operations: sum(|line| &line.operations),
            lookups: sum(|line| &line.lookups),
            hits: sum(|line| &line.hits),
            wrong: sum(|line| &line.wrong),
            waits: sum(|line| &line.waits),
            recoveries: sum(|line| &line.recoveries) + toll.own,
            deadlines: 0,
            evictions: 0,
            unannounced: 0,
            gets: histogram(),
            puts: histogram(),
            toll,
            looks: 0,
            share: None,
        }
    }

    fn hear(&mut self, seen: &[Seen]) {
        for seen in seen {
            for (into, counts) in [(&mut self.gets, &seen.gets), (&mut self.puts, &seen.puts)] {
                counts.iter().for_each(|(value, n)| into.saturating_record_n(*value, *n));
            }
            let share = seen.scheduled.map(|(on, off)| on as f64 / (on + off).max(1) as f64);
            self.share = self.share.into_iter().chain(share).reduce(f64::min);
        }
    }

    /// What the library has counted: with a lock around it only that lock matters.
    fn count(&mut self, lock: Lock, before: &shmtls::Stats, after: &shmtls::Stats) {
        let grown =
            |counter: fn(&shmtls::Stats) -> u64| counter(after).wrapping_sub(counter(before));
        self.wrong += grown(|it| it.misses_damaged);
        self.deadlines = grown(|it| it.lock_deadlines);
        self.evictions = grown(|it| it.evicted);
        self.unannounced = grown(|it| it.locks_without_kernel);
        if !lock.is_global() {
            self.waits = grown(|it| it.lock_waits);
            self.recoveries =
                grown(|it| it.owner_died_kernel + it.owner_died_stolen + it.owner_died_self);
        }
    }

    pub(super) fn mops(&self) -> f64 {
        self.operations as f64 / self.seconds / 1e6
    }
}
