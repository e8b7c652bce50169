//! Several processes on one segment: real forks, real kills, real stops.
#![allow(unsafe_code)] // Boards in shared memory.

#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;

#[path = "processes/attaching.rs"]
mod attaching;
#[path = "processes/forking.rs"]
mod forking;
#[path = "processes/looking.rs"]
mod looking;
#[path = "processes/sharing.rs"]
mod sharing;
#[path = "processes/stopped.rs"]
mod stopped;
#[path = "processes/taking.rs"]
mod taking;
