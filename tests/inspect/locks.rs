//! Who holds which lock, as somebody sees it who takes none.

use std::time::{Duration, Instant};
use std::{iter, thread};

use shmtls::{BucketInfo, LockState, TicketKey};

use crate::lab::{BUCKET, LOCK, Lab, OTHER, OWNER_DIED};
use crate::payload::{Rng, id, payload, soon};
use crate::procs::{Child, fork};
use crate::window::{KEYS_LOCK, MEMBERS_LOCK};

const WAITERS: u32 = 1 << 31;

/// Every kind of lock word, in each of the three places.
#[test]
fn each_lock_word_is_read_as_the_contract_has_it() {
    let lab = Lab::new();
    let words = [
        (0, LockState::Free),
        (WAITERS, LockState::Free),
        (OWNER_DIED, LockState::OwnerDied),
        (OWNER_DIED | WAITERS, LockState::OwnerDied),
        (77, LockState::Held { tid: 77, waiters: false }),
        (77 | WAITERS, LockState::Held { tid: 77, waiters: true }),
        (77 | OWNER_DIED, LockState::Claimed { tid: 77 }),
        (77 | OWNER_DIED | WAITERS, LockState::Claimed { tid: 77 }),
    ];
    for (word, state) in words {
        lab.set_header(LOCK, word);
        assert_eq!(lab.inspector.bucket(BUCKET).lock(), state);
        let held: Vec<usize> = lab.inspector.held_locks().map(|bucket| bucket.index()).collect();
        let expected = if state == LockState::Free { vec![] } else { vec![BUCKET] };
        assert_eq!(held, expected, "{state:?}");
        lab.window.set(MEMBERS_LOCK, word);
        assert_eq!(lab.inspector.table_lock(), state);
        lab.window.set(KEYS_LOCK, word);
        assert_eq!(lab.inspector.keys_lock(), state);
        [MEMBERS_LOCK, KEYS_LOCK].iter().for_each(|at| lab.window.set(*at, 0));
    }
}

/// A worker at work passes through both buckets all the time. Stopped in one it holds that lock,
/// and killed there it leaves it to whoever comes.
#[test]
fn held_locks_names_the_stopped_and_the_dead() {
    let lab = Lab::new();
    let worker = fork(|| {
        loop {
            assert_eq!(lab.cache.sweep().removed, 0);
        }
    });
    let held = stop_in_a_bucket(&lab, &worker);
    let tid = worker.pid().as_raw().cast_unsigned();
    assert_eq!(held.lock(), LockState::Held { tid, waiters: false });
    assert_eq!(
        lab.inspector.buckets().filter(|bucket| bucket.lock() != LockState::Free).count(),
        1
    );

    worker.kill();
    let held: Vec<BucketInfo> = lab.inspector.held_locks().collect();
    let [bucket] = held[..] else { panic!("{held:?}") };
    assert_eq!(bucket.lock(), LockState::OwnerDied);
    assert!([BUCKET, OTHER].contains(&bucket.index()));
    lab.cache.repair(bucket.index()).expect("nobody else is there");
    assert_eq!(lab.inspector.held_locks().count(), 0);
    assert_eq!(lab.cache.stats().owner_died_kernel, 1);
    lab.assert_clean();
}

/// Nobody looks while a bucket is free, and nobody has the other locks but for a moment.
#[test]
fn at_rest_no_lock_is_held() {
    let lab = Lab::new();
    let key = TicketKey::random().expect("random bytes");
    lab.cache.keys().publish(vec![key]).expect("nobody else is there");
    drop(lab.attach());
    assert!(
        lab.cache
            .insert(&crate::payload::context(), &id(1), &payload(1, 9, 300), soon())
            .is_stored()
    );
    assert_eq!(lab.inspector.held_locks().count(), 0);
    let others = (lab.inspector.table_lock(), lab.inspector.keys_lock());
    assert_eq!(others, (LockState::Free, LockState::Free));
}

/// It spends its life in there, so stopping it at random moments soon succeeds.
fn stop_in_a_bucket(lab: &Lab, worker: &Child) -> BucketInfo {
    let (mut rng, start) = (Rng::new(7), Instant::now());
    let attempts = iter::from_fn(|| {
        assert!(start.elapsed() < Duration::from_secs(20), "never stopped in its lock");
        worker.resume();
        thread::sleep(Duration::from_micros(rng.below(2000)));
        worker.stop();
        Some(lab.inspector.held_locks().next())
    });
    attempts.flatten().next().expect("it goes on until then")
}
