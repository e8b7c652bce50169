//! Storms of SIGKILL: workers die at random instructions of random operations, as fast as fork
//! makes new ones, and the survivors must not notice.
//!
//! What is checked: no byte is ever wrong; nothing is taken twice or seen after it was taken; a
//! session that only one worker changes is exactly what that worker left; the ring of ticket keys
//! is whole and never goes back; nobody waits longer than the deadline; in the end every lock is
//! free and every bucket whole.
//!
//! `SHMTLS_KILLS` is the number of kills in all storms together (20,000), `SHMTLS_SEED` repeats the
//! choices of a run, `SHMTLS_STORM` picks one storm, `SHMTLS_TABLE` names a file that gets a line
//! of figures from each.
#![allow(unsafe_code)] // System calls that no crate knows, and boards in shared memory.

use std::ops::Not;
use std::sync::MutexGuard;
use std::thread;
use std::time::{Duration, Instant};

use shmtls::{AttachError, Cache, Inserted, Options};

#[path = "crash/battery.rs"]
mod battery;
#[path = "crash/board.rs"]
mod board;
#[path = "crash/crew.rs"]
mod crew;
#[path = "crash/kernel.rs"]
mod kernel;
#[path = "crash/memory.rs"]
mod memory;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/raw_keys.rs"]
mod raw_keys;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "crash/stopwatch.rs"]
mod stopwatch;
#[path = "crash/storm.rs"]
mod storm;
#[path = "crash/table.rs"]
mod table;
#[path = "crash/visits.rs"]
mod visits;
#[path = "crash/worker.rs"]
mod worker;

use board::Plan;
use crew::{Death, Ids};
use memory::SmallMemory;
use payload::{Named, Rng, check, context, id, payload, soon, with_buckets};
use procs::{Child, alone, fork, fork_in_pid_namespace, notice};
use storm::Storm;
use table::Row;

/// Four hot buckets with about three times as many sessions as they hold: everything is evicted,
/// squeezed and expires all the time.
fn full() -> Plan {
    Plan {
        buckets: 4,
        bucket_bytes: 32 << 10,
        workers: 6,
        threads: 1,
        residents: 0,
        owned: 160,
        shared: 320,
        fits: false,
        starves: false,
    }
}

/// One bucket in which everything just fits: what vanishes is lost. Every few stores all that is
/// there moves together.
fn tight() -> Plan {
    Plan {
        buckets: 1,
        bucket_bytes: 64 << 10,
        workers: 4,
        threads: 2,
        residents: 10,
        owned: 104,
        shared: 16,
        fits: true,
        starves: false,
    }
}

/// So many of all kills, or all if one storm was picked.
fn percent(share: u64) -> u64 {
    let all = std::env::var("SHMTLS_KILLS");
    let all: u64 = all.map_or(20_000, |n| n.parse().expect("SHMTLS_KILLS: a number"));
    let share = if std::env::var("SHMTLS_STORM").is_ok() { 100 } else { share };
    (all * share).div_ceil(100)
}

/// One storm at a time; `None` if another one was picked.
fn turn(name: &str) -> Option<MutexGuard<'static, ()>> {
    let picked = std::env::var("SHMTLS_STORM");
    picked.is_ok_and(|picked| picked != name).not().then(alone)
}

#[test]
fn a_full_cache_survives_kill_9_anywhere() {
    let Some(_turn) = turn("full") else { return };
    let after = Storm { name: "full", kills: percent(43), ..base() }.run();
    assert!(after.stats.owner_died_kernel > 0 && after.stats.evicted > 0, "{after}");
}

#[test]
fn nothing_is_lost_but_what_was_under_way() {
    let Some(_turn) = turn("tight") else { return };
    let plan = tight();
    assert!(plan.really_fits());
    let after = Storm { name: "tight", plan, kills: percent(25), ..base() }.run();
    assert_eq!(after.stats.evicted, 0, "{after}");
    assert!(after.stats.owner_died_kernel > 0, "{after}");
}

/// `process_mrelease`, which earlyoom and Android use, and the OOM reaper can free the robust list
/// before the kernel reads it: then the lock of a dead worker stays locked.
#[test]
fn locks_that_the_kernel_forgets_are_taken_over() {
    let Some(_turn) = turn("released") else { return };
    let storm = Storm { name: "released", death: Death::Released, kills: percent(10), ..base() };
    let after = storm.run();
    assert!(after.stats.owner_died_stolen > 0, "{after}");
}

/// The next worker gets the ID that the kernel forgot in a lock. To the others it looks alive: they
/// give up at the deadline until it comes by and sees that it is not meant.
#[test]
fn a_new_worker_with_a_dead_ones_id_is_not_taken_for_it() {
    let Some(_turn) = turn("reused") else { return };
    let (death, ids) = (Death::Released, Ids::Reused);
    let storm = Storm { name: "reused", death, ids, kills: percent(6), ..base() };
    let in_namespace = fork_in_pid_namespace(|| {
        let after = storm.run();
        assert!(after.stats.owner_died_self > 0, "{after}");
    });
    in_namespace.into_iter().for_each(Child::join);
}

/// A machine gives an ID again after some thousand forks. Here there are sixteen.
#[test]
fn ids_that_come_round_all_the_time_mislead_nobody() {
    let Some(_turn) = turn("wrapped") else { return };
    let (death, ids) = (Death::Released, Ids::Few);
    let storm = Storm { name: "wrapped", death, ids, kills: percent(6), ..base() };
    let in_namespace = fork_in_pid_namespace(|| {
        if !kernel::few_pids() {
            return notice("SKIPPED: wrapped: before Linux 6.14 all namespaces have the same IDs");
        }
        let after = storm.run();
        assert!(after.stats.recoveries() > 0, "{after}");
    });
    in_namespace.into_iter().for_each(Child::join);
}

/// A worker in a debugger, a frozen container: it keeps what it holds, and nobody else waits for
/// it beyond the deadline.
#[test]
fn workers_that_stand_still_delay_only_their_bucket() {
    let Some(_turn) = turn("stopped") else { return };
    let pause = Duration::from_millis(5);
    let storm = Storm { name: "stopped", stops: true, pause, kills: percent(5), ..base() };
    let after = storm.run();
    assert!(after.stats.owner_died_kernel > 0, "{after}");
}

/// The kernel kills who wants too much memory, in whatever it does.
#[test]
fn workers_may_die_of_hunger() {
    let Some(_turn) = turn("starved") else { return };
    let Some(memory) = SmallMemory::new() else {
        return notice("SKIPPED: starved: this user may not make a memory cgroup");
    };
    let plan = Plan { starves: true, ..full() };
    let storm = Storm { name: "starved", plan, death: Death::Starved(memory), ..base() };
    // The kernel takes its time, so these come on top of the others.
    Storm { kills: percent(1).min(2000), ..storm }.run();
}

/// A segment is there whole or not at all, whenever its creator dies.
#[test]
fn a_killed_creator_leaves_a_whole_segment_or_none() {
    let Some(_turn) = turn("created") else { return };
    let name = Named::new("creator");
    let options = with_buckets(Options::new().processes(4), 2, 32 << 10);
    let (mut rng, mut whole, start) = (Rng::new(storm::seed()), 0, Instant::now());
    let kills = percent(5);
    for _ in 0..kills {
        let creator = fork(|| {
            kernel::step_back();
            loop {
                drop(options.create(&name.0).expect("there is none"));
                std::fs::remove_file(name.path()).expect("there is one");
            }
        });
        thread::sleep(Duration::from_nanos(rng.below(600_000)));
        creator.kill();
        match Cache::attach(&name.0) {
            Ok(cache) => {
                whole += 1;
                let outcome = cache.insert(&context(), &id(1), &payload(1, 1, 500), soon());
                assert_eq!(outcome, Inserted::New);
                assert_eq!(check(1, cache.take(&context(), &id(1)).expect("there").bytes()), 1);
                std::fs::remove_file(name.path()).expect("there is one");
            }
            Err(AttachError::NotFound { .. }) => {}
            Err(other) => panic!("neither whole nor absent: {other}"),
        }
    }
    table::add(&Row::of_creators(kills, start.elapsed()));
    notice(&format!("created: {whole} whole segments, the others absent"));
}

/// Plain kills of a full cache's workers.
fn base() -> Storm {
    let (death, ids) = (Death::Killed, Ids::Fresh);
    // Where windows are wide an operation takes longer.
    let pause = Duration::from_micros(if battery::IS_WIDE { 2000 } else { 300 });
    Storm { name: "", plan: full(), death, ids, stops: false, pause, kills: 0 }
}
