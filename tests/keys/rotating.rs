//! Rotation by several processes: one key per interval, on time, whoever is killed, and known to
//! everybody before it is used.

use std::collections::HashMap;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use shmtls::{Cache, KeyFingerprint, KeyRole, KeySource, KeyStatus, Rotation};

use super::procs::{self, Child, alone, join_all};
use super::raw::key;
use super::scoreboard::{Barrier, Shared};
use super::segment;

const INTERVAL: Duration = Duration::from_millis(1000);
const DELAY: Duration = Duration::from_millis(1000);
/// What a full machine may add to a wait.
const SLACK: Duration = Duration::from_millis(900);

fn rotation() -> Rotation {
    Rotation::every(INTERVAL).activation_delay(DELAY)
}

/// A process that takes part in the rotation and does nothing else.
fn participant(cache: &Cache, started: &Barrier, parties: u32) -> Child {
    procs::fork(|| {
        let _rotator = cache.rotate_keys(rotation()).expect("a thread");
        started.wait(parties);
        thread::sleep(Duration::from_secs(100));
    })
}

/// One epoch as it was seen from outside.
struct Seen {
    at: Instant,
    status: KeyStatus,
}

/// Looks at the ring until `epochs` have come, and hands each to `then`.
fn observe(cache: &Cache, epochs: u64, mut then: impl FnMut(&Seen)) -> Vec<Seen> {
    let mut seen: Vec<Seen> = Vec::new();
    let start = Instant::now();
    while seen.last().is_none_or(|last| last.status.epoch < epochs) {
        assert!(start.elapsed() < (INTERVAL + SLACK) * epochs as u32, "rotation has stopped");
        let status = cache.keys().status().expect("keys");
        if seen.last().is_none_or(|last| last.status.epoch < status.epoch) {
            seen.push(Seen { at: Instant::now(), status });
            then(seen.last().expect("pushed"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    seen
}

/// Each epoch follows from the one before, an interval later.
fn check_cadence(seen: &[Seen]) {
    for pair in seen.windows(2) {
        let (before, after) = (&pair[0], &pair[1]);
        assert_eq!(after.status.epoch, before.status.epoch + 1, "an epoch was not seen");
        assert_eq!(after.status.source, KeySource::Rotation);
        assert_eq!(after.status.keys.len(), before.status.keys.len() + 1);
        let names = |seen: &Seen| seen.status.keys.iter().map(|k| k.fingerprint).collect();
        let (old, new): (Vec<KeyFingerprint>, Vec<KeyFingerprint>) = (names(before), names(after));
        assert_eq!(new[1..], old, "the keys of before are all there");
        let gap = after.at - before.at;
        assert!(gap > INTERVAL - Duration::from_millis(250), "too early: {gap:?}");
        assert!(gap < INTERVAL + SLACK, "too late: {gap:?}");
    }
}

/// nginx rotates when a handshake comes by, and a quiet server keeps its key for days. Here nobody
/// shakes hands, and whoever has made a key is killed for it.
#[test]
fn keys_are_rotated_on_time_without_a_handshake_whoever_dies() {
    let _turn = alone();
    const PROCESSES: u32 = 4;
    let (cache, started) = (segment(), Shared::<Barrier>::new());
    let mut children: Vec<Child> =
        (0..PROCESSES).map(|_| participant(&cache, &started, PROCESSES + 1)).collect();
    started.wait(PROCESSES + 1);
    let mut killed = 0;
    let seen = observe(&cache, 7, |seen| {
        let maker = seen.status.writer_pid;
        let at = children.iter().position(|child| child.pid().as_raw() as u32 == maker);
        let at = at.expect("one of ours has made the key, and the dead make none");
        // One stays, and goes on alone.
        if children.len() > 1 {
            children.remove(at).kill();
            killed += 1;
        }
    });
    assert_eq!(killed, 3);
    check_cadence(&seen);
}

/// A process that has not heard of a key cannot decrypt with it: that is what the delay is for.
#[test]
fn a_key_is_known_to_all_for_the_activation_delay_before_anybody_encrypts_with_it() {
    let _turn = alone();
    const PROCESSES: u32 = 3;
    let (cache, started) = (segment(), Shared::<Barrier>::new());
    let board = Shared::<[AtomicU32; 2]>::new();
    let children: Vec<Child> =
        (0..PROCESSES).map(|_| participant(&cache, &started, PROCESSES + 2)).collect();
    let straggler = procs::fork(|| {
        started.wait(PROCESSES + 2);
        let before = cache.keys().status().expect("the first key");
        while board[0].load(SeqCst) == 0 {
            thread::sleep(Duration::from_millis(5));
        }
        // A process that slept through it all has the newest ring with its first look.
        let after = cache.keys().status().expect("keys");
        assert!(after.epoch >= before.epoch + 4);
        let current = |status: &KeyStatus| {
            let current = status.keys.iter().find(|key| key.role == KeyRole::Current);
            current.expect("one encrypts").fingerprint
        };
        assert_ne!(current(&before), current(&after));
        let known = after.keys.iter().find(|key| key.fingerprint == current(&before));
        let role = known.map(|key| key.role);
        assert_eq!(role, Some(KeyRole::Previous), "its tickets of before still decrypt");
    });
    started.wait(PROCESSES + 2);

    let (start, mut roles) = (Instant::now(), Vec::new());
    let mut published: HashMap<KeyFingerprint, Instant> = HashMap::new();
    let mut encrypts: HashMap<KeyFingerprint, Instant> = HashMap::new();
    while start.elapsed() < INTERVAL * 6 {
        let now = Instant::now();
        let status = cache.keys().status().expect("keys");
        let of_role = |role| status.keys.iter().filter(move |key| key.role == role);
        assert_eq!(of_role(KeyRole::Current).count(), 1, "{status:?}");
        assert!(of_role(KeyRole::Next).count() <= 3, "{status:?}");
        for key in &status.keys {
            published.entry(key.fingerprint).or_insert(now);
        }
        for key in of_role(KeyRole::Current) {
            encrypts.entry(key.fingerprint).or_insert(now);
        }
        roles = status.keys.iter().map(|key| key.role).collect();
        thread::sleep(Duration::from_millis(2));
    }
    board[0].store(1, SeqCst);
    straggler.join();
    drop(children);

    assert!(encrypts.len() >= 4, "{} keys took their turn", encrypts.len());
    let mut waits: Vec<Duration> =
        encrypts.iter().map(|(key, turn)| *turn - published[key]).collect();
    waits.sort_unstable();
    // The very first key encrypts at once: there was none before.
    assert!(waits[0] < SLACK);
    // We may have seen the key a moment late, but not its turn early.
    assert!(waits[1] + Duration::from_millis(100) > DELAY, "{waits:?}");
    let first_previous = roles.iter().position(|role| *role == KeyRole::Previous);
    let last_next = roles.iter().rposition(|role| *role == KeyRole::Next);
    assert!(last_next < first_previous, "next, current, previous: {roles:?}");
}

/// Whoever publishes by hand starts the interval anew: rotation goes on from there.
#[test]
fn an_update_by_hand_puts_off_the_next_rotation() {
    let _turn = alone();
    let cache = segment();
    let rotator = cache.rotate_keys(rotation()).expect("a thread");
    thread::sleep(INTERVAL / 2);
    let by_hand = cache.keys().publish(vec![key(1)]).expect("valid");
    let at = Instant::now();
    let seen = observe(&cache, by_hand.epoch + 1, |_| ());
    let gap = seen.last().expect("seen").at - at;
    assert!(gap > INTERVAL - Duration::from_millis(250) && gap < INTERVAL + SLACK, "{gap:?}");
    let keys = &seen.last().expect("seen").status.keys;
    assert_eq!(keys.len(), 2, "the new one, and the one by hand");
    assert_eq!(keys[1].fingerprint, key(1).fingerprint());
    drop(rotator);
    let epoch = cache.keys().epoch();
    thread::sleep(INTERVAL + INTERVAL / 2);
    assert_eq!(cache.keys().epoch(), epoch, "nobody rotates any more");
}

/// `fork` copies no threads: a child that dropped what it had inherited waited for one for ever.
#[test]
fn a_forked_child_may_drop_the_rotator_that_it_inherited() {
    let _turn = alone();
    let cache = segment();
    let rotator = cache.rotate_keys(rotation()).expect("a thread");
    let mut rotator = Some(rotator);
    let children: Vec<Child> = (0..50).map(|_| procs::fork(|| drop(rotator.take()))).collect();
    join_all(children);
    assert_eq!(cache.keys().rotate_if_due(&rotation()).expect("no error"), None);
}

/// The election, without waiting: of all that find the ring too old, one makes the key.
#[test]
fn of_many_processes_that_find_it_due_one_rotates() {
    let _turn = alone();
    const PROCESSES: u32 = 8;
    const ROUNDS: u32 = 15;
    let (cache, barrier) = (segment(), Shared::<Barrier>::new());
    let made = Shared::<[AtomicU32; ROUNDS as usize]>::new();
    let often = Rotation::every(Duration::from_millis(100));
    let children = (0..PROCESSES).map(|_| {
        procs::fork(|| {
            for made in made.iter() {
                thread::sleep(Duration::from_millis(110));
                barrier.wait(PROCESSES);
                let published = cache.keys().rotate_if_due(&often).expect("no error");
                made.fetch_add(published.is_some().into(), SeqCst);
                barrier.wait(PROCESSES);
            }
        })
    });
    join_all(children.collect::<Vec<Child>>());
    let made: Vec<u32> = made.iter().map(|made| made.load(SeqCst)).collect();
    assert_eq!(made, vec![1; ROUNDS as usize]);
    assert_eq!(cache.keys().epoch(), u64::from(ROUNDS));
}
