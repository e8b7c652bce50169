//! One file for each subcommand: its arguments, its report, its run.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod locks;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod metrics;
#[cfg(feature = "probe")]
pub(crate) mod probe;
pub(crate) mod procs;
pub(crate) mod purge;
pub(crate) mod stat;
