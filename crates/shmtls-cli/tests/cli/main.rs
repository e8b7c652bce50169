//! The program as its users run it: real segments, real processes, its output and exit codes.

mod support;

mod bad_input;
#[cfg(feature = "bench")]
mod contention;
mod golden;
mod pages;
#[cfg(feature = "probe")]
mod probe;
mod processes;
mod schema;
mod segments;
mod streams;
