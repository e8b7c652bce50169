//! A day at a server, in minutes: real handshakes without end, by clients that come back, while
//! workers are killed, forked anew and stopped, keys rotate, and tools attach and leave.
//!
//! What a test of one kill cannot see is what adds up: a line of the process table, a descriptor,
//! a kilobyte or a record's room that is lost with every death, until one night nothing resumes
//! any more. So the same time is spent in calm, as a measure, in slices that take turns with the
//! storm: what the machine does to one it does to the other.
//!
//! `SHMTLS_MINUTES` is how long it takes (2), `SHMTLS_SEED` repeats the choices of a run.

use std::env;

#[path = "soak/aftermath.rs"]
mod aftermath;
#[path = "soak/board.rs"]
mod board;
#[path = "../examples/common/certificate.rs"]
mod certificate;
#[path = "soak/client.rs"]
mod client;
#[path = "soak/health.rs"]
mod health;
#[path = "common/payload.rs"]
mod payload;
#[path = "soak/plan.rs"]
mod plan;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "soak/supervisor.rs"]
mod supervisor;
#[path = "soak/tools.rs"]
mod tools;
#[path = "soak/worker.rs"]
mod worker;

/// Names the segment to a process that was not forked but executed.
const SEGMENT: &str = "SHMTLS_SOAK_SEGMENT";

#[test]
fn a_server_that_is_killed_all_day_stays_as_it_was() {
    match env::var(SEGMENT) {
        Ok(segment) => tools::visit(&segment),
        Err(_) => supervisor::run(&plan::Plan::from_environment()),
    }
}
