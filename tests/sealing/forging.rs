//! Somebody without the key has the segment, reads all of it, and writes whatever he likes: also
//! the records' checks, whose seed stands in the header.

use std::collections::HashSet;

use shmtls::{Cache, Context, Library, Miss, NewSession, SessionId};

use crate::lab::{HEAD, Intruder, SEAL, key, options, sealed};
use crate::payload::{context, id, payload, soon};

const LEN: usize = 61;

/// What is done to a record.
type Edit<'a> = dyn Fn(&mut Vec<u8>) + 'a;

fn store(cache: &Cache, id: &SessionId, serial: u64) {
    let bytes = payload(1, serial, LEN);
    let session = NewSession::new(&bytes, soon()).single_use(true).library(Library::OpenSsl);
    assert!(cache.store(&context(), id, &session).is_stored());
}

/// A stolen descriptor, swap, an image of the memory: the segment alone gives no session away.
#[test]
fn no_piece_of_a_live_session_is_in_the_segment() {
    let (plain, sealed) =
        (options(4).create_memfd().expect("a segment"), options(4).sealed(&key()));
    let sealed = sealed.create_memfd().expect("a sealed segment");
    let all: Vec<Vec<u8>> = (0..40).map(|n| payload(n, n + 1000, 300)).collect();
    // Without the number and the serial, which are mostly zeroes.
    let pieces: HashSet<&[u8]> = all.iter().flat_map(|bytes| bytes[20..].windows(8)).collect();
    let found = |cache: &Cache| {
        for (n, bytes) in all.iter().enumerate() {
            assert!(cache.insert(&context(), &id(n as u64), bytes, soon()).is_stored());
        }
        Intruder::at(cache).all().windows(8).filter(|window| pieces.contains(window)).count()
    };
    assert!(found(&plain) >= 40 * 200, "the search finds what is there");
    assert_eq!(found(&sealed), 0);
    assert_eq!(sealed.get_session(&context(), &id(7)).expect("live").bytes(), all[7]);
}

/// The check of a plain record is made with a seed that stands in the header: it stops accidents.
#[test]
fn every_flipped_bit_of_a_record_is_a_miss() {
    for (cache, is_sealed) in [(sealed(), true), (options(1).create_memfd().expect("plain"), false)]
    {
        let intruder = Intruder::at(&cache);
        store(&cache, &id(1), 5);
        let (right, at) = (payload(1, 5, LEN), intruder.find(&id(1)));
        let (bucket, record) = (intruder.bucket(0), intruder.record(at));
        assert_eq!(record.len(), HEAD + (LEN + if is_sealed { SEAL } else { 0 }).div_ceil(8) * 8);
        let (mut forged, mut believed) = (0, 0);
        for bit in 32..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            intruder.forge(at, &changed);
            match cache.resume(&context(), &id(1), Library::OpenSsl) {
                Ok(session) => believed += u32::from(session.bytes() != right),
                Err(Miss::Forged) => forged += 1,
                Err(_) => assert!(bit / 8 < HEAD, "bit {bit}: not looked at"),
            }
            intruder.write_bucket(0, &bucket);
        }
        let behind_the_head = (record.len() - HEAD) as u32 * 8;
        if is_sealed {
            assert!(forged >= behind_the_head, "{forged}");
            assert_eq!((believed, cache.stats().hits), (0, 0), "nothing is handed out");
            assert_eq!(cache.stats().misses_forged, u64::from(forged));
        } else {
            assert!(believed >= LEN as u32 * 8, "it is the seal that stops this: {believed}");
        }
        assert!(cache.resume(&context(), &id(1), Library::OpenSsl).is_ok(), "put back");
    }
}

/// A session of one client served to another, at another host, once more, or for ever.
#[test]
fn a_record_opens_only_where_it_was_stored() {
    let key = key();
    let cache = options(1).sealed(&key).create_memfd().expect("a sealed segment");
    let intruder = Intruder::at(&cache);
    let (host, admin) = (context(), Context::named("admin.example.org"));
    let as_id = |record: &mut Vec<u8>, n| record[24..56].copy_from_slice(id(n).as_bytes());
    let edits: [(&str, &Edit<'_>, Context, u64); 6] = [
        ("another ID", &|record| as_id(record, 2), host, 2),
        (
            "another context",
            &|record| {
                as_id(record, 3);
                record[16..24].copy_from_slice(admin.as_bytes());
            },
            admin,
            3,
        ),
        (
            "a later expiry",
            &|record| {
                let expiry = u32::from_ne_bytes(*record[4..].first_chunk().expect("4 bytes"));
                record[4..8].copy_from_slice(&(expiry + 60).to_ne_bytes());
            },
            host,
            1,
        ),
        ("not single-use", &|record| record[10] &= !0x40, host, 1),
        (
            "another library's",
            &|record| (record[10], record[11]) = (record[10] ^ 0x80, record[11] ^ 1),
            host,
            1,
        ),
        ("not sealed", &|record| record[11] &= !2, host, 1),
    ];
    for (what, edit, context, n) in edits {
        store(&cache, &id(1), 5);
        store(&cache, &id(2), 6);
        assert!(cache.insert(&admin, &id(3), &payload(3, 7, LEN), soon()).is_stored());
        let mut record = intruder.record(intruder.find(&id(1)));
        edit(&mut record);
        intruder.forge(intruder.find(&id(n)), &record);
        let before = cache.stats().misses_forged;
        assert_eq!(cache.get_session(&context, &id(n)).unwrap_err(), Miss::Forged, "{what}");
        assert_eq!(cache.stats().misses_forged, before + 1);
        assert_eq!(cache.clear().removed, 3);
    }
    // Another segment of the same key.
    store(&cache, &id(1), 5);
    let elsewhere = options(1).sealed(&key).create_memfd().expect("a sealed segment");
    store(&elsewhere, &id(1), 6);
    let there = Intruder::at(&elsewhere);
    there.forge(there.find(&id(1)), &intruder.record(intruder.find(&id(1))));
    assert_eq!(elsewhere.take(&context(), &id(1)).unwrap_err(), Miss::Forged);
}

/// A walk meets records wherever they lie: also in a bucket to which their ID does not lead.
#[test]
fn a_bucket_in_the_place_of_another_is_passed_over() {
    for is_sealed in [true, false] {
        let options = if is_sealed { options(2).sealed(&key()) } else { options(2) };
        let cache = options.create_memfd().expect("a segment");
        let intruder = Intruder::at(&cache);
        (0..30).for_each(|n| store(&cache, &id(n), n));
        let seen = || {
            let mut seen = 0;
            assert_eq!(cache.for_each(|_, bytes| seen += bytes.len() / LEN), 0);
            seen
        };
        assert_eq!(seen(), 30);
        let (first, second) = (intruder.bucket(0), intruder.bucket(1));
        intruder.write_bucket(0, &second);
        intruder.write_bucket(1, &first);
        assert_eq!(seen(), if is_sealed { 0 } else { 30 });
    }
}

/// What sealing does not promise, so that nobody reads it into the documentation.
#[test]
fn an_earlier_record_put_back_is_found_again() {
    let cache = sealed();
    let intruder = Intruder::at(&cache);
    store(&cache, &id(1), 5);
    let before = intruder.bucket(0);
    assert!(cache.take(&context(), &id(1)).is_ok());
    assert_eq!(cache.take(&context(), &id(1)).unwrap_err(), Miss::Absent);
    intruder.write_bucket(0, &before);
    assert_eq!(cache.take(&context(), &id(1)).expect("a replay").bytes(), payload(1, 5, LEN));
}

/// Bytes that fail only the plain check were torn, not forged: they are repaired as ever.
#[test]
fn an_accident_is_not_taken_for_a_forgery() {
    let cache = sealed();
    let intruder = Intruder::at(&cache);
    store(&cache, &id(1), 5);
    let at = intruder.find(&id(1)) + HEAD + 20;
    intruder.write(at, &[!intruder.all()[at]]);
    assert_eq!(cache.get_session(&context(), &id(1)).unwrap_err(), Miss::Damaged);
    assert_eq!((cache.len(), cache.stats().repairs, cache.stats().misses_forged), (0, 1, 0));
}

/// All sizes around a word's end, and the largest, which must still fit its bucket.
#[test]
fn the_largest_session_of_every_bucket_size_has_room_for_its_seal() {
    for max in [256, 15_832, 15_833, 31_832, 31_833, 49_152] {
        let options = crate::lab::options(8).max_session(max).sealed(&key());
        let cache = options.create_memfd().expect("a sealed segment");
        for len in (max - 9..=max).rev() {
            let bytes = payload(1, 2, len as usize);
            assert!(cache.insert(&context(), &id(1), &bytes, soon()).is_stored());
            assert_eq!(cache.size_of(&context(), &id(1)), Ok(len as usize));
            assert_eq!(cache.take(&context(), &id(1)).expect("there").bytes(), bytes);
        }
        assert!(!cache.insert(&context(), &id(1), &vec![0; max as usize + 1], soon()).is_stored());
    }
}
