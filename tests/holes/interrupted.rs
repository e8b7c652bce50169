//! Signals, ten thousand a second, with a handler that lets system calls fail with EINTR.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicPtr, AtomicU64};
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use shmtls::{Cache, Miss, Options};

use crate::lab::{DEADLINE, Lock, assert_whole, lock_word, one_bucket, stand_still};
use crate::payload::{Named, Rng, check, context, id, payload, soon, with_buckets};
use crate::procs::{alone, fork, join_all};
use crate::scoreboard::{Shared, waiting};

const EVERY: Duration = Duration::from_micros(100);

static SIGNALS: AtomicU64 = AtomicU64::new(0);
static BUSY: AtomicU64 = AtomicU64::new(0);
static CACHE: AtomicPtr<Cache> = AtomicPtr::new(ptr::null_mut());

/// Interrupts this process from now on. If there is a cache the handler uses it: a call that
/// neither allocates nor waits for what the interrupted one may hold.
fn interrupt(cache: Option<&Cache>) {
    extern "C" fn handler(_: i32) {
        SIGNALS.fetch_add(1, SeqCst);
        // SAFETY: null, or a cache that outlives the timer: its process ends with both.
        if let Some(cache) = unsafe { CACHE.load(SeqCst).as_ref() } {
            let busy = cache.size_of(&context(), &id(1)) == Err(Miss::Busy);
            BUSY.fetch_add(busy.into(), SeqCst);
        }
    }
    CACHE.store(cache.map_or(ptr::null_mut(), |cache| ptr::from_ref(cache).cast_mut()), SeqCst);
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler uses atomics, and a call that is made for handlers.
    unsafe { sigaction(Signal::SIGUSR2, &action) }.expect("a handler");
    let mut event = MaybeUninit::<libc::sigevent>::zeroed();
    // SAFETY: zeroes are a sigevent.
    let event = unsafe { event.assume_init_mut() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = libc::SIGUSR2;
    let mut timer = MaybeUninit::uninit();
    // SAFETY: timer_create reads and writes the live locals.
    let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, event, timer.as_mut_ptr()) };
    assert_eq!(made, 0);
    // SAFETY: written above.
    let timer = unsafe { timer.assume_init() };
    let every = libc::timespec { tv_sec: 0, tv_nsec: EVERY.subsec_nanos().into() };
    let times = libc::itimerspec { it_interval: every, it_value: every };
    // SAFETY: the timer was made above, and the times are live.
    let started = unsafe { libc::timer_settime(timer, 0, &raw const times, ptr::null_mut()) };
    assert_eq!(started, 0);
}

fn in_a_storm(work: impl FnOnce()) {
    interrupt(None);
    work();
    assert!(SIGNALS.load(SeqCst) > 100, "{} signals", SIGNALS.load(SeqCst));
}

/// posix_fallocate gives up at a signal, and so a segment could never be made.
#[test]
fn segments_open_in_a_storm_of_signals() {
    let _turn = alone();
    fork(|| {
        in_a_storm(|| {
            for round in 0..10 {
                let name = Named::new(&format!("storm-{round}"));
                let options = Options::new().size(8 << 20);
                let cache = options.create(&name.0).expect("a segment");
                assert!(cache.insert(&context(), &id(1), b"found", soon()).is_stored());
                let other = options.attach(&name.0).expect("it is there");
                assert_eq!(other.take(&context(), &id(1)).expect("stored").bytes(), b"found");
                drop(options.create_memfd().expect("a segment"));
            }
        });
    })
    .join();
}

/// A wait that took each interruption for the end of its slice would never come to its deadline, or
/// come there at once.
#[test]
fn a_wait_in_a_storm_of_signals_ends_at_its_deadline() {
    let _turn = alone();
    let cache = one_bucket();
    let owner = fork(|| stand_still());
    let word = lock_word(&cache, Lock::Bucket);
    word.store(owner.pid().as_raw().unsigned_abs(), SeqCst);
    fork(|| {
        assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy));
        in_a_storm(|| {
            for _ in 0..10 {
                let start = Instant::now();
                let (found, waited) = waiting(|| cache.take(&context(), &id(1)));
                assert_eq!(found.unwrap_err(), Miss::Busy);
                assert!(start.elapsed() >= DEADLINE && waited < 2 * DEADLINE, "{waited:?}");
            }
        });
    })
    .join();
    owner.kill();
    assert_whole(&cache);
    assert_eq!(cache.stats().lock_late_wakes, 0, "an interruption is no wake-up that was lost");
}

/// A process's first call looks into /proc for what it is. It read that into a string: a handler
/// that made the first call, and had interrupted malloc, waited for itself.
#[test]
fn a_first_call_may_be_a_handlers_that_interrupted_malloc() {
    let _turn = alone();
    let cache = one_bucket();
    for _ in 0..40 {
        fork(|| {
            interrupt(Some(&cache));
            let mut kept = Vec::new();
            while SIGNALS.load(SeqCst) < 10 {
                kept.push(vec![0_u8; 40 + kept.len() % 400]);
                if kept.len() > 500 {
                    kept.clear();
                }
            }
            assert_eq!(BUSY.load(SeqCst), 0, "nobody else is there");
        })
        .join();
    }
    assert_eq!(cache.stats().lock_deadlines, 0);
}

/// Processes that are all interrupted all the time share one bucket; some handlers use it too.
#[test]
fn all_results_are_right_in_a_storm_of_signals() {
    let _turn = alone();
    const WORKERS: u64 = 3;
    let options = with_buckets(Options::new().processes(8), 1, 32 << 10);
    // On a full machine the owner of a lock may be without a core for longer than usual.
    let cache = options.lock_deadline(Duration::from_secs(5)).create_memfd().expect("a segment");
    let refused = Shared::<AtomicU64>::new();
    join_all((0..WORKERS).map(|worker| {
        fork(|| {
            // Who is interrupted at his first call has no line to count in.
            assert_eq!(cache.size_of(&context(), &id(1000)), Err(Miss::Absent));
            interrupt((worker > 0).then_some(&cache));
            let (mut rng, start) = (Rng::new(worker), Instant::now());
            for serial in 0.. {
                let number = worker * 10 + rng.below(10);
                let bytes = payload(number, serial, rng.within(60, 300) as usize);
                assert!(cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
                let found = cache.get_session(&context(), &id(number)).expect("stored");
                assert_eq!(check(number, found.bytes()), serial);
                let taken = cache.take(&context(), &id(number)).expect("stored");
                assert_eq!(check(number, taken.bytes()), serial);
                if start.elapsed() > Duration::from_secs(1) {
                    break;
                }
            }
            assert!(SIGNALS.load(SeqCst) > 100, "{} signals", SIGNALS.load(SeqCst));
            refused.fetch_add(BUSY.load(SeqCst), SeqCst);
        })
    }));
    let stats = cache.stats();
    assert_eq!(stats.lock_reentered, refused.load(SeqCst), "{stats:?}");
    assert!(stats.lock_reentered > 0, "no handler came at the right moment");
    assert_eq!((stats.recoveries(), stats.repairs, stats.lock_deadlines), (0, 0, 0), "{stats:?}");
    assert!(cache.is_empty());
}
