//! Of any number of takers in any processes exactly one wins.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use shmtls::{Cache, Inserted, Library, Miss, NewSession, Options};

use super::payload::{Rng, check, context, id, payload, soon};
use super::procs::{alone, fork, join_all};
use super::scoreboard::{Barrier, Shared};

const PROCESSES: u64 = 4;
const THREADS: u64 = 16;
const ROUNDS: u64 = 10_000;

/// 64 threads in 4 processes start at the same session at once, 10,000 times. Half of them take,
/// the others do what a handshake does.
#[test]
fn exactly_one_of_64_takers_wins() {
    let _turn = alone();
    let cache = Options::new().size(8 << 20).create_memfd().expect("a segment");
    for number in 0..ROUNDS {
        let bytes = payload(number, number, 100);
        let session = NewSession::new(&bytes, soon()).single_use(true);
        assert_eq!(cache.store(&context(), &id(number), &session), Inserted::New);
    }
    let start = Shared::<Barrier>::new();
    let wins = Shared::<[AtomicU64; ROUNDS as usize]>::new();
    let taker = |which: u64| {
        for number in 0..ROUNDS {
            start.wait((PROCESSES * THREADS) as u32);
            let won = match which % 2 {
                0 => cache.take(&context(), &id(number)),
                _ => cache.resume(&context(), &id(number), Library::Raw),
            };
            match won {
                Ok(session) => {
                    assert_eq!(check(number, session.bytes()), number);
                    wins[number as usize].fetch_add(1, SeqCst);
                }
                Err(Miss::Absent | Miss::Evicted | Miss::Busy) => {}
                Err(miss) => panic!("session {number}: {miss:?}"),
            }
        }
    };
    let taker = &taker;
    join_all((0..PROCESSES).map(|_| {
        fork(|| {
            thread::scope(|scope| {
                for which in 0..THREADS {
                    scope.spawn(move || taker(which));
                }
            });
        })
    }));
    let wrong: Vec<_> = (0..ROUNDS).filter(|n| wins[*n as usize].load(SeqCst) != 1).collect();
    assert!(wrong.is_empty(), "not exactly one winner: {wrong:?}");
    let stats = cache.stats();
    assert_eq!((stats.taken, stats.hits), (ROUNDS, ROUNDS));
    assert_eq!(stats.misses(), ROUNDS * (PROCESSES * THREADS - 1));
    assert!(cache.is_empty());
}

const STORES: u64 = 20_000;
const IDS: u64 = 3;

/// What goes in comes out once: each session that was stored is taken, or replaced, or still there,
/// while others read the same ids.
#[test]
fn taking_against_storing_and_reading_loses_and_doubles_nothing() {
    let _turn = alone();
    // On a full machine the owner of a lock may be without a core for longer than usual.
    let options = Options::new().size(1 << 20).lock_deadline(Duration::from_secs(5));
    let cache = options.create_memfd().expect("a segment");
    let takes = Shared::<[AtomicU64; 2 * STORES as usize]>::new();
    let running = Shared::<AtomicU64>::new();
    running.store(2, SeqCst);
    let storer = |which: u64| {
        let mut rng = Rng::new(which);
        for serial in which * STORES..(which + 1) * STORES {
            let number = rng.below(IDS);
            let bytes = payload(number, serial, rng.within(60, 1200) as usize);
            let outcome = cache.insert(&context(), &id(number), &bytes, soon());
            assert!(outcome.is_stored(), "{outcome:?}");
        }
        running.fetch_sub(1, SeqCst);
    };
    let taker = |which: u64| {
        let mut rng = Rng::new(which);
        while running.load(SeqCst) > 0 {
            take_or_read(&cache, rng.below(IDS), rng.one_in(2), &*takes);
        }
    };
    let (storer, taker) = (&storer, &taker);
    join_all([0, 1].map(|which| {
        fork(|| {
            thread::scope(|scope| {
                scope.spawn(move || storer(which));
                scope.spawn(move || taker(10 + which));
                scope.spawn(move || taker(20 + which));
            });
        })
    }));
    let taken: u64 = takes.iter().map(|times| times.load(SeqCst)).sum();
    assert!(takes.iter().all(|times| times.load(SeqCst) <= 1), "taken twice");
    let stats = cache.stats();
    assert_eq!(stats.stored_new + stats.stored_replaced, 2 * STORES);
    assert_eq!((stats.taken, stats.evicted), (taken, 0));
    assert_eq!(taken + stats.stored_replaced + cache.len() as u64, 2 * STORES);
    assert!(taken > 0 && stats.stored_replaced > 0 && stats.foreign_hits > 0, "{stats:?}");
}

fn take_or_read(cache: &Cache, number: u64, take: bool, takes: &[AtomicU64]) {
    if take {
        if let Ok(session) = cache.take(&context(), &id(number)) {
            takes[check(number, session.bytes()) as usize].fetch_add(1, SeqCst);
        }
        return;
    }
    let Ok(session) = cache.get_session(&context(), &id(number)) else { return };
    let serial = check(number, session.bytes());
    if takes[serial as usize].load(SeqCst) > 0 {
        let again = cache.get_session(&context(), &id(number));
        let again = again.map(|session| check(number, session.bytes()));
        assert_ne!(again, Ok(serial), "it has been taken and is still there");
    }
}
