//! Segments whose changeable parts hold what no writer wrote. They are attached: nothing there says
//! that they are wrong. What they tell may be nonsense; that they crash nobody is all that is
//! asked.

use std::time::Duration;

use shmtls::{Cache, EntryInfo, KeySource, Options, Rotation, TicketKey};

use crate::header::{Field, fields};
use crate::lab::{Place, SMALL_BYTES, open, small, write};
use crate::payload::{Rng, context, id, payload, soon};

/// The library's own functions, all of them; what they find does not matter.
fn use_everything(cache: &Cache) {
    for n in 0..12 {
        let _ = cache.insert(&context(), &id(n), &payload(n, 0, 20 + n as usize * 400), soon());
        let _ = cache.get_session(&context(), &id(n / 2));
        let _ = cache.get(&context(), &id(n), &mut [0; 3000]);
        let _ = cache.size_of(&context(), &id(n));
        let _ = cache.take(&context(), &id(n / 3));
        let _ = cache.remove(&context(), &id(n / 4));
    }
    let tell = |entry: &EntryInfo, bytes: &[u8]| {
        assert_eq!(entry.len(), bytes.len());
        let _ = format!("{entry:?} {:?} {:?}", entry.created(), entry.expiry().remaining());
    };
    let _ = cache.for_each(tell);
    let _ = (cache.len(), cache.sweep(), cache.remove_context(&context()));
    let stats = cache.stats();
    let _ = format!("{:?}", (stats, stats.lookups(), stats.misses(), stats.recoveries()));
    for process in cache.processes() {
        let stats = process.stats();
        let _ = (stats.lookups(), stats.misses(), stats.recoveries());
        let times = (process.attached(), process.last_seen());
        let _ = format!("{process:?} {times:?} {} {}", process.is_alive(), process.command());
    }
    let _ = (cache.clear(), cache.is_empty());
}

fn patient() -> Options {
    small().lock_deadline(Duration::from_millis(2))
}

/// A process table of ones: counters summed up past 2^64, and dates after the end of time, ended
/// the tool that showed them (in debug builds, and the dates in release builds too).
#[test]
fn numbers_without_any_sense_are_numbers() {
    for byte in [0xff, 0x7f, 0x80, 0x01] {
        let (_place, path) = Place::with_segment("s");
        let file = open(&path);
        let retired = Field::named("retired").offset;
        write(&file, retired, &vec![byte; 1088]);
        write(&file, 16_384, &vec![byte; 4096]);
        let inspector = Options::new().inspect(&path).expect("a segment");
        let stats = inspector.stats();
        let _ = (stats.lookups(), stats.misses(), stats.recoveries());
        for process in inspector.processes() {
            let _ = (process.attached(), process.last_seen(), process.is_alive());
            let _ = (process.stats().lookups(), process.command().len());
        }
        use_everything(&patient().attach(&path).expect("a segment"));
    }
}

/// A list that named a line beyond the table, a commit of both copies, a number that wraps.
#[test]
fn every_changeable_word_of_the_header_may_hold_anything() {
    let changeable: Vec<Field> = fields().into_iter().filter(|field| !field.is_constant).collect();
    assert!(changeable.len() > 100);
    let (_place, path) = Place::with_segment("s");
    let file = open(&path);
    for field in changeable.iter().take(12) {
        let most = if field.size == 4 { u32::MAX.into() } else { u64::MAX };
        for value in [1, 4, 5, 1 << 31, most >> 1, most - 1, most] {
            field.set(&file, value);
            let cache = patient().attach(&path).expect("a segment");
            use_everything(&cache);
            drop(cache);
            field.set(&file, 0);
        }
    }
}

#[test]
fn noise_in_the_table_and_the_buckets_crashes_nobody() {
    let mut random = Rng::new(0x6e6f_6973);
    for round in 0..60 {
        let (_place, path) = Place::with_segment("s");
        {
            let cache = small().attach(&path).expect("a segment");
            for n in 0..30 {
                let _ = cache.insert(&context(), &id(n), &payload(n, 1, 500), soon());
            }
        }
        let file = open(&path);
        for _ in 0..1 << (round % 12) {
            let at = random.within(4096 / 8, SMALL_BYTES / 8) * 8;
            let word = random.next() >> random.below(64);
            write(&file, at, &word.to_ne_bytes());
        }
        let inspector = Options::new().inspect(&path).expect("a segment");
        let mut bytes = 0;
        let _ = inspector.for_each(|entry| bytes += entry.len());
        let _ = (inspector.len(), inspector.stats(), inspector.processes());
        use_everything(&patient().attach(&path).expect("a segment"));
    }
}

/// Slots that point beyond their bucket: nobody found them, so nobody removed or evicted them. They
/// stayed for good, a bucket full of them kept one session at a time, and a clear left them.
#[test]
fn slots_that_point_nowhere_give_way() {
    for clears in [false, true] {
        let (_place, path) = Place::with_segment("s");
        let cache = patient().attach(&path).expect("a segment");
        for bucket in 0..3 {
            let start = SMALL_BYTES - (3 - bucket) * (32 << 10);
            write(&open(&path), start + 12, &256_u32.to_ne_bytes());
            write(&open(&path), start + (32 << 10) - 256 * 4, &[0xff; 256 * 4]);
        }
        if clears {
            assert_eq!(cache.clear().busy, 0);
            assert!(cache.is_empty(), "a clear leaves {}", cache.len());
        }
        for n in 0..30 {
            assert!(cache.insert(&context(), &id(n), &payload(n, 0, 300), soon()).is_stored());
        }
        let found = (0..30).filter(|n| cache.get_session(&context(), &id(*n)).is_ok()).count();
        assert_eq!((found, cache.len()), (30, 30));
    }
}

/// An epoch that no update made: the keys under it fail their check, so a process stayed with those
/// of before and based its updates on them. Each was refused as stale: `add` tried for ever, and
/// rotation was at an end. And an update after the last of all epochs was none.
#[test]
fn updates_go_on_from_an_epoch_that_is_none() {
    for epoch in [0_u64, 2, 7, 1 << 63, u64::MAX - 1, u64::MAX] {
        let (_place, path) = Place::with_segment("s");
        let cache = patient().attach(&path).expect("a segment");
        let (keys, key) = (cache.keys(), || TicketKey::random().expect("random bytes"));
        keys.publish(vec![key()]).expect("nobody else is there");
        let file = open(&path);
        let spoil = || {
            write(&file, Field::named("keys").offset, &epoch.to_ne_bytes());
            assert!(epoch == 0 || keys.status().is_some(), "the keys of before are kept");
        };
        spoil();
        let added = keys.add(key(), 3, KeySource::Api).expect("nobody else is there");
        assert_eq!(keys.status().map(|status| status.epoch), Some(added.epoch));
        spoil();
        let rotation = Rotation::every(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(110));
        let rotated = keys.rotate_if_due(&rotation).expect("nobody else is there");
        let rotated = rotated.expect("the keys are old enough").epoch;
        assert!(rotated > 0 && keys.status().is_some_and(|status| status.epoch == rotated));
    }
}
