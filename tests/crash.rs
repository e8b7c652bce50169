//! Storms of SIGKILL: workers die at random instructions of random operations, as fast as fork
//! makes new ones, and the survivors must not notice.
//!
//! What is checked: no byte is ever wrong; nothing is taken twice or seen after it was taken; a
//! session that only one worker changes is exactly what that worker left; nobody waits longer
//! than the deadline; in the end every lock is free and every bucket whole.
//!
//! `SHMTLS_KILLS` is the number of kills (10,000), `SHMTLS_SEED` repeats the choices of a run.
#![allow(unsafe_code)] // System calls that no crate knows, and boards in shared memory.

use std::thread;
use std::time::Duration;

use shmtls::{AttachError, Cache, Inserted, Options};

#[path = "crash/board.rs"]
mod board;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "crash/storm.rs"]
mod storm;
#[path = "crash/worker.rs"]
mod worker;

use board::Plan;
use payload::{Named, Rng, check, context, id, payload, soon, with_buckets};
use procs::{Child, alone, fork, fork_in_pid_namespace, notice};
use storm::{Death, Storm};

/// Four hot buckets with about three times as many sessions as they hold: everything is evicted,
/// squeezed and expires all the time.
fn full() -> Plan {
    Plan {
        buckets: 4,
        bucket_bytes: 16 << 10,
        workers: 6,
        threads: 1,
        residents: 0,
        owned: 80,
        shared: 160,
        fits: false,
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
        owned: 95,
        shared: 16,
        fits: true,
    }
}

fn kills() -> u64 {
    std::env::var("SHMTLS_KILLS").map_or(10_000, |n| n.parse().expect("SHMTLS_KILLS: a number"))
}

#[test]
fn a_full_cache_survives_kill_9_anywhere() {
    let _turn = alone();
    let after = Storm { name: "full", plan: full(), kills: kills() * 6 / 10, ..base() }.run();
    assert!(after.stats.owner_died_kernel > 0 && after.stats.evicted > 0, "{after}");
}

#[test]
fn nothing_is_lost_but_what_was_under_way() {
    let _turn = alone();
    let plan = tight();
    assert!(plan.really_fits());
    let after = Storm { name: "tight", plan, kills: kills() * 4 / 10, ..base() }.run();
    assert_eq!(after.stats.evicted, 0, "{after}");
    assert!(after.stats.owner_died_kernel > 0, "{after}");
}

/// `process_mrelease`, which earlyoom and Android use, and the OOM reaper can free the robust list
/// before the kernel reads it: then the lock of a dead worker stays locked.
#[test]
fn locks_that_the_kernel_forgets_are_taken_over() {
    let _turn = alone();
    let storm = Storm { name: "released", death: Death::Released, kills: kills() / 5, ..base() };
    let after = storm.run();
    assert!(after.stats.owner_died_stolen > 0, "{after}");
}

/// The next worker gets the ID that the kernel forgot in a lock. To the others it looks alive: they
/// give up at the deadline until it comes by and sees that it is not meant.
#[test]
fn a_new_worker_with_a_dead_ones_id_is_not_taken_for_it() {
    let _turn = alone();
    let storm = Storm {
        name: "reused",
        death: Death::Released,
        reuse_ids: true,
        kills: kills() / 10,
        ..base()
    };
    let in_namespace = fork_in_pid_namespace(|| {
        let after = storm.run();
        assert!(after.stats.owner_died_self > 0, "{after}");
    });
    in_namespace.into_iter().for_each(Child::join);
}

/// A segment is there whole or not at all, whenever its creator dies.
#[test]
fn a_killed_creator_leaves_a_whole_segment_or_none() {
    let _turn = alone();
    let name = Named::new("creator");
    let options = with_buckets(Options::new().processes(4), 2, 16 << 10);
    let (mut rng, mut whole) = (Rng::new(storm::seed()), 0);
    let kills = kills().div_ceil(20);
    for _ in 0..kills {
        let creator = fork(|| {
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
    notice(&format!("created: {kills} kills, {whole} whole segments, the others absent"));
}

fn base() -> Storm {
    Storm { name: "", plan: full(), death: Death::Killed, kills: 0, reuse_ids: false }
}
