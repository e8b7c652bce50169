//! What a lookup copied, and what it was to copy.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::*;
use crate::geometry::{Plan, Size};
use crate::hash;
use crate::record::Staged;
use crate::segment::BucketImage;
use crate::session::{Context, Expiry, NewSession, SessionId};
use crate::sys::clock::Now;

const EXPIRY: u32 = 2_000_000;

fn geometry() -> Geometry {
    let (size, lifetime) = (Size::Bytes(1 << 20), Duration::from_secs(3600));
    let (members, events) = (1, 0);
    let plan =
        Plan { size, max_session: 10 << 10, members, events, lifetime, seed: 42, sealing: 0 };
    Geometry::plan(&plan).expect("a valid plan")
}

fn key(context: &str, id: &[u8]) -> Key {
    Key { context: Context::named(context), id: SessionId::new(id).expect("1 to 32 bytes") }
}

fn stage(key: &Key, bytes: &[u8], expiry: u32) -> Staged {
    let session = NewSession::new(bytes, Expiry::from_unix(expiry));
    record::encode(&geometry(), key, &session, 1, EXPIRY - 100, None).expect("no seal")
}

/// What a lookup of `wanted` makes of the bytes of `copied`.
fn outcome(wanted: (&Key, &Staged), copied: Staged) -> Result<Session, Miss> {
    let (key, staged) = wanted;
    let found = Copied { head: staged.head, library: Library::Raw, taken: false };
    found.into_session(copied.bytes, key, (&geometry(), None), 1)
}

/// Somebody wrote a zero to a lock that was held. The next owner moved another session to where the
/// first had just found its own, and that got the other's bytes, whole and with a right check.
#[test]
fn a_record_that_is_not_the_one_that_was_found_is_damaged() {
    let (mine, bytes) = (key("a", b"mine"), b"bytes of mine");
    let wanted = stage(&mine, bytes, EXPIRY);
    let same = outcome((&mine, &wanted), stage(&mine, bytes, EXPIRY));
    assert_eq!(same.expect("the very record").bytes(), bytes);

    let others = [
        stage(&key("a", b"your"), bytes, EXPIRY),
        stage(&key("a", b"mine\0"), bytes, EXPIRY),
        stage(&key("b", b"mine"), bytes, EXPIRY),
        // As many words, another length; and another end.
        stage(&mine, b"bytes of min", EXPIRY),
        stage(&mine, bytes, EXPIRY + 1),
    ];
    for other in others {
        assert_eq!(outcome((&mine, &wanted), other).err(), Some(Miss::Damaged));
    }
}

/// A bucket of its own, with one session in it.
struct Lab {
    geometry: Geometry,
    image: BucketImage,
    key: Key,
}

impl Lab {
    fn new(expiry: u32, single_use: bool) -> Self {
        let (geometry, key) = (geometry(), key("a", b"there"));
        let lab = Self { image: BucketImage::new(&geometry), geometry, key };
        let session = NewSession::new(b"bytes", Expiry::from_unix(expiry)).single_use(single_use);
        let staged = record::encode(&geometry, &key, &session, 1, EXPIRY - 100, None);
        let writer = Writer::begin(lab.image.bucket(), &lab.geometry);
        let tag = lab.place(&key).tag;
        let mut departures = lab.departures();
        writer.insert(&staged.expect("no seal"), tag, EXPIRY - 100, &mut departures);
        writer.finish();
        lab
    }

    fn place(&self, key: &Key) -> Place {
        Place { bucket: 0, ..hash::locate(self.geometry.seed, &key.id, 1) }
    }

    fn departures(&self) -> Departures {
        Departures::new(false, &self.geometry, Now::read())
    }

    fn look(&self, want: Want, key: &Key) -> (Glimpse, SecretBytes) {
        let (mut bytes, mut departures) = (SecretBytes::with_capacity(0), self.departures());
        let key = (self.place(key), key);
        let results = (&mut bytes, &mut departures);
        let glimpse = want.glimpse(self.image.bucket(), &self.geometry, key, results);
        (glimpse, bytes)
    }

    /// The bytes of the session that is there.
    fn hit(&self) -> Result<Session, Miss> {
        let (Glimpse::Copied(copied), record) = self.look(Want::RESUME, &self.key) else {
            panic!("not copied")
        };
        copied.into_session(record, &self.key, (&self.geometry, None), 1)
    }

    /// The session as it was found, and the slot's word.
    fn found(&self) -> (Entry, &AtomicU64) {
        let entry = self.image.bucket().entries().next().expect("one");
        (entry, self.image.bucket().slot_place(entry.slot).0)
    }

    fn set_generation(&self, generation: u32) {
        self.image.bucket().header.generation.store(generation, Relaxed);
    }
}

/// A server whose worker is stopped in the midst of a change must not stop with it: who finds what
/// he looks for has it. But nobody may believe that a session is not there which is just being
/// moved.
#[test]
fn a_hit_needs_no_lock_and_a_miss_needs_a_bucket_at_rest() {
    let lab = Lab::new(u32::MAX, false);
    let absent = key("a", b"not there");
    let other_context = key("b", b"there");
    for generation in [2, 3] {
        lab.set_generation(generation);
        assert_eq!(lab.hit().expect("it is there").bytes(), b"bytes");
        for (key, miss) in [(&absent, Miss::Absent), (&other_context, Miss::OtherContext)] {
            match lab.look(Want::COPY, key).0 {
                Glimpse::Missed(found) => assert_eq!((found, generation), (miss, 2)),
                Glimpse::Unsure { .. } => assert_eq!(generation, 3),
                Glimpse::Copied(_) => panic!("{generation}: copied"),
            }
        }
    }
}

/// A lookup was preempted between its copy and its note. Meanwhile its session was evicted, slots
/// were packed, and a record took their words; one that had the position in the right place. Hits
/// and tick went into the bytes of that session, and it was lost.
#[test]
fn a_note_that_comes_late_changes_no_other_sessions_bytes() {
    let lab = Lab::new(u32::MAX, false);
    let bucket = lab.image.bucket();
    let (entry, word) = lab.found();
    let generation = bucket.header.generation.load(Relaxed);
    let tick = bucket.slot(entry.slot).used().wrapping_add(1);
    let half = entry.at as u64 + 1;
    let payload = half | half << u32::BITS | 0x5a << 16;
    let become_payload = |finish: bool| {
        let writer = Writer::begin(bucket, &lab.geometry);
        word.store(payload, Relaxed);
        if finish {
            writer.finish();
        }
    };
    let slots = word.load(Relaxed);
    // The owner comes before the question, and then behind it.
    for finish in [false, true] {
        become_payload(finish);
        bucket.touch(&entry, tick, || is_unchanged(bucket, generation));
        assert_eq!(word.swap(slots, Relaxed), payload, "{finish}");
        lab.set_generation(generation);
        bucket.touch(&entry, tick, || {
            let was_at_rest = is_unchanged(bucket, generation);
            become_payload(finish);
            was_at_rest
        });
        assert_eq!(word.swap(slots, Relaxed), payload, "{finish}");
        lab.set_generation(generation);
    }
    bucket.touch(&entry, tick, || is_unchanged(bucket, generation));
    assert_eq!((bucket.slot(entry.slot).hits(), bucket.slot(entry.slot).used()), (1, tick));
}

/// A bucket in the midst of a change keeps no slot in its place, and nobody may note there.
#[test]
fn a_hit_is_noted_only_in_a_bucket_at_rest() {
    let lab = Lab::new(u32::MAX, false);
    let (entry, _) = lab.found();
    for (generation, hits) in [(3, 0), (4, 1), (5, 1), (6, 2)] {
        lab.set_generation(generation);
        assert_eq!(lab.hit().expect("it is there").bytes(), b"bytes");
        assert_eq!(lab.image.bucket().slot(entry.slot).hits(), hits, "generation {generation}");
    }
}

#[test]
fn what_is_to_be_taken_or_wiped_takes_the_lock() {
    let reusable = Lab::new(u32::MAX, false);
    let words = match reusable.look(Want::TAKE, &reusable.key).0 {
        Glimpse::Unsure { words } => words,
        other => panic!("{other:?}"),
    };
    assert_eq!(words, reusable.image.bucket().entries().next().expect("one").head.words());
    let single = Lab::new(u32::MAX, true);
    assert!(matches!(single.look(Want::RESUME, &single.key).0, Glimpse::Unsure { .. }));
    assert!(matches!(single.look(Want::COPY, &single.key).0, Glimpse::Copied(_)));
    let expired = Lab::new(EXPIRY - 50, false);
    assert!(matches!(expired.look(Want::COPY, &expired.key).0, Glimpse::Unsure { .. }));
}

/// What was copied beside an owner that wiped or moved it is no session, whatever word has changed.
#[test]
fn a_record_that_changes_under_the_copy_is_no_session() {
    let lab = Lab::new(u32::MAX, false);
    let entry = lab.image.bucket().entries().next().expect("one");
    for word in entry.at..entry.at + entry.head.words() {
        let word = &lab.image.bucket().body[word];
        let before = word.fetch_xor(1 << 40, Relaxed);
        match lab.look(Want::RESUME, &lab.key) {
            (Glimpse::Copied(copied), record) => {
                let found = copied.into_session(record, &lab.key, (&lab.geometry, None), 1);
                assert_eq!(found.err(), Some(Miss::Damaged));
            }
            (Glimpse::Missed(Miss::Absent | Miss::OtherContext | Miss::OtherLibrary), _) => {}
            (other, _) => panic!("{other:?}"),
        }
        word.store(before, Relaxed);
    }
    assert_eq!(lab.hit().expect("as it was").bytes(), b"bytes");
}
