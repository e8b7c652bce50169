//! In the segment: whichever way a session or a key goes, its bytes go too.

use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

use shmtls::{Cache, Expiry, Inserted, Library, NewSession, Options};

use super::canary::{Canary, Needles, WORD, segment_bytes};
use super::payload::{context, id, payload, soon, with_buckets};
use super::procs::alone;

/// The canary's number.
const CANARY: u64 = 1_000_000;

/// A segment of one bucket, so that whatever is stored meets the canary.
struct Stage {
    cache: Cache,
    canary: Canary,
    needles: Needles,
}

impl Stage {
    fn new() -> Self {
        let options = Options::new().processes(8);
        let cache = with_buckets(options, 1, 32 << 10).create_memfd().expect("a segment");
        let canary = Canary::new(900);
        Self { cache, canary, needles: canary.needles(WORD) }
    }

    /// Stores the canary among others.
    fn store(&self, expiry: Expiry) {
        self.fill(0..6, 100);
        self.store_canary(expiry, false);
        self.fill(6..12, 100);
    }

    fn store_canary(&self, expiry: Expiry, single_use: bool) {
        let stored = self.canary.with(|bytes| {
            let session = NewSession::new(bytes, expiry).single_use(single_use);
            self.cache.store(&context(), &id(CANARY), &session)
        });
        assert!(stored.is_stored(), "{stored:?}");
        self.assert_there();
    }

    fn fill(&self, numbers: Range<u64>, len: usize) {
        for number in numbers {
            let bytes = payload(number, 0, len + (number % 7) as usize * 31);
            assert!(self.cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
        }
    }

    fn is_stored(&self) -> bool {
        self.cache.size_of(&context(), &id(CANARY)).is_ok()
    }

    fn found(&self) -> usize {
        self.needles.found_in(&segment_bytes(&self.cache))
    }

    /// The search finds what there is to be found.
    #[track_caller]
    fn assert_there(&self) {
        assert!(self.is_stored());
        assert_eq!(self.found(), self.needles.len());
    }

    #[track_caller]
    fn assert_gone(&self, how: &str) {
        assert!(!self.is_stored(), "{how}: it is still there");
        assert_eq!(self.found(), 0, "{how}: so many pieces of it are left");
    }
}

/// A slot that no longer points at a session says nothing of its bytes: mod_ssl's caches leave them
/// where they are until something else needs the place.
#[test]
fn a_session_that_is_gone_is_gone_to_the_last_byte() {
    let _turn = alone();
    type Way = fn(&Stage);
    let ways: [(&str, Way); 9] = [
        ("removed", |s| assert_eq!(s.cache.remove(&context(), &id(CANARY)), Ok(true))),
        ("taken", |s| drop(s.cache.take(&context(), &id(CANARY)).expect("it is there"))),
        ("resumed", |s| {
            s.store_canary(soon(), true);
            drop(s.cache.resume(&context(), &id(CANARY), Library::Raw).expect("it is there"));
        }),
        ("replaced by a shorter one", |s| s.fill_as_canary(30)),
        ("replaced by one as long", |s| s.fill_as_canary(900)),
        ("replaced by a longer one", |s| s.fill_as_canary(3000)),
        ("evicted", |s| s.fill(100..200, 700)),
        ("cleared", |s| assert_eq!(s.cache.clear().removed, 13)),
        ("of a context that was removed", |s| {
            assert_eq!(s.cache.remove_context(&context()).removed, 13);
        }),
    ];
    for (how, way) in ways {
        let stage = Stage::new();
        stage.store(soon());
        way(&stage);
        if how.starts_with("replaced") {
            assert_eq!(stage.found(), 0, "{how}");
            assert_eq!(stage.cache.remove(&context(), &id(CANARY)), Ok(true));
        }
        stage.assert_gone(how);
    }
}

impl Stage {
    /// Stores something else in place of the canary.
    fn fill_as_canary(&self, len: usize) {
        let bytes = payload(CANARY, 1, len);
        assert!(self.cache.insert(&context(), &id(CANARY), &bytes, soon()).is_stored());
    }
}

/// An expired session is never found again, and so is never removed by anybody who looks for it.
#[test]
fn a_session_that_expires_is_wiped_by_whoever_meets_it() {
    let _turn = alone();
    type Way = fn(&Stage);
    let ways: [(&str, Way); 4] = [
        ("swept", |s| assert_eq!(s.cache.sweep().removed, 1)),
        ("looked up", |s| assert!(s.cache.get_session(&context(), &id(CANARY)).is_err())),
        ("asked for", |s| assert!(s.cache.take(&context(), &id(CANARY)).is_err())),
        ("in the way", |s| s.fill(100..150, 700)),
    ];
    let stages = ways.map(|way| (way, Stage::new()));
    for (_, stage) in &stages {
        stage.store(Expiry::after(Duration::from_secs(2)));
    }
    sleep(Duration::from_millis(2100));
    for ((how, way), stage) in &stages {
        assert_eq!(stage.found(), stage.needles.len(), "{how}: nobody has met it yet");
        way(stage);
        stage.assert_gone(how);
    }
}

/// Packing a bucket copies sessions towards its start, and what was copied stays behind.
#[test]
fn a_session_that_was_moved_is_in_one_place_only() {
    let _turn = alone();
    // Moved by less than its length, and by more.
    for neighbour in [200, 2000] {
        let stage = Stage::new();
        stage.fill(0..1, neighbour);
        stage.store_canary(soon(), false);
        stage.fill(1..34, 700);
        let before = stage.places();
        let _ = stage.cache.remove(&context(), &id(0));
        // Until one fits neither behind the last nor in the gap: then the bucket is packed.
        for len in (500..8000).step_by(64) {
            stage.fill(200..201, len);
            if stage.places() != before {
                break;
            }
            let _ = stage.cache.remove(&context(), &id(200));
        }
        stage.assert_there();
        let places = stage.places();
        assert!(places.len() == 2 && places[0] < before[0], "{before:?}, then {places:?}");
        assert_eq!(stage.cache.remove(&context(), &id(CANARY)), Ok(true));
        stage.assert_gone("moved and removed");
    }
}

/// The last of them leaves a place that nothing else may take for long.
#[test]
fn a_session_that_was_moved_from_the_end_leaves_nothing_there() {
    let _turn = alone();
    let neighbours = Stage::new().room_for_small_ones();
    let stage = Stage::new();
    stage.fill(0..1, 3000);
    // As much of the rest as the canary does not need.
    stage.fill(1..neighbours - 8, 100);
    stage.store_canary(soon(), false);
    let before = stage.places();
    let _ = stage.cache.remove(&context(), &id(0));
    // Longer than the gap.
    for len in (3000..4500).step_by(16) {
        let bytes = payload(1000, 0, len);
        assert!(stage.cache.insert(&context(), &id(1000), &bytes, soon()).is_stored());
        if stage.places() != before {
            break;
        }
        let _ = stage.cache.remove(&context(), &id(1000));
    }
    stage.assert_there();
    let places = stage.places();
    assert!(places.len() == 2 && places[0] < before[0], "{before:?}, then {places:?}");
    assert_eq!(stage.cache.remove(&context(), &id(CANARY)), Ok(true));
    stage.assert_gone("moved from the end and removed");
}

impl Stage {
    /// How many small sessions fit beside a long one.
    fn room_for_small_ones(&self) -> u64 {
        self.fill(0..1, 3000);
        let fits = |number: &u64| {
            let bytes = payload(*number, 0, 100 + (*number % 7) as usize * 31);
            self.cache.insert(&context(), &id(*number), &bytes, soon()) == Inserted::New
        };
        (1..).take_while(fits).last().expect("some")
    }
}

impl Stage {
    /// Where in the segment the session's first and last bytes are.
    fn places(&self) -> Vec<usize> {
        let bytes = segment_bytes(&self.cache);
        self.canary.with(|secret| {
            let ends = [&secret[..WORD], &secret[secret.len() - WORD..]];
            let is_end = |at: &usize| ends.contains(&&bytes[*at..*at + WORD]);
            (0..bytes.len() - WORD).filter(is_end).collect()
        })
    }
}

/// A key opens every ticket of its time, those that an eavesdropper kept too.
#[test]
fn a_key_that_an_update_drops_is_gone_from_both_copies() {
    let _turn = alone();
    let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
    let canaries: [Canary; 5] = std::array::from_fn(|_| Canary::of_key());
    let found = |n: usize| canaries[n].needles(WORD).found_in(&segment_bytes(&cache));
    let all = canaries[0].needles(WORD).len();
    let publish = |numbers: &[usize]| {
        let keys = numbers.iter().map(|n| canaries[*n].key()).collect();
        cache.keys().publish(keys).expect("valid");
        for n in 0..canaries.len() {
            let expected = if numbers.contains(&n) { all } else { 0 };
            assert_eq!(found(n), expected, "key {n} after {numbers:?}");
        }
    };
    publish(&[0]);
    publish(&[1, 0]);
    publish(&[2, 1]);
    publish(&[3]);
    // What is refused does not get there.
    let refused = cache.keys().publish(vec![canaries[4].key(), canaries[4].key()]);
    refused.expect_err("a repeated name");
    assert_eq!(found(4), 0);
    publish(&[0]);
}
