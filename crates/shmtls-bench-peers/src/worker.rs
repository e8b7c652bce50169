//! One process of a crew: opens the store, fills its part, and works whenever it is told to, with
//! one thread or several.

use std::fs;
use std::io::{self, BufRead, Write};
use std::thread;

use hdrhistogram::Histogram;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::fault::Fault;
use crate::plan::{Mix, Peer, Scale};
use crate::sessions;
use crate::stores::{self, Store};
use crate::workload::{Operation, Workload};

/// The first line that a worker is told, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) peer: Peer,
    /// Where the store is.
    pub(crate) place: String,
    pub(crate) mix: Mix,
    pub(crate) scale: Scale,
    /// The first of this process.
    pub(crate) worker: u32,
    /// In all processes.
    pub(crate) workers: u32,
    /// Workers of this process.
    pub(crate) threads: u32,
    /// One for each worker, or none.
    pub(crate) cores: Vec<usize>,
}

/// When to work: nanoseconds of the clock that all have. The lines after that.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Burst {
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// What a worker has seen; a line for all of this process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) ns: u64,
    pub(crate) operations: u64,
    pub(crate) lookups: u64,
    pub(crate) hits: u64,
    pub(crate) refused: u64,
    /// Sessions that were not what was stored.
    pub(crate) wrong: u64,
    /// Nanoseconds of sampled lookups, and how often.
    pub(crate) gets: Vec<(u64, u64)>,
    pub(crate) puts: Vec<(u64, u64)>,
    /// Time on a core, and time in want of one; `None` if the kernel does not say.
    pub(crate) scheduled: Option<(u64, u64)>,
}

/// What a process says when its part of the store is filled.
pub(crate) const READY: &str = "ready";

/// One in so many operations is timed, and what it found is compared with what was stored.
const SAMPLE: u32 = 16;

/// A process that the run has started.
pub(crate) fn run() -> Result<(), Fault> {
    serve(io::stdin().lock(), io::stdout(), |task| {
        stores::open(task.peer, (&task.place, task.scale), task.threads)
    })
}

/// Does what it is told, line by line, until nobody tells it any more.
pub(crate) fn serve(
    orders: impl BufRead,
    mut answers: impl Write,
    open: impl FnOnce(&Task) -> Result<Vec<Box<dyn Store>>, Fault>,
) -> Result<(), Fault> {
    // If the parent has gone, nobody ends us.
    set_pdeathsig(Signal::SIGKILL)?;
    let mut orders = orders.lines();
    let Some(task) = orders.next() else { return Ok(()) };
    let task: Task = serde_json::from_str(&task?)?;
    let stores = open(&task)?;
    let mut workers: Vec<_> =
        (task.worker..).zip(stores).map(|it| Worker::new(&task, it)).collect();
    in_threads(&mut workers, Worker::fill)?;
    say(&mut answers, READY)?;
    for burst in orders {
        let burst: Burst = serde_json::from_str(&burst?)?;
        let seen = in_threads(&mut workers, |worker| worker.work(burst))?;
        say(&mut answers, &serde_json::to_string(&seen)?)?;
    }
    Ok(())
}

fn say(answers: &mut impl Write, line: &str) -> io::Result<()> {
    writeln!(answers, "{line}")?;
    answers.flush()
}

fn in_threads<R: Send>(
    workers: &mut [Worker],
    work: impl Fn(&mut Worker) -> Result<R, Fault> + Sync,
) -> Result<Vec<R>, Fault> {
    thread::scope(|scope| {
        let work = &work;
        let start = |worker| scope.spawn(move || work(worker));
        let threads: Vec<_> = workers.iter_mut().map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        threads.into_iter().map(join).collect()
    })
}

struct Worker {
    store: Box<dyn Store>,
    workload: Workload,
    core: Option<usize>,
    buffer: Vec<u8>,
    seen: Seen,
    gets: Histogram<u64>,
    puts: Histogram<u64>,
}

impl Worker {
    /// More than any session.
    const BUFFER_BYTES: usize = 16 << 10;

    fn new(task: &Task, (number, store): (u32, Box<dyn Store>)) -> Self {
        Self {
            store,
            workload: Workload::new(task.mix, task.scale, (number, task.workers)),
            core: task.cores.get(number as usize).copied(),
            buffer: vec![0; Self::BUFFER_BYTES],
            seen: Seen::default(),
            gets: histogram(),
            puts: histogram(),
        }
    }

    fn fill(&mut self) -> Result<(), Fault> {
        while let Some(key) = self.workload.next_to_fill() {
            self.store.put(&sessions::id(key), self.workload.compose(key))?;
        }
        Ok(())
    }

    fn work(&mut self, burst: Burst) -> Result<Seen, Fault> {
        if let Some(core) = self.core {
            let mut cores = CpuSet::new();
            cores.set(core)?;
            sched_setaffinity(Pid::from_raw(0), &cores)?;
        }
        clock::wait_until(burst.from);
        let (start, before) = (clock::now(), scheduled());
        // The one that is timed also tells whether the burst is over.
        while self.one_sampled()? < burst.until {
            for _ in 1..SAMPLE {
                self.one()?;
            }
        }
        let mut seen = std::mem::take(&mut self.seen);
        seen.ns = clock::now() - start;
        seen.scheduled = before.zip(scheduled()).map(|(a, b)| (b.0 - a.0, b.1 - a.1));
        (seen.gets, seen.puts) = (counts(&mut self.gets), counts(&mut self.puts));
        Ok(seen)
    }

    #[inline]
    fn one(&mut self) -> Result<(), Fault> {
        self.seen.operations += 1;
        match self.workload.next() {
            Operation::Get(key) => {
                let found = self.store.get(&sessions::id(key), &mut self.buffer)?;
                self.count_lookup(found);
            }
            Operation::Put(key) => {
                let stored = self.store.put(&sessions::id(key), self.workload.compose(key))?;
                self.seen.refused += u64::from(!stored);
            }
        }
        Ok(())
    }

    /// Returns when it ended.
    fn one_sampled(&mut self) -> Result<u64, Fault> {
        self.seen.operations += 1;
        match self.workload.next() {
            Operation::Get(key) => {
                let id = sessions::id(key);
                let start = clock::now();
                let found = self.store.get(&id, &mut self.buffer);
                let end = clock::now();
                self.gets.saturating_record(end - start);
                let found = found?;
                self.count_lookup(found);
                let is_wrong = |len| !self.workload.is_right(key, &self.buffer[..len]);
                self.seen.wrong += u64::from(found.is_some_and(is_wrong));
                Ok(end)
            }
            Operation::Put(key) => {
                let (id, session) = (sessions::id(key), self.workload.compose(key));
                let start = clock::now();
                let stored = self.store.put(&id, session);
                let end = clock::now();
                self.puts.saturating_record(end - start);
                self.seen.refused += u64::from(!stored?);
                Ok(end)
            }
        }
    }

    #[inline]
    fn count_lookup(&mut self, found: Option<usize>) {
        self.seen.lookups += 1;
        self.seen.hits += u64::from(found.is_some());
    }
}

/// Up to a minute, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_max(60_000_000_000, 3).expect("three digits are possible")
}

/// And empties it.
fn counts(histogram: &mut Histogram<u64>) -> Vec<(u64, u64)> {
    let recorded = histogram.iter_recorded();
    let counts = recorded.map(|it| (it.value_iterated_to(), it.count_at_value())).collect();
    histogram.reset();
    counts
}

/// Nanoseconds on a core, and in the queue for one (Documentation/scheduler/sched-stats.rst).
fn scheduled() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut numbers = text.split_whitespace().map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}
