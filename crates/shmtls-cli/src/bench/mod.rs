//! `shmtls bench`: measurements that need more than one process.

use clap::Subcommand;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

mod contention;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls bench contention --quick    a first look, in seconds";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Measure locks that many processes want, and what a killed process does to them
    #[command(after_help = contention::EXAMPLES)]
    Contention(Box<contention::Args>),
    /// One of its processes
    #[command(hide = true)]
    Worker(contention::WorkerArgs),
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match &self.bench {
            Bench::Contention(args) => args.run(output),
            Bench::Worker(args) => args.run(),
        }
    }
}
