//! `shmtls bench contention`: the same work on the same table behind four locks, by real processes.
//!
//! Rounds are interleaved: in each, every case has its turn, once without and once with a timer,
//! so that what else the machine does meets all of them alike.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, Report, json, note};

// In the order of dependency.
mod ffi;
mod arena;
mod plan;
mod gate;
mod segment;
mod sessions;
mod ground;
mod workload;
mod worker;
mod crew;
mod trouble;
mod watchers;
mod burst;
mod summary;
mod machine;
mod progress;
mod report;
mod chart;

use burst::{Burst, Case, Workbench};
use machine::Machine;
use plan::{Keys, Lock, Mix, Value};
use progress::Progress;
use report::Contention;
use summary::Results;

pub(crate) use worker::WorkerArgs;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls bench contention --quick                      a first look, in seconds
  shmtls bench contention --svg out.svg --json out.json
  shmtls bench contention --mix insert --buckets 1,16,256,4096 --lines robust,plain
  shmtls bench contention --mix get --buckets 250,2500 --lines robust,small,copy --processes 1
  shmtls bench contention --mix half --kill 5/s        what a killed process does to the others
  shmtls bench contention --lines robust,watched --processes 4   what tools cost those they look at
  shmtls bench contention --work 30us --processes 2,8  a handshake's work between operations";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Numbers of processes [default: 1,2,4,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = plan::processes)]
    processes: Vec<u32>,
    /// Numbers of buckets, 32 KiB each [default: 256]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = plan::buckets)]
    buckets: Vec<u32>,
    /// get, half, insert, hot, hot10, or GET/INSERT/TAKE in percent
    #[arg(long, value_name = "MIX", default_value = "90/10")]
    mix: Mix,
    /// Bytes of a session, or `mix`: as real ones are
    #[arg(long, value_name = "BYTES", default_value = "mix")]
    value: Value,
    /// Which sessions are wanted
    #[arg(long, value_name = "KEYS", default_value = "uniform")]
    keys: Keys,
    /// CPU work between two operations, such as 30us
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = plan::work)]
    work: Duration,
    /// Length of a burst; each case has two in a round [default: 1]
    #[arg(long, value_name = "DURATION", value_parser = plan::burst)]
    seconds: Option<Duration>,
    /// Rounds over all cases [default: 3]
    #[arg(long, value_name = "COUNT", value_parser = plan::rounds)]
    rounds: Option<u32>,
    /// Kill a worker so often, in a lock if one can be found there, and replace it
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = plan::rate)]
    kill: f64,
    /// Stop a worker so often, for 50 ms
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = plan::rate)]
    stop: f64,
    /// The locks to compare
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "all")]
    lines: Vec<Lines>,
    /// Give the pthread mutex priority inheritance, as httpd does
    #[arg(long)]
    pi: bool,
    /// Where nothing else is asked for: one round of short bursts, 1 and 2 processes, 16 buckets
    #[arg(long)]
    quick: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the report
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lines {
    /// All but `watched`, `small` and `copy`
    All,
    /// One robust lock per bucket: the library as it is
    Robust,
    /// The same, while `stat`, `ls`, `check` and `events` look at the segment all the time
    Watched,
    /// The same in pages of 4 KiB: what huge pages are worth
    Small,
    /// The same code with nothing announced to the kernel: the price of robustness
    Plain,
    /// One robust pthread mutex around every operation, as in httpd
    Pthread,
    /// One plain futex around every operation, as in HAProxy: a dead owner is the end
    Futex,
    /// No lock and no cache: the same bytes copied from and to random places, the limit of memory
    Copy,
}

/// Bursts with less CPU time than this part of what is due are done again.
const SHARE: f64 = 0.9;
const REPEATS: u64 = 3;
/// A shorter burst says nothing of shares: the scheduler deals in milliseconds.
const SHARE_NEEDS: Duration = Duration::from_millis(500);

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        // Before the run: it takes minutes, and what it found would be lost.
        let json_file = self.json.as_deref().map(Target::create).transpose()?;
        let svg_file = self.svg.as_deref().map(Target::create).transpose()?;
        let bench = self.workbench();
        let machine = Machine::new(bench.cores.len());
        let notes = self.notes(&machine);
        notes.iter().for_each(|text| note(text));
        let results = self.measure(&bench)?;
        let work_ns = self.work.as_nanos() as f64;
        let cells = results.iter().map(|it| it.cell(machine.cores, work_ns)).collect();
        let report = Contention { machine, workload: self.workload(&bench), notes, cells };
        // Also to who has stopped reading: the files are to be written all the same.
        let shown = output.show(&report);
        if let Some(file) = json_file {
            file.write(&json::line(&report))?;
        }
        if let Some(file) = svg_file {
            let error = |error| Failure::cannot_open(format!("cannot draw: {error}"));
            file.write(&chart::draw(&report).map_err(error)?)?;
        }
        shown?;
        Ok(report.outcome())
    }

    fn measure(&self, bench: &Workbench) -> Result<Vec<Results>, Failure> {
        let mut results: Vec<_> = self.cases().into_iter().map(Results::new).collect();
        let (rounds, cases) = (self.rounds(), results.len());
        let mut progress = Progress::new(cases * rounds as usize);
        for round in 0..rounds {
            for result in &mut results {
                // One that hangs has nothing more to tell.
                for timed in [false, true] {
                    if result.hangs() {
                        continue;
                    }
                    let burst = settled(bench, result, timed, u64::from(round) + 1)?;
                    if timed { &mut result.timed } else { &mut result.untimed }.push(burst);
                }
                progress.show(result);
            }
        }
        progress.end();
        Ok(results)
    }

    fn cases(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for buckets in or(&self.buckets, if self.quick { &[16] } else { &[256] }) {
            for processes in or(&self.processes, if self.quick { &[1, 2] } else { &[1, 2, 4, 8] }) {
                let case = |lock| Case { lock, buckets: *buckets, processes: *processes };
                cases.extend(self.locks().map(case));
            }
        }
        cases
    }

    fn locks(&self) -> impl Iterator<Item = Lock> {
        let wants = |lock: &Lock| self.lines.iter().any(|lines| lines.have(*lock));
        Lock::ALL.into_iter().filter(wants)
    }

    fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    fn seconds(&self) -> Duration {
        self.seconds.unwrap_or(Duration::from_millis(if self.quick { 100 } else { 1000 }))
    }

    fn workbench(&self) -> Workbench {
        Workbench {
            mix: self.mix,
            keys: self.keys,
            value: self.value,
            work_rounds: workload::rounds_for(self.work),
            duration: self.seconds(),
            kill: self.kill,
            stop: self.stop,
            priority_inheritance: self.pi,
            cores: machine::cores(),
        }
    }

    fn workload(&self, bench: &Workbench) -> report::Workload {
        report::Workload {
            get_percent: self.mix.get,
            insert_percent: self.mix.insert,
            take_percent: self.mix.take,
            keys: if self.mix.hot { Keys::Hot } else { self.keys },
            session_bytes_mean: self.value.mean(),
            work_ns: self.work.as_nanos() as u64,
            burst_ms: bench.duration.as_millis() as u64,
            rounds: self.rounds(),
            kills_per_second: self.kill,
            stops_per_second: self.stop,
            priority_inheritance: self.pi,
        }
    }

    /// What the figures of this run cannot show.
    fn notes(&self, machine: &Machine) -> Vec<String> {
        let mut notes = Vec::new();
        let cores = machine.cores;
        if self.cases().iter().any(|case| case.processes as usize > cores) {
            notes.push(format!(
                "{cores} cores here: above {cores} processes these lines show oversubscription, \
                 not scaling, and processes are not pinned"
            ));
        }
        if !machine.optimized {
            notes.push("this is a debug build: its figures are those of unoptimized code".into());
        }
        if self.seconds() < SHARE_NEEDS {
            notes.push("short bursts: CPU shares are not checked, figures are rough".into());
        }
        notes
    }
}

/// A burst in which every worker had its share of the CPU time, if one of a few tries is.
fn settled(
    bench: &Workbench,
    result: &mut Results,
    timed: bool,
    seed: u64,
) -> Result<Burst, Failure> {
    for repeats in 0.. {
        let burst = bench.burst(result.case, timed, seed)?;
        let enough = burst.share.is_none_or(|share| share >= SHARE);
        if enough || bench.duration < SHARE_NEEDS {
            return Ok(burst);
        }
        if repeats == REPEATS {
            result.disturbed += 1;
            return Ok(burst);
        }
        result.repeats += 1;
    }
    unreachable!("the loop returns at the last repeat")
}

impl Lines {
    fn have(self, lock: Lock) -> bool {
        match self {
            Self::All => !matches!(lock, Lock::Watched | Lock::Small | Lock::Copy),
            Self::Robust => lock == Lock::Robust,
            Self::Watched => lock == Lock::Watched,
            Self::Small => lock == Lock::Small,
            Self::Plain => lock == Lock::Plain,
            Self::Pthread => lock == Lock::Pthread,
            Self::Futex => lock == Lock::Futex,
            Self::Copy => lock == Lock::Copy,
        }
    }
}

fn or<'a>(given: &'a [u32], default: &'a [u32]) -> &'a [u32] {
    if given.is_empty() { default } else { given }
}

/// A file that can be written, and is when there is a report.
struct Target<'a> {
    path: &'a Path,
    file: File,
}

impl<'a> Target<'a> {
    fn create(path: &'a Path) -> Result<Self, Failure> {
        // What an earlier run has left stays until there is something better.
        let opened = File::options().write(true).create(true).truncate(false).open(path);
        Ok(Self { path, file: opened.map_err(|error| cannot_write(path, &error))? })
    }

    fn write(mut self, text: &str) -> Result<(), Failure> {
        // A pipe has no length.
        let _ = self.file.set_len(0);
        self.file.write_all(text.as_bytes()).map_err(|error| cannot_write(self.path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::cannot_open(format!("cannot write {}: {error}", path.display()))
        .tip("its directory must exist, be writable for you and have room")
}
