//! One bucket in private memory: what fits, what goes, and a death at every step.

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::bucket::Found;
use crate::geometry::{Plan, Size};
use crate::hash::IdDigest;
use crate::layout::GHOSTS;
use crate::record::{self, Key};
use crate::segment::BucketImage;
use crate::session::{Context, Expiry, NewSession, SessionId};
use crate::sys::clock::Now;

mod deaths;

const NOW: u32 = 1_000_000;

/// A bucket that behaves as if it were shared.
struct Lab {
    geometry: Geometry,
    image: BucketImage,
}

impl Lab {
    fn new() -> Self {
        let lifetime = Duration::from_secs(3600);
        let size = Size::Bytes(1 << 20);
        let plan = Plan {
            size,
            max_session: 10 << 10,
            members: 1,
            events: 0,
            lifetime,
            seed: 42,
            sealing: 0,
        };
        let geometry = Geometry::plan(&plan).expect("a valid plan");
        let image = BucketImage::new(&geometry);
        Self { geometry, image }
    }

    fn writer(&self) -> Writer<'_> {
        Writer::begin(self.image.bucket(), &self.geometry)
    }

    fn departures(&self) -> Departures {
        Departures::new(true, &self.geometry, Now::read())
    }

    fn stage(&self, n: u8, len: usize, expiry: u32) -> Staged {
        let session = payload(n, len);
        let session = NewSession::new(&session, Expiry::from_unix(expiry));
        record::encode(&self.geometry, &key(n), &session, 1, NOW, None).expect("unsealed")
    }

    /// Stores session `n`, replacing one of its key, as the cache does.
    fn insert(&self, n: u8, len: usize, expiry: u32, now: u32) -> Departures {
        let staged = self.stage(n, len, expiry);
        let mut departures = self.departures();
        let writer = self.writer();
        if let Found::Entry(entry) = self.image.bucket().find(n, &key(n)) {
            writer.remove(&entry, Removal::Replaced, &mut departures);
        }
        writer.insert(&staged, n, now, &mut departures);
        writer.finish();
        departures
    }

    fn remove(&self, n: u8) {
        if let Found::Entry(entry) = self.image.bucket().find(n, &key(n)) {
            let writer = self.writer();
            writer.remove(&entry, Removal::Removed, &mut self.departures());
            writer.finish();
        }
    }

    fn take(&self, n: u8, bytes: &mut Vec<u8>) {
        if let Found::Entry(entry) = self.image.bucket().find(n, &key(n)) {
            let writer = self.writer();
            writer.take(&entry, bytes, &mut self.departures());
            writer.finish();
        }
    }

    fn repair(&self) -> crate::repair::Repaired {
        let writer = self.writer();
        let repaired = writer.repair();
        writer.finish();
        repaired
    }

    /// Every session by number, each checked byte by byte.
    fn sessions(&self) -> BTreeMap<u8, usize> {
        let bucket = self.image.bucket();
        let mut sessions = BTreeMap::new();
        for entry in bucket.entries() {
            let mut bytes = Vec::with_capacity(self.geometry.max_record_bytes());
            bucket.copy_out(&entry, &mut bytes);
            assert!(record::is_whole(self.geometry.seed, &bytes), "a torn record");
            let n = record::load_key(bucket.body, entry.at, &entry.head).id.as_bytes()[0];
            let found = &bytes[record::PAYLOAD_AT..][..entry.head.payload_len];
            assert_eq!(found, payload(n, found.len()), "session {n} has wrong bytes");
            assert_eq!(sessions.insert(n, found.len()), None, "session {n} is there twice");
        }
        sessions
    }

    /// What must hold whenever nobody is in the bucket.
    fn check(&self) {
        let bucket = self.image.bucket();
        assert!(bucket.header.generation.load(Relaxed).is_multiple_of(2));
        assert_eq!(bucket.header.move_slot.load(Relaxed), 0);
        let slots = bucket.slot_count();
        assert!(slots.is_multiple_of(2) || bucket.slot(slots) == Slot::EMPTY);
        let mut free = vec![true; bucket.records(slots).len()];
        for entry in bucket.entries() {
            for word in &mut free[entry.at..entry.at + entry.head.words()] {
                assert!(std::mem::replace(word, false), "two records in one place");
            }
        }
        let end = bucket.header.records_end.load(Relaxed) as usize;
        for (at, word) in bucket.records(slots).iter().enumerate().filter(|(at, _)| free[*at]) {
            assert_eq!(word.load(Relaxed), 0, "free word {at} still holds bytes of a session");
        }
        assert!(free[end..].iter().all(|free| *free), "a record behind the end");
    }
}

/// A miss that could not tell a session that had to go from one that had never been there left the
/// operator to guess whether more memory would help.
#[test]
fn a_bucket_remembers_whom_it_evicted_last() {
    let lab = Lab::new();
    let ghost = |n| IdDigest::of(lab.geometry.seed, &key(n).id).ghost();
    let bucket = lab.image.bucket();
    for n in 0..200 {
        lab.insert(n, 1500, NOW + 1000, NOW);
    }
    let evictions = bucket.header.evictions.load(Relaxed) as usize;
    assert_eq!(evictions, 200 - bucket.len());
    // They went in the order in which they had come.
    for n in 0..evictions {
        let since = (evictions - 1 - n < GHOSTS).then_some(evictions - 1 - n);
        assert_eq!(bucket.evicted_since(ghost(n as u8)), since, "session {n}");
    }
    assert_eq!(bucket.evicted_since(ghost(199)), None, "it is there");
    lab.remove(199);
    assert_eq!(bucket.evicted_since(ghost(199)), None, "removed, not evicted");
}

fn key(n: u8) -> Key {
    let mut id = [n; 32];
    id[1] = !n;
    Key { context: Context::named("bucket"), id: SessionId::new(&id).expect("32 bytes") }
}

/// Bytes that tell whose they are at every place.
fn payload(n: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| n ^ (i as u8).wrapping_mul(31) | 1).collect()
}

/// Sizes that leave a bucket of 32 KiB nearly full, with overlapping moves ahead.
fn fill(lab: &Lab) {
    for n in 1..=20 {
        let len = 600 + usize::from(n) * 85;
        let expiry = if n == 4 { NOW + 5 } else { NOW + 100 };
        let departures = lab.insert(n, len, expiry, NOW + u32::from(n));
        assert_eq!((departures.evicted, departures.expired), (0, 0));
    }
}

#[test]
fn an_expired_session_gives_way_before_any_live_one() {
    let lab = Lab::new();
    fill(&lab);
    let departures = lab.insert(99, 2000, NOW + 100, NOW + 50);
    assert_eq!((departures.expired, departures.evicted), (1, 0));
    let sessions = lab.sessions();
    assert!(!sessions.contains_key(&4) && sessions.contains_key(&99));
    assert_eq!(sessions.len(), 20);
    lab.check();
}

#[test]
fn the_least_recently_used_goes_first() {
    let lab = Lab::new();
    for n in 1..=19 {
        let departures = lab.insert(n, 1500, NOW + 3000, NOW + u32::from(n));
        assert_eq!(departures.evicted, 0);
    }
    let bucket = lab.image.bucket();
    let Found::Entry(entry) = bucket.find(1, &key(1)) else { panic!("session 1 is there") };
    bucket.touch(&entry, lab.geometry.use_tick(NOW + 1000), || true);
    let departures = lab.insert(99, 9000, NOW + 3000, NOW + 1000);
    assert_eq!(departures.evicted, 4);
    let told = departures.told.expect("keys were asked for");
    assert!(told.iter().all(|(key, reason)| {
        *reason == Removal::Evicted && key.id.as_bytes()[0] != 1 && key.id.as_bytes()[0] != 99
    }));
    let sessions = lab.sessions();
    assert!(sessions.contains_key(&1), "it was used last");
    assert!((2..=5).all(|n| !sessions.contains_key(&n)) && sessions.contains_key(&6));
    lab.check();
}

/// HAProxy and nginx lose room to removed entries; here it is used before anything live goes.
#[test]
fn room_of_removed_sessions_is_used_before_any_live_one_goes() {
    let lab = Lab::new();
    fill(&lab);
    for n in [2, 6, 7, 11] {
        lab.remove(n);
        lab.check();
    }
    let departures = lab.insert(99, 2000, NOW + 100, NOW);
    assert_eq!((departures.expired, departures.evicted), (0, 0));
    assert_eq!(lab.sessions().len(), 17);
    lab.check();
}

#[test]
fn the_largest_session_fits_every_bucket() {
    let lab = Lab::new();
    fill(&lab);
    let _ = lab.insert(99, 10 << 10, NOW + 100, NOW);
    assert_eq!(lab.sessions().get(&99), Some(&(10 << 10)));
    lab.check();
}

#[test]
fn more_sessions_than_slots_evict() {
    let lab = Lab::new();
    let slots = lab.geometry.bucket_slots as usize;
    for n in 0..slots as u64 + 50 {
        let id = SessionId::new(&n.to_le_bytes()).expect("8 bytes");
        let key = Key { id, context: Context::named("bucket") };
        let session = NewSession::new(b"small", Expiry::from_unix(NOW + 100));
        let staged = record::encode(&lab.geometry, &key, &session, 1, NOW, None);
        let (writer, mut departures) = (lab.writer(), lab.departures());
        writer.insert(&staged.expect("unsealed"), n as u8, NOW, &mut departures);
        writer.finish();
        assert_eq!(departures.evicted, u64::from(n >= slots as u64));
    }
    assert_eq!(lab.image.bucket().len(), slots);
    lab.check();
}

/// A bucket full of noise must neither crash nor hang, and must be usable afterwards.
#[test]
fn repair_makes_a_bucket_out_of_any_bytes() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for round in 0..300 {
        let lab = Lab::new();
        fill(&lab);
        let bucket = lab.image.bucket();
        for _ in 0..1 + round % 40 {
            let (word, _) = bucket.slot_place(next() as usize % 24);
            word.store(next(), Relaxed);
            bucket.body[next() as usize % bucket.body.len()].store(next(), Relaxed);
        }
        let header = bucket.header;
        for word in [
            &header.move_slot,
            &header.move_from,
            &header.move_to,
            &header.move_words,
            &header.move_done,
            &header.records_end,
            &header.slot_count,
        ] {
            word.store((next() as u32) >> (next() % 32), Relaxed);
        }
        if round % 2 == 0 {
            // Not even repaired: the operations themselves must bear it.
            let _ = lab.insert(98, 2000, NOW + 100, NOW + 50);
            lab.remove(3);
            lab.take(8, &mut Vec::with_capacity(lab.geometry.max_record_bytes()));
        }
        lab.repair();
        lab.check();
        let _ = lab.insert(99, 700, NOW + 100, NOW);
        assert!(lab.sessions().contains_key(&99));
        lab.check();
    }
}

/// Somebody overwrote the number of slots again and again, and a repair that loaded it more than
/// once cut a slice that ended before it began: the server panicked.
#[test]
fn a_number_of_slots_that_changes_under_a_repair_crashes_nobody() {
    let lab = Lab::new();
    let is_over = AtomicBool::new(false);
    let count = &lab.image.bucket().header.slot_count;
    thread::scope(|scope| {
        scope.spawn(|| {
            // For as long as a repair takes, and longer and less.
            for micros in (0..1000).cycle().step_by(7).take_while(|_| !is_over.load(Relaxed)) {
                count.store(256, Relaxed);
                thread::sleep(Duration::from_micros(100));
                count.store(4, Relaxed);
                thread::sleep(Duration::from_micros(micros));
            }
        });
        let end = Instant::now() + Duration::from_millis(300);
        let repairs = || {
            while Instant::now() < end {
                (0..4).for_each(|n| drop(lab.insert(n, 8000, NOW + 100, NOW)));
                lab.repair();
            }
        };
        let panicked = panic::catch_unwind(AssertUnwindSafe(repairs));
        is_over.store(true, Relaxed);
        assert!(panicked.is_ok());
    });
}

/// A new slot lay over the end of the last record, where a gap between others had taken the new
/// record: that one was lost when somebody looked next, and nobody had counted it.
#[test]
fn nobody_leaves_a_full_bucket_unnoticed() {
    for round in 1..=20 {
        let lab = Lab::new();
        let mut there = 0;
        for n in 0..400_u64 {
            let len = [140, 200, 260, 600, 900, 3000][(n * n / round % 6) as usize];
            let id = SessionId::new(&n.to_le_bytes()).expect("8 bytes");
            let key = Key { id, context: Context::named("bucket") };
            let bytes = vec![1; len];
            let session = NewSession::new(&bytes, Expiry::from_unix(NOW + 100));
            let staged = record::encode(&lab.geometry, &key, &session, 1, NOW, None);
            let (writer, mut departures) = (lab.writer(), lab.departures());
            writer.insert(&staged.expect("unsealed"), n as u8, NOW, &mut departures);
            writer.finish();
            there = there + 1 - departures.evicted;
            assert_eq!(lab.image.bucket().len() as u64, there, "session {n}");
            lab.check();
        }
        assert_eq!(lab.repair(), crate::repair::Repaired { kept: there, lost: 0 });
    }
}
