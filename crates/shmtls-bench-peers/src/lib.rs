//! shmtls beside its peers: the same sessions and the same operations, by real processes, in one
//! run.
//!
//! Rounds are interleaved: in each, every store has its turn, so that what else the machine does
//! meets all of them alike. A library, because the children of httpd load it too.

use std::process::ExitCode;

use clap::Parser;

// In the order of dependency.
#[path = "../../shmtls-cli/src/bench/contention/sessions.rs"]
mod sessions;
#[path = "../../shmtls-cli/src/bench/contention/machine.rs"]
mod machine;
mod fault;
mod clock;
mod plan;
mod workload;
mod server;
mod stores;
mod worker;
mod child;
mod crew;
mod summary;
mod report;
mod chart;
mod run;

#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    run: run::Args,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What the run starts of itself.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// One of its processes
    #[command(hide = true)]
    Worker,
    /// A server that ends with it
    #[command(hide = true)]
    Serve {
        parent: i32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
}

/// The program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.part {
        None => cli.run.run(),
        Some(Part::Worker) => worker::run(),
        Some(Part::Serve { parent, command }) => server::become_one(*parent, command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("shmtls-bench-peers: {fault}");
            ExitCode::FAILURE
        }
    }
}
