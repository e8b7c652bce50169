//! One process of a burst: attaches, waits for the start, works until the end, and says on stdout
//! how long its operations took.

use std::fs::{self, File};
use std::io::{self, Write};
use std::time::Instant;

use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use shmtls::{Cache, Context, Miss, Options};

use super::arena::{Arena, Line};
use super::ffi::{self, Shared};
use super::gate::Gate;
use super::ground::Ground;
use super::plan::{Lock, Task};
use super::workload::{self, Operation, Workload};
use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::output;

#[derive(Debug, clap::Args)]
pub(crate) struct WorkerArgs {
    task: String,
}

/// What a worker has seen; a killed one cannot tell.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Nanoseconds and how often.
    pub(super) gets: Vec<(u64, u64)>,
    /// Inserts and takes.
    pub(super) puts: Vec<(u64, u64)>,
    /// Time on a core, and time in want of one; `None` if the kernel does not say.
    pub(super) scheduled: Option<(u64, u64)>,
}

impl WorkerArgs {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let task: Task = serde_json::from_str(&self.task)
            .map_err(|error| Failure::usage(format!("this is for `bench contention`: {error}")))?;
        let seen = work(&task)
            .map_err(|error| Failure::cannot_open(format!("worker {}: {error}", task.worker)))?;
        output::write(&serde_json::to_string(&seen).expect("plain data"))?;
        io::stdout().flush()?;
        Ok(Exit::Fine)
    }
}

fn work(task: &Task) -> io::Result<Seen> {
    // If the parent has gone, nobody ends us.
    set_pdeathsig(Signal::SIGKILL)?;
    if let Some(core) = task.core {
        let mut cores = CpuSet::new();
        cores.set(core)?;
        sched_setaffinity(Pid::from_raw(0), &cores)?;
    }
    if task.lock == Lock::Plain {
        ffi::forget_robust_list()?;
    }
    let open = |path: &str| File::options().read(true).write(true).open(path);
    let shared = Shared::map(&open(&task.arena)?)?;
    let attached = Options::new().attach_fd(open(&task.segment)?.into());
    let cache = attached.map_err(|error| io::Error::other(chain(&error)))?;
    Worker::new(task, shared.arena(), cache).run(task)
}

struct Worker<'a> {
    arena: &'a Arena,
    line: &'a Line,
    gate: Gate<'a>,
    /// In place of the cache.
    ground: Option<Ground>,
    cache: Cache,
    context: Context,
    workload: Workload,
    buffer: Vec<u8>,
    gets: Histogram<u64>,
    puts: Histogram<u64>,
}

impl<'a> Worker<'a> {
    fn new(task: &Task, arena: &'a Arena, cache: Cache) -> Self {
        Self {
            arena,
            line: arena.line(task.worker),
            gate: Gate::new(arena, task.lock, task.worker),
            ground: (task.lock == Lock::Copy)
                .then(|| Ground::new(cache.segment_bytes() as usize / task.workers as usize)),
            buffer: vec![0; cache.max_session()],
            cache,
            context: workload::context(),
            workload: Workload::new(task),
            gets: histogram(),
            puts: histogram(),
        }
    }

    fn run(mut self, task: &Task) -> io::Result<Seen> {
        self.arena.wait_for_start(task.worker);
        let before = scheduled();
        if task.timed {
            self.work::<true>(task)
        } else {
            self.work::<false>(task)
        }
        let scheduled = before.zip(scheduled()).map(|(a, b)| (b.0 - a.0, b.1 - a.1));
        Ok(Seen { gets: counts(&self.gets), puts: counts(&self.puts), scheduled })
    }

    fn work<const TIMED: bool>(&mut self, task: &Task) {
        while !self.arena.is_over() {
            let (operation, key) = self.workload.next();
            self.line.doing.store(key, std::sync::atomic::Ordering::Relaxed);
            match operation {
                _ if self.ground.is_some() => self.copy::<TIMED>(operation, key),
                Operation::Get => self.get::<TIMED>(key),
                Operation::Insert => self.insert::<TIMED>(key),
                Operation::Take => self.take::<TIMED>(key),
            }
            Line::add(&self.line.operations, 1);
            workload::work(task.work_rounds);
        }
    }

    #[inline]
    fn get<const TIMED: bool>(&mut self, key: u32) {
        let id = workload::id(key);
        let (gate, cache) = (self.gate, &self.cache);
        let (context, buffer) = (&self.context, &mut self.buffer);
        let found =
            timed::<TIMED, _>(&mut self.gets, || gate.pass(|| cache.get(context, &id, buffer)));
        Line::add(&self.line.lookups, 1);
        if let Ok(len) = found {
            let right = self.workload.sessions().is_right(key, &self.buffer[..len]);
            self.count_hit(right);
        } else if is_wrong(found.err()) {
            Line::add(&self.line.wrong, 1);
        }
    }

    #[inline]
    fn insert<const TIMED: bool>(&mut self, key: u32) {
        let (id, expiry) = (workload::id(key), workload::expiry());
        let bytes = self.workload.compose(key);
        let (gate, cache, context) = (self.gate, &self.cache, &self.context);
        // At the deadline it is dropped, which the library counts.
        let _ = timed::<TIMED, _>(&mut self.puts, || {
            gate.pass(|| cache.insert(context, &id, bytes, expiry))
        });
    }

    #[inline]
    fn take<const TIMED: bool>(&mut self, key: u32) {
        let id = workload::id(key);
        let (gate, cache, context) = (self.gate, &self.cache, &self.context);
        let found = timed::<TIMED, _>(&mut self.puts, || gate.pass(|| cache.take(context, &id)));
        Line::add(&self.line.lookups, 1);
        match found {
            Ok(session) => {
                let right = self.workload.sessions().is_right(key, session.bytes());
                self.count_hit(right);
            }
            Err(miss) if is_wrong(Some(miss)) => Line::add(&self.line.wrong, 1),
            Err(_) => {}
        }
    }

    /// The operation's bytes: a get's and a take's out, an insert's in.
    #[inline]
    fn copy<const TIMED: bool>(&mut self, operation: Operation, key: u32) {
        let Some(ground) = &mut self.ground else { return };
        if operation == Operation::Insert {
            let bytes = self.workload.compose(key);
            timed::<TIMED, _>(&mut self.puts, || ground.copy_in(key, bytes));
            return;
        }
        let times = if operation == Operation::Get { &mut self.gets } else { &mut self.puts };
        let session = &mut self.buffer[..self.workload.sessions().len(key)];
        timed::<TIMED, _>(times, || ground.copy_out(key, session));
        Line::add(&self.line.lookups, 1);
        self.count_hit(true);
    }

    fn count_hit(&self, right: bool) {
        Line::add(&self.line.hits, 1);
        Line::add(&self.line.wrong, (!right).into());
    }
}

/// A miss that no death and no deadline explains.
fn is_wrong(miss: Option<Miss>) -> bool {
    !matches!(miss, Some(Miss::Absent | Miss::Evicted | Miss::Busy) | None)
}

#[inline]
fn timed<const TIMED: bool, R>(into: &mut Histogram<u64>, work: impl FnOnce() -> R) -> R {
    if !TIMED {
        return work();
    }
    let start = Instant::now();
    let result = work();
    into.saturating_record(start.elapsed().as_nanos() as u64);
    result
}

/// Up to a minute, to three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("three digits are possible")
}

fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|it| (it.value_iterated_to(), it.count_at_value())).collect()
}

/// Nanoseconds on a core, and in the queue for one (Documentation/scheduler/sched-stats.rst).
fn scheduled() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
