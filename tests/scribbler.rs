//! A process that writes garbage into a live segment, all the time and everywhere, while workers
//! use it: none of them ends, none waits for longer than a deadline, nobody is given a session that
//! was not stored under that key, and when the scribbler is gone the cache works as before.
//!
//! `SHMTLS_SECONDS` is how long it scribbles (5), `SHMTLS_SEED` repeats the choices of a run.
#![allow(unsafe_code)] // Boards in shared memory, and a second mapping of the segment.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shmtls::{AttachError, Cache, Options, TicketKey};

#[path = "common/payload.rs"]
mod payload;
#[path = "common/procs.rs"]
mod procs;
#[path = "common/scoreboard.rs"]
mod scoreboard;
#[path = "scribbler/scribble.rs"]
mod scribble;
#[path = "hostile/window.rs"]
mod window;
#[path = "scribbler/worker.rs"]
mod worker;

use payload::{Rng, check, context, id, payload, soon, with_buckets};
use procs::{Child, Report, alone, fork_reporting, notice};
use scoreboard::{Shared, Zeroed};
use scribble::{Scribbler, scribble_header};
use window::Window;
use worker::{IDS, Worker};

const WORKERS: usize = 4;
const BUCKETS: u32 = 4;

/// What the processes tell each other past the segment.
#[repr(C)]
#[derive(Debug)]
struct Board {
    stop: AtomicU32,
    /// Thread IDs that mean something in a lock word.
    tids: [AtomicU32; WORKERS + 2],
    ops: AtomicU64,
    hits: AtomicU64,
    busy: AtomicU64,
    damaged: AtomicU64,
    attached: AtomicU64,
    scribbles: AtomicU64,
    longest_wait_ns: AtomicU64,
    last_serial: AtomicU64,
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

fn seconds() -> u64 {
    std::env::var("SHMTLS_SECONDS").map_or(5, |n| n.parse().expect("SHMTLS_SECONDS: a number"))
}

fn seed() -> u64 {
    let chosen = std::env::var("SHMTLS_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    chosen.unwrap_or_else(now)
}

fn segment() -> Cache {
    let options = with_buckets(Options::new().processes(6), BUCKETS, 32 << 10);
    options.create_memfd().expect("a segment")
}

/// Whoever may write to the segment can make the cache forget, and no more than that. A lookup
/// once handed out what another process had just moved to where its session had been: two had the
/// same bucket, because somebody had written a zero to its lock.
#[test]
fn garbage_in_a_live_segment_ends_nobody_and_passes() {
    let _turn = alone();
    let (cache, board, report) = (segment(), Shared::<Board>::new(), Report::new());
    let (seed, (board, cache)) = (seed(), (&*board, &cache));
    board.tids[0].store(nix::unistd::gettid().as_raw().unsigned_abs(), SeqCst);
    let workers: Vec<Child> = (1..=WORKERS)
        .map(|nth| {
            fork_reporting(&report, || {
                board.tids[nth].store(std::process::id(), SeqCst);
                Worker::new(board, cache, Rng::new(seed ^ nth as u64)).run();
            })
        })
        .collect();
    let scribbler = fork_reporting(&report, || {
        board.tids[WORKERS + 1].store(std::process::id(), SeqCst);
        let window = Window::new(cache.fd());
        Scribbler { board, window, rng: Rng::new(seed ^ 77) }.run()
    });
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut workers = workers;
    while Instant::now() < end {
        workers.iter_mut().for_each(Child::assert_running);
        std::thread::sleep(Duration::from_millis(20));
    }
    scribbler.kill();
    board.stop.store(1, SeqCst);
    procs::join_all(workers);
    let told = |count: &AtomicU64| count.load(SeqCst);
    let line = format!(
        "scribbler (SHMTLS_SEED={seed}): {} scribbles, {} operations, {} hits, {} damaged, {} busy, \
         {} attached, longest wait {:.1} ms",
        told(&board.scribbles),
        told(&board.ops),
        told(&board.hits),
        told(&board.damaged),
        told(&board.busy),
        told(&board.attached),
        told(&board.longest_wait_ns) as f64 / 1e6,
    );
    notice(&line);
    assert!(told(&board.scribbles) > 1000 && told(&board.hits) > 100, "{line}");
    assert_recovers(cache, &line);
}

/// Each bucket needs one visit for its lock, and one lookup for each record that is not whole.
fn assert_recovers(cache: &Cache, told: &str) {
    // Words with the IDs of workers name dead threads by now, and ours is nobody's.
    let mut rounds = 0;
    let missing = |serial: u64| {
        for n in 0..IDS {
            let stored = cache.insert(&context(), &id(n), &stored(n, serial), soon());
            assert!(stored.is_stored(), "session {n}: {stored:?}: {told}");
        }
        let found = |n: &u64| cache.get_session(&context(), &id(*n));
        let is_there = |n: &u64| found(n).is_ok_and(|found| check(*n, found.bytes()) == serial);
        (0..IDS).filter(|n| !is_there(n)).collect::<Vec<u64>>()
    };
    while !missing(u64::MAX - rounds).is_empty() {
        rounds += 1;
        assert!(rounds < 10, "{:?} cannot be found again: {told}", missing(u64::MAX));
    }
    let published = cache.keys().publish(vec![TicketKey::random().expect("random bytes")]);
    assert!(published.is_ok() && cache.keys().status().is_some(), "{published:?}: {told}");
    assert_eq!(cache.clear().busy, 0, "{told}");
    assert!(cache.is_empty(), "{told}");
    let table = Options::new().attach_fd(cache.fd().try_clone_to_owned().expect("a descriptor"));
    assert!(table.is_ok(), "{table:?}: {told}");
}

/// What fits with all others.
fn stored(number: u64, serial: u64) -> Vec<u8> {
    payload(number, serial, 100 + number as usize * 20)
}

/// The numbers before `check` are read once, when a process attaches, and by nobody else.
#[test]
fn a_header_that_is_scribbled_on_refuses_newcomers_and_disturbs_nobody() {
    let _turn = alone();
    let cache = segment();
    let window = Window::new(cache.fd());
    let before = window.image();
    let mut rng = Rng::new(seed());
    for n in 0..500 {
        scribble_header(&window, &mut rng);
        let is_as_before = window.bytes(0, 48) == before[..192];
        let fd = || cache.fd().try_clone_to_owned().expect("a descriptor");
        let writer = Options::new().attach_fd(fd()).map(drop);
        let reader = Options::new().inspect_fd(fd()).map(drop);
        assert_eq!((writer.is_ok(), reader.is_ok()), (is_as_before, is_as_before));
        assert!(!matches!(writer, Err(AttachError::Io { .. })), "{writer:?}");
        let number = n % IDS;
        let bytes = stored(number, n);
        assert!(cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
        assert!(cache.get_session(&context(), &id(number)).is_ok_and(|s| s.bytes() == bytes));
        if rng.one_in(4) {
            (0..48).for_each(|at| {
                window.set(at, u32::from_ne_bytes(*before[at * 4..].first_chunk().expect("4")));
            });
        }
    }
}
