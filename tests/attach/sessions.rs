//! Sessions and IDs that are not to be stored: each outcome says why, and is counted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shmtls::{Expiry, Inserted, InvalidSessionId, Miss, Options, SessionId};

use crate::lab::small;
use crate::payload::{context, id, payload, soon};

#[test]
fn an_id_of_no_bytes_or_of_more_than_32_is_none() {
    for len in [0, 33, 34, 255, 256, 257, 65_536] {
        let error = SessionId::new(&vec![1; len]).expect_err("no ID");
        assert_eq!(error, InvalidSessionId { len });
        let text = error.to_string();
        assert!(text.contains("1 to 32") && text.contains(&len.to_string()), "{text}");
    }
    // A TLS 1.3 client may offer an identity of any length: an adapter counts it.
    let cache = small().create_memfd().expect("a segment");
    cache.count_miss(Miss::InvalidId);
    assert_eq!((cache.stats().misses_invalid_id, cache.stats().lookups()), (1, 1));
}

#[test]
fn sessions_over_the_limit_are_refused_counted_and_told() {
    for max in [256, 1000, 10_240, 48 << 10] {
        let cache = Options::new().size(1 << 20).max_session(max).create_memfd().expect("valid");
        let max = max as usize;
        assert_eq!(cache.max_session(), max);
        for (nth, len) in (1..).zip([max + 1, max + 2, 65_535, 65_536, 65_537, 1 << 20]) {
            let bytes = payload(1, 1, len);
            let outcome = cache.insert(&context(), &id(1), &bytes, soon());
            assert_eq!(outcome, Inserted::TooLarge { len, max });
            assert!(!outcome.is_stored());
            let stats = cache.stats();
            assert_eq!((stats.refused_too_large, stats.largest_refused), (nth, len as u64));
        }
        let _ = cache.insert(&context(), &id(1), &payload(1, 1, max + 1), soon());
        assert_eq!(cache.stats().largest_refused, 1 << 20, "the largest, not the last");
        assert!(cache.is_empty());
        let largest = payload(1, 2, max);
        assert_eq!(cache.insert(&context(), &id(1), &largest, soon()), Inserted::New);
        assert_eq!(cache.get_session(&context(), &id(1)).expect("fits").bytes(), largest);
    }
}

#[test]
fn what_has_expired_is_refused_counted_and_leaves_what_is_there() {
    let cache = small().create_memfd().expect("a segment");
    assert_eq!(cache.insert(&context(), &id(1), b"good", soon()), Inserted::New);
    let past = [
        Expiry::at(UNIX_EPOCH),
        Expiry::at(UNIX_EPOCH - Duration::from_secs(1)),
        Expiry::at(SystemTime::now() - Duration::from_secs(1)),
        Expiry::at(SystemTime::now()),
        Expiry::after(Duration::ZERO),
        Expiry::after(Duration::from_millis(999)),
    ];
    for (nth, expiry) in (1..).zip(past) {
        assert!(expiry.has_passed());
        assert_eq!(cache.insert(&context(), &id(1), b"late", expiry), Inserted::Expired);
        assert_eq!(cache.stats().refused_expired, nth);
    }
    assert_eq!(cache.get_session(&context(), &id(1)).expect("untouched").bytes(), b"good");
}

/// "Never" is what many callers mean by the longest duration there is; adding it to now overflowed.
#[test]
fn an_expiry_beyond_all_time_is_cut_to_the_segments_lifetime() {
    let cache = small().lifetime(Duration::from_secs(60)).create_memfd().expect("a segment");
    let never = [
        Expiry::after(Duration::MAX),
        Expiry::after(Duration::from_secs(u64::MAX / 2)),
        Expiry::after(Duration::from_secs(u32::MAX.into())),
        Expiry::at(SystemTime::now() + Duration::from_secs(1 << 40)),
    ];
    for (n, expiry) in (0..).zip(never) {
        assert_eq!(cache.insert(&context(), &id(n), b"long", expiry), Inserted::New);
        let session = cache.get_session(&context(), &id(n)).expect("stored");
        let left = session.expiry().remaining().as_secs();
        assert!((58..=60).contains(&left), "{left} s");
    }
}
