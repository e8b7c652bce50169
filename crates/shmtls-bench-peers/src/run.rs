//! The run: each mix for itself, all stores of it side by side, a burst of each in every round.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedI64ValueParser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::chart;
use crate::crew::Crew;
use crate::fault::Fault;
use crate::machine::{self, Machine};
use crate::plan::{Case, Kind, Mix, Peer, Scale};
use crate::report::{NotRun, Report, SHARE, Workload};
use crate::summary::{self, Results, Row};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Sessions that there are [default: 100000]
    #[arg(long, value_name = "COUNT", value_parser = between(1000..=10_000_000))]
    sessions: Option<u32>,
    /// What is done with them
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "get,90/10,50/50")]
    mixes: Vec<Mix>,
    /// Numbers of processes, for stores that processes can share
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2",
          value_parser = between(1..=64))]
    processes: Vec<u32>,
    /// Numbers of threads, for stores in one process
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2",
          value_parser = between(1..=64))]
    threads: Vec<u32>,
    /// The stores beside shmtls [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    stores: Vec<Peer>,
    /// Length of a burst in milliseconds [default: 1000]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=600_000))]
    burst: Option<u64>,
    /// Rounds over all stores, besides one to warm up [default: 5]
    #[arg(long, value_name = "COUNT", value_parser = between(1..=1000))]
    rounds: Option<u32>,
    /// Where nothing else is asked for: one round of short bursts, few sessions
    #[arg(long)]
    quick: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the report
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn between(allowed: RangeInclusive<i64>) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(allowed)
}

/// So often at most is a burst done again in which others had the cores.
const REPEATS: u64 = 3;
/// A shorter burst says nothing of shares: the scheduler deals in milliseconds.
const SHARE_NEEDS: Duration = Duration::from_millis(500);

impl Args {
    pub(crate) fn run(&self) -> Result<(), Fault> {
        let bench = Bench {
            sessions: self.sessions.unwrap_or(if self.quick { 2000 } else { 100_000 }),
            burst: Duration::from_millis(self.burst.unwrap_or(if self.quick { 50 } else { 1000 })),
            rounds: self.rounds.unwrap_or(if self.quick { 1 } else { 5 }),
            cores: machine::cores(),
            stop: stop_flag()?,
        };
        let (mut rows, mut not_run) = (Vec::new(), Vec::new());
        for mix in unique(&self.mixes) {
            let (measured, missing) = bench.measure(mix, &self.cases())?;
            rows.extend(measured);
            for missing in missing {
                // Once for all mixes.
                if !not_run.contains(&missing) {
                    not_run.push(missing);
                }
            }
        }
        summary::compare(&mut rows);
        let report = Report {
            machine: Machine::new(bench.cores.len()),
            workload: Workload {
                sessions: bench.sessions,
                burst_ms: bench.burst.as_millis() as u64,
                rounds: bench.rounds,
            },
            rows,
            not_run,
        };
        self.publish(&report)
    }

    fn publish(&self, report: &Report) -> Result<(), Fault> {
        if let Some(path) = &self.json {
            write(path, &(serde_json::to_string_pretty(report)? + "\n"))?;
        }
        if let Some(path) = &self.svg {
            write(path, &chart::draw(report)?)?;
        }
        print!("{report}");
        match report.rows.iter().find(|row| row.wrong > 0) {
            Some(row) => Err(format!("{} gave wrong sessions", row.store.label()).into()),
            None => Ok(()),
        }
    }

    /// The library first, in each kind.
    fn cases(&self) -> Vec<Case> {
        let wanted = |peer: &Peer| {
            self.stores.is_empty() || *peer == Peer::Shmtls || self.stores.contains(peer)
        };
        let mut cases = Vec::new();
        for kind in Kind::ALL {
            let numbers = match kind {
                Kind::Processes => &self.processes,
                Kind::Threads => &self.threads,
            };
            for workers in numbers.iter().copied().collect::<BTreeSet<_>>() {
                let peers = Peer::value_variants().iter().copied().filter(wanted);
                let case = |peer| Case { peer, kind, workers };
                cases.extend(peers.filter(|peer| kind.has(*peer)).map(case));
            }
        }
        cases
    }
}

struct Bench {
    sessions: u32,
    burst: Duration,
    rounds: u32,
    cores: Vec<usize>,
    stop: Arc<AtomicBool>,
}

impl Bench {
    fn measure(&self, mix: Mix, cases: &[Case]) -> Result<(Vec<Row>, Vec<NotRun>), Fault> {
        let scale = Scale::new(mix, self.sessions);
        let (mut running, mut not_run) = (Vec::new(), Vec::new());
        for case in cases {
            self.check_stop()?;
            eprintln!(
                "{}: {} {}, {}",
                mix.title(),
                case.workers,
                case.kind.name(case.workers),
                case.peer.label()
            );
            match Crew::start(*case, (mix, scale), &self.cores) {
                Ok(crew) => running.push((crew, Results::new(*case))),
                Err(fault) => not_run.push(NotRun { store: case.peer, why: fault.to_string() }),
            }
        }
        // Round 0 is to warm up.
        for round in 0..=self.rounds {
            eprintln!("{}: round {round} of {}", mix.title(), self.rounds);
            running.retain_mut(|(crew, results)| {
                let done = self.check_stop().and_then(|()| match round {
                    0 => crew.burst(self.burst).map(drop),
                    _ => self.add_settled(crew, results),
                });
                let store = results.case.peer;
                let why = done.as_ref().err().map(Fault::to_string);
                not_run.extend(why.map(|why| NotRun { store, why }));
                done.is_ok()
            });
            self.check_stop()?;
        }
        Ok((running.iter().filter_map(|(_, results)| results.row(mix)).collect(), not_run))
    }

    /// A burst in which every worker had its share of the CPU time, if one of a few tries is.
    fn add_settled(&self, crew: &mut Crew, results: &mut Results) -> Result<(), Fault> {
        for repeats in 0.. {
            let seen = crew.burst(self.burst)?;
            let share = summary::share(&seen, self.cores.len());
            // Who waits for a server has no share to speak of.
            let share = share.filter(|_| !results.case.peer.is_a_server());
            let is_settled = share.is_none_or(|share| share >= SHARE);
            if is_settled || self.burst < SHARE_NEEDS || repeats == REPEATS {
                results.add(&seen, share);
                break;
            }
            results.repeats += 1;
        }
        Ok(())
    }

    /// An interrupted run ends like one that fails: the stores go with it.
    fn check_stop(&self) -> Result<(), Fault> {
        if self.stop.load(Relaxed) { Err("interrupted".into()) } else { Ok(()) }
    }
}

fn stop_flag() -> Result<Arc<AtomicBool>, Fault> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

/// In the order of the table, each once.
fn unique(mixes: &[Mix]) -> impl Iterator<Item = Mix> {
    Mix::ALL.into_iter().filter(|mix| mixes.contains(mix))
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
