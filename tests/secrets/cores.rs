//! In core dumps: a crash handler uploads them, and support reads them. Nobody who has had a
//! session may have it still when it is of no more use.

use std::thread::sleep;
use std::time::Duration;

use shmtls::{Cache, KeySource, Library, Options};
use zeroize::Zeroizing;

use super::canary::{Canary, PIECE, segment_bytes};
use super::payload::{context, id, payload, soon};
use super::play::Play;
use super::procs::{alone, fork};

/// The search finds what an ordinary program leaves: a copy that it still has. And it is not for
/// want of looking that there is nothing of the segment.
#[test]
fn a_copy_on_the_heap_is_found_in_both_dumps() {
    let _turn = alone();
    let play = Play::new("hoarder");
    let dumps = play.crash("hoarder", || {
        let cache = play.create();
        play.store(&cache, false);
        let session = cache.get_session(&context(), &id(1)).expect("it is there");
        let key = play.key.with(|bytes| bytes.to_vec());
        (cache, session, key)
    });
    for canary in [play.session, play.key] {
        let needles = canary.needles(PIECE);
        let kernel = if dumps.kernel.is_some() { needles.len() } else { 0 };
        assert_eq!(dumps.count(&needles), [needles.len(), kernel]);
    }
}

type Part = fn(&Play) -> Vec<Cache>;

/// What a worker does in its life, each part in a process of its own that crashes at the end, while
/// the segment is mapped and has both secrets.
#[test]
fn no_secret_is_in_the_core_dump_of_who_had_it() {
    let _turn = alone();
    let parts: [(&str, Part); 8] = [
        ("creator", |play| {
            let cache = play.create();
            play.store(&cache, false);
            play.publish(&cache);
            vec![cache]
        }),
        ("inserter", |play| {
            play.prepare();
            let cache = play.attach();
            let _ = cache.remove(&context(), &id(1));
            play.store(&cache, false);
            vec![cache]
        }),
        ("getter", |play| {
            play.prepare();
            let cache = play.attach();
            drop(cache.get_session(&context(), &id(1)).expect("it is there"));
            let mut own = Zeroizing::new(vec![0; 2000]);
            assert_eq!(cache.get(&context(), &id(1), &mut own), Ok(1000));
            vec![cache]
        }),
        ("taker", |play| {
            play.prepare();
            let cache = play.attach();
            let session = cache.take(&context(), &id(1)).expect("it is there");
            drop((session.clone(), session));
            vec![cache]
        }),
        ("resumer", |play| {
            play.prepare();
            let cache = play.attach();
            play.store(&cache, true);
            drop(cache.resume(&context(), &id(1), Library::Raw).expect("it is there"));
            play.store(&cache, true);
            vec![cache]
        }),
        ("attacher", |play| {
            play.prepare();
            vec![play.attach()]
        }),
        ("walker", |play| {
            play.prepare();
            let cache = play.attach();
            let mut seen = 0;
            cache.for_each(|_, bytes| seen += bytes.len());
            assert_eq!(seen, 1000);
            vec![cache]
        }),
        ("worker with the ring", |play| {
            play.prepare();
            let cache = play.attach();
            assert_eq!(cache.keys().status().map(|status| status.keys.len()), Some(1));
            vec![cache]
        }),
    ];
    for (who, part) in parts {
        let play = Play::new("part");
        let dumps = play.crash(who, || part(&play));
        play.assert_clean(who, &dumps);
        // They were there to be dumped.
        let segment = segment_bytes(&play.attach());
        let found = play.key.needles(PIECE).found_in(&segment);
        assert_eq!(found, play.key.needles(PIECE).len(), "{who}");
        let is_taken = who == "taker";
        let found = play.session.needles(PIECE).found_in(&segment);
        let all = play.session.needles(PIECE).len();
        assert_eq!(found, if is_taken { 0 } else { all }, "{who}");
    }
}

/// Reading, as tools do.
#[test]
fn no_secret_is_in_the_core_dump_of_an_inspector() {
    let _turn = alone();
    let play = Play::new("inspector");
    play.prepare();
    let dumps = play.crash("inspector", || {
        let inspector = Options::new().inspect(&play.name.0).expect("it is there");
        let mut seen = 0;
        assert_eq!(inspector.for_each(|entry| seen += entry.len()), 0);
        assert_eq!(inspector.keys().map(|status| status.keys.len()), Some(1));
        assert_eq!((seen, inspector.len()), (1000, 1));
        inspector
    });
    play.assert_clean("inspector", &dumps);
}

/// A worker has its cache and its keys from before the fork, and a rotation has taken place since.
#[test]
fn no_secret_is_in_the_core_dump_of_a_forked_worker() {
    let _turn = alone();
    let play = Play::new("forked");
    let other = Canary::of_key();
    let _parent = fork(|| {
        let cache = play.create();
        play.store(&cache, true);
        play.publish(&cache);
        let _worker = fork(|| {
            drop(cache.resume(&context(), &id(1), Library::Raw).expect("it is there"));
            cache.keys().add(other.key(), 2, KeySource::Api).expect("valid");
            assert_eq!(cache.keys().status().map(|status| status.keys.len()), Some(2));
            play.morgue.crash("worker");
        });
        play.morgue.crash("parent");
    });
    // The worker first: it does not outlive its parent.
    for who in ["worker", "parent"] {
        let dumps = play.morgue.dumps(who);
        play.assert_clean(who, &dumps);
        assert_eq!(
            dumps.count(&other.needles(PIECE)),
            [0, 0],
            "{who}: pieces of the worker's own key"
        );
    }
}

/// A repair reads every session of the bucket, piece by piece.
#[test]
fn no_secret_is_in_the_core_dump_of_who_repaired() {
    let _turn = alone();
    let play = Play::new("repairer");
    play.prepare();
    let cache = play.attach();
    while cache.stats().repairs == 0 {
        let victim = fork(|| {
            loop {
                let _ = cache.insert(&context(), &id(2), &payload(2, 0, 3000), soon());
                let _ = cache.remove(&context(), &id(2));
            }
        });
        sleep(Duration::from_millis(2));
        victim.kill();
        let dumps = play.crash("repairer", || {
            assert_eq!(cache.size_of(&context(), &id(1)), Ok(1000));
        });
        play.assert_clean("repairer", &dumps);
        play.morgue.clear("repairer");
    }
    // A victim that was killed between publishing session 2 and unlocking its bucket leaves that one
    // whole as well. This test once expected it to be gone, and failed in one run of some hundred.
    let kept = cache.stats().repair_kept;
    assert!((1..=2).contains(&kept), "{kept} kept, of session 1 and perhaps session 2");
}
