//! In the segment after a death: whoever comes next wipes what the dead one was at.

use std::thread::sleep;
use std::time::Duration;

use shmtls::{Cache, Options};

use super::canary::{Canary, WORD, segment_bytes};
use super::payload::{Rng, context, id, payload, soon, with_buckets};
use super::procs::{alone, fork};

/// Kills of each kind, and more until one has left a session that is not there.
const KILLS: usize = 40;

fn one_bucket() -> Cache {
    let options = Options::new().processes(32).max_session(8 << 10);
    with_buckets(options, 1, 32 << 10).create_memfd().expect("a segment")
}

/// Stores and lets go again, until it is killed. Behind the canary there is always another session:
/// what a dead one leaves lies between others, not only at the end.
fn live(cache: &Cache, canary: Canary, let_go: fn(&Cache)) {
    canary.with(|bytes| {
        for serial in 0.. {
            let _ = cache.insert(&context(), &id(1), bytes, soon());
            let _ = cache.insert(&context(), &id(20), &payload(20, serial, 100), soon());
            let_go(cache);
        }
    });
}

/// Whatever instruction a worker dies at, the session that it was storing, taking, replacing or
/// moving is either there or nowhere. Half a session behind the last record would stay for years.
#[test]
fn a_repair_leaves_nothing_of_a_session_that_is_not_there() {
    let _turn = alone();
    type LetGo = fn(&Cache);
    let ways: [(&str, LetGo); 4] = [
        ("remove", |cache| assert!(cache.remove(&context(), &id(1)).is_ok())),
        ("take", |cache| drop(cache.take(&context(), &id(1)))),
        ("replace", |cache| {
            let _ = cache.insert(&context(), &id(1), &payload(1, 0, 30), soon());
        }),
        // It must go, for others of its size: a larger one would stay.
        ("evict", |cache| {
            for number in 2..7 {
                let _ = cache.insert(&context(), &id(number), &payload(number, 0, 8 << 10), soon());
            }
        }),
    ];
    let mut rng = Rng::new(0x5ec2e7);
    for (how, let_go) in ways {
        let cache = one_bucket();
        let canary = Canary::new(8 << 10);
        let needles = canary.needles(WORD);
        let found = || needles.found_in(&segment_bytes(&cache));
        let (mut kill, mut halves) = (0, 0);
        while kill < KILLS || halves == 0 && kill < 20 * KILLS {
            kill += 1;
            let child = fork(|| live(&cache, canary, let_go));
            sleep(Duration::from_micros(1500 + rng.below(1500)));
            child.kill();
            let left = found();
            // Repairs the bucket, if it was left in disorder.
            let is_there = cache.size_of(&context(), &id(1)) == Ok(8 << 10);
            halves += usize::from(left > 0 && !is_there);
            let expected = if is_there { needles.len() } else { 0 };
            assert_eq!(found(), expected, "{how}, kill {kill}: {left} pieces before the repair");
            let _ = cache.remove(&context(), &id(1));
            assert_eq!(found(), 0, "{how}, kill {kill}: removed after the repair");
        }
        assert!(halves > 0, "{how}: {kill} kills, none in the middle");
    }
}

/// A writer of the ring that dies leaves half of its keys, or all of those before them.
#[test]
fn a_dead_writers_keys_are_wiped_by_whoever_uses_the_ring_next() {
    let _turn = alone();
    let cache = Options::new().size(1 << 20).processes(32).create_memfd().expect("a segment");
    let (one, other) = (Canary::of_key(), Canary::of_key());
    let needles = [one, other].map(|canary| canary.needles(WORD));
    let found = || needles.each_ref().map(|n| n.found_in(&segment_bytes(&cache)));
    let all = needles[0].len();
    let mut rng = Rng::new(0x5ec2e8);
    cache.keys().publish(vec![one.key()]).expect("valid");
    let (mut kill, mut both) = (0, 0);
    while kill < KILLS || both == 0 && kill < 20 * KILLS {
        kill += 1;
        let child = fork(|| {
            let (one, other) = (one.key(), other.key());
            loop {
                cache.keys().publish(vec![one.clone()]).expect("valid");
                cache.keys().publish(vec![other.clone()]).expect("valid");
            }
        });
        sleep(Duration::from_micros(1000 + rng.below(1000)));
        child.kill();
        both += usize::from(found().iter().all(|found| *found > 0));
        let status = cache.keys().status().expect("a ring");
        assert_eq!(status.keys.len(), 1);
        let mut left = found();
        left.sort_unstable();
        assert_eq!(left, [0, all], "kill {kill}: one key is the ring");
    }
    assert!(both > 0, "{kill} kills, none between the two");
    cache.keys().publish(vec![Canary::of_key().key()]).expect("valid");
    assert_eq!(found(), [0, 0]);
}
