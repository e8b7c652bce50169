//! The program as its users run it: real segments, real processes, its output and exit codes.

mod support;
mod workers;

mod adversity;
mod bad_input;
mod canary;
#[cfg(feature = "bench")]
mod contention;
mod following;
mod golden;
mod metrics;
mod owners;
mod pages;
#[cfg(feature = "probe")]
mod probe;
mod processes;
mod schema;
mod segments;
mod sessions;
mod streams;
#[cfg(feature = "top")]
mod terminal;
mod traced;
