//! `shmtls`: attach to a live TLS session cache and see why.
//!
//! A command makes one report, and text and JSON are both made from it. What is only looked at is
//! mapped read-only and never locked.

// In the order of dependency.
mod quantity;
mod context;
mod exit;
mod fault;
mod output;
mod system;
mod failure;
#[cfg(feature = "top")]
mod screen;
mod signals;
mod discover;
mod segment;
mod watch;
mod waits;
mod recoveries;
#[cfg(feature = "probe")]
mod probe;
mod commands;
#[cfg(feature = "bench")]
mod bench;
#[cfg(feature = "top")]
mod top;
mod cli;

use std::process::ExitCode;

use clap::Parser;

use cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.globals.color.write_global();
    signals::handle();
    match cli.command.run(&cli.globals.output()) {
        Ok(outcome) => outcome.into(),
        Err(failure) => failure.tell(),
    }
}
