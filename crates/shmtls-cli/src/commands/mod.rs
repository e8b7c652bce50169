//! One file for each subcommand: its arguments, its report, its run.

pub(crate) mod list;
