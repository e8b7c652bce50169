//! The command line. Help, man pages and completions are made from it.

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

#[cfg(feature = "bench")]
use crate::bench;
#[cfg(feature = "probe")]
use crate::commands::probe;
use crate::commands::{
    check, completions, create, doctor, events, keys, list, locks, ls, man, metrics, procs, purge,
    stat,
};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Format, Output};
#[cfg(feature = "top")]
use crate::top;

/// Look into the TLS session cache that the server's processes share.
///
/// SEGMENT is a NAME (/dev/shm/shmtls.NAME), a path (with a '/'), pid:PID (what that process has
/// open; pid:PID:FD if several), or fd:NAME or fd:NUMBER (what systemd or the shell handed over).
/// Without it SHMTLS_SEGMENT counts, and else the only segment that there is.
///
/// Nothing ever shows session bytes or keys.
#[derive(Debug, Parser)]
#[command(name = "shmtls", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    fine
  1    the condition that was asked for is not met
  2    the command line is wrong
  3    the segment cannot be opened: missing, no permission, no room
  4    the segment has another layout, or is damaged
  130  interrupted";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Text for people, or JSON for programs: one object a report, on one line
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// When to use colours; `auto` heeds NO_COLOR
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a named segment
    #[command(after_help = create::EXAMPLES)]
    Create(create::Args),
    /// List all segments on this machine, the sick ones too
    #[command(after_help = list::EXAMPLES)]
    List(list::Args),
    /// Watch a segment live: rates, misses, processes, buckets, events, keys
    #[cfg(feature = "top")]
    #[command(after_help = top::EXAMPLES)]
    Top(top::Args),
    /// Show one screen of figures: hits, misses and why, how full, locks, keys
    #[command(after_help = stat::EXAMPLES)]
    Stat(stat::Args),
    /// List sessions: where from, how large, how old, how used; never their IDs or bytes
    #[command(after_help = ls::EXAMPLES)]
    Ls(ls::Args),
    /// Show the processes that use a segment
    #[command(after_help = procs::EXAMPLES)]
    Procs(procs::Args),
    /// Show who holds which lock, where callers wait, and who died in one
    #[command(after_help = locks::EXAMPLES)]
    Locks(locks::Args),
    /// Show the ticket keys: fingerprints, roles, times
    #[command(after_help = keys::EXAMPLES)]
    Keys(keys::Args),
    /// Show what happened lately, and with --follow what happens
    #[command(after_help = events::EXAMPLES)]
    Events(events::Args),
    /// Look for damage, and with --repair heal what can be healed
    #[command(after_help = check::EXAMPLES)]
    Check(check::Args),
    /// Explain a bad hit rate, and say what to do about it
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    #[command(after_help = metrics::EXAMPLES)]
    Metrics(metrics::Args),
    /// Remove sessions
    #[command(after_help = purge::EXAMPLES)]
    Purge(purge::Args),
    #[cfg(feature = "probe")]
    #[command(after_help = probe::EXAMPLES)]
    Probe(probe::Args),
    /// Measure what needs many processes
    #[cfg(feature = "bench")]
    #[command(after_help = bench::EXAMPLES)]
    Bench(bench::Args),
    /// Print a completion script for a shell
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Args),
    /// Print the manual page, or write all of them
    #[command(after_help = man::EXAMPLES)]
    Man(man::Args),
}

impl Globals {
    pub(crate) fn output(&self) -> Output {
        Output { format: self.format }
    }
}

impl Color {
    /// For stdout and stderr.
    pub(crate) fn write_global(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

impl Command {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        match self {
            Self::Create(args) => args.run(output),
            Self::List(args) => args.run(output),
            #[cfg(feature = "top")]
            Self::Top(args) => args.run(output),
            Self::Stat(args) => args.run(output),
            Self::Ls(args) => args.run(output),
            Self::Procs(args) => args.run(output),
            Self::Locks(args) => args.run(output),
            Self::Keys(args) => args.run(output),
            Self::Events(args) => args.run(output),
            Self::Check(args) => args.run(output),
            Self::Doctor(args) => args.run(output),
            Self::Metrics(args) => args.run(output),
            Self::Purge(args) => args.run(output),
            #[cfg(feature = "probe")]
            Self::Probe(args) => args.run(output),
            #[cfg(feature = "bench")]
            Self::Bench(args) => args.run(output),
            Self::Completions(args) => args.run(Cli::command()),
            Self::Man(args) => args.run(Cli::command()),
        }
    }
}
