//! The ring of ticket keys between real processes: kills, races, rotation, refusals, traces.
//!
//! `SHMTLS_KILLS` is the number of kills (10,000), `SHMTLS_SEED` repeats the choices of a run.
#![allow(unsafe_code)] // Boards in shared memory, and forks.

#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;

#[path = "common/raw_keys.rs"]
mod raw;
#[path = "keys/refused.rs"]
mod refused;
#[path = "keys/rotating.rs"]
mod rotating;
#[path = "keys/storm.rs"]
mod storm;
#[path = "keys/traces.rs"]
mod traces;
#[path = "keys/updates.rs"]
mod updates;

use shmtls::{Cache, Options};

/// A small segment, for the keys' sake.
fn segment() -> Cache {
    Options::new().size(1 << 20).processes(32).create_memfd().expect("a segment")
}
