//! Every instruction: a child is led through each operation by single steps and killed after the
//! k-th, for every k. A storm of kills hits most instructions some time; this hits all of them.
//!
//! After each kill a survivor looks at everything: locks, sessions, bytes of sessions that are
//! gone, keys, counters, the process table, and that the cache is good for more.
//!
//! `SHMTLS_STRIDE` is the distance of two kills in instructions (16); `make kill-sweep` sets 1.
#![allow(unsafe_code)] // ptrace, and boards in shared memory.

use std::sync::MutexGuard;

use tempfile::TempDir;

#[cfg(shmtls_battery)]
#[path = "sweep/faults.rs"]
mod faults;
#[path = "sweep/image.rs"]
mod image;
#[path = "sweep/lab.rs"]
mod lab;
#[path = "sweep/operations.rs"]
mod operations;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/raw_keys.rs"]
mod raw_keys;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "sweep/survivor.rs"]
mod survivor;
#[path = "sweep/sweeper.rs"]
mod sweeper;
#[path = "sweep/trace.rs"]
mod trace;
#[path = "sweep/tracer.rs"]
mod tracer;

use operations::{EXPIRING, FINDING, KEYS, Operation, REPAIRING, SEGMENT, STORING, TABLE};
use procs::{alone, notice};
use sweeper::{stride, sweep};

/// Sweeps all of `operations`, one after the other.
fn sweep_all(operations: &[Operation]) {
    if let Some(_turn) = is_possible() {
        operations.iter().for_each(|operation| sweep(operation, stride(), room().path()));
    }
}

/// The right to sweep, unless this build or this machine cannot.
fn is_possible() -> Option<MutexGuard<'static, ()>> {
    let turn = alone();
    // Without optimisation an operation has up to a million instructions, most of them of no use.
    if cfg!(debug_assertions) {
        notice("SKIPPED: a sweep of a debug build; `make kill-sweep` is of a release build");
        return None;
    }
    if !tracer::is_allowed() {
        notice("SKIPPED: this machine lets no process trace its child");
        return None;
    }
    Some(turn)
}

/// For the segments of one sweep.
fn room() -> TempDir {
    tempfile::tempdir_in("/dev/shm").expect("a directory in memory")
}

#[test]
fn a_death_at_any_instruction_of_a_store_loses_only_what_was_under_way() {
    sweep_all(&STORING);
}

#[test]
fn a_death_at_any_instruction_of_a_lookup_loses_nothing_else_and_doubles_nothing() {
    sweep_all(&FINDING);
}

#[test]
fn a_death_at_any_instruction_of_an_expiry_loses_nothing_that_lives() {
    sweep_all(&EXPIRING);
}

#[test]
fn a_second_death_at_any_instruction_of_a_repair_loses_nothing_more() {
    sweep_all(&REPAIRING);
}

#[test]
fn a_death_at_any_instruction_of_a_key_update_leaves_the_old_ring_or_the_new() {
    sweep_all(&KEYS);
}

#[test]
fn a_death_at_any_instruction_of_joining_and_leaving_keeps_every_count_and_line() {
    sweep_all(&TABLE);
}

#[test]
fn a_death_at_any_instruction_of_making_or_finding_a_segment_leaves_it_whole_or_absent() {
    sweep_all(&SEGMENT);
}
