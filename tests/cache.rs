//! The contracts of the operations, in one process.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use shmtls::{
    Cache, Context, EventKind, Expiry, Inserted, Library, Lookup, Miss, NewSession, Options,
    Origin, Removal, SessionId, Stored,
};

fn options() -> Options {
    #[cfg(feature = "sealing")]
    if IS_SEALED {
        return Options::new().sealed(&shmtls::SealingKey::random().expect("a key"));
    }
    Options::new()
}

/// Whether this file is a part of `sealing.rs`, which runs it on sealed segments.
const IS_SEALED: bool = module_path!().len() > "cache".len();

/// The same session again: a seal never has the same bytes.
const AGAIN: Inserted = if IS_SEALED { Inserted::Replaced } else { Inserted::Unchanged };

fn small() -> Cache {
    options().size(1 << 20).processes(4).create_memfd().expect("a memfd segment")
}

fn id(n: u64) -> SessionId {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    SessionId::new(&bytes).expect("32 bytes")
}

fn ctx() -> Context {
    Context::named("example.org")
}

fn soon() -> Expiry {
    Expiry::after(Duration::from_secs(60))
}

/// Stores under `id(n)` what must be stored.
fn put(cache: &Cache, n: u64, bytes: &[u8]) {
    let outcome = cache.insert(&ctx(), &id(n), bytes, soon());
    assert!(outcome.is_stored(), "{outcome:?}");
}

#[test]
fn insert_says_what_became_of_the_session() {
    let cache = small();
    assert_eq!(cache.insert(&ctx(), &id(1), b"one", soon()), Inserted::New);
    assert_eq!(cache.insert(&ctx(), &id(1), b"one", soon()), AGAIN);
    assert_eq!(cache.insert(&ctx(), &id(1), b"uno", soon()), Inserted::Replaced);
    assert_eq!(cache.len(), 1);
    let max = cache.max_session();
    let refused = cache.insert(&ctx(), &id(2), &vec![0; max + 1], soon());
    assert_eq!(refused, Inserted::TooLarge { len: max + 1, max });
    assert!(cache.insert(&ctx(), &id(2), &vec![0; max], soon()).is_stored());
    let past = Expiry::at(SystemTime::now() - Duration::from_secs(5));
    assert_eq!(cache.insert(&ctx(), &id(3), b"late", past), Inserted::Expired);
    assert_eq!(cache.insert(&ctx(), &id(3), b"epoch", Expiry::at(UNIX_EPOCH)), Inserted::Expired);
    let stats = cache.stats();
    assert_eq!((stats.stored_new, stats.stored_unchanged), (2, u64::from(!IS_SEALED)));
    assert_eq!((stats.refused_too_large, stats.largest_refused), (1, max as u64 + 1));
    assert_eq!(stats.refused_expired, 2);
}

/// The same session stored a second later is still the same session: its expiry is what counts.
#[test]
fn the_same_session_again_is_unchanged_whoever_stores_it_whenever() {
    let cache = small();
    let expiry = soon();
    let session = NewSession::new(b"der", expiry).protocol(0x0303).library(Library::OpenSsl);
    assert_eq!(cache.store(&ctx(), &id(1), &session), Inserted::New);
    sleep(Duration::from_millis(1100));
    assert_eq!(cache.store(&ctx(), &id(1), &session), AGAIN);
    assert_eq!(cache.store(&ctx(), &id(1), &session.single_use(true)), Inserted::Replaced);
}

#[test]
fn get_copies_all_or_nothing() {
    let cache = small();
    put(&cache, 1, b"twelve bytes");
    let mut buf = [0xaa; 16];
    assert_eq!(cache.get(&ctx(), &id(1), &mut buf[..11]), Err(Miss::ShortBuffer { needed: 12 }));
    assert_eq!(buf, [0xaa; 16], "no partial secret");
    assert_eq!(cache.get(&ctx(), &id(1), &mut []), Err(Miss::ShortBuffer { needed: 12 }));
    assert_eq!(cache.get(&ctx(), &id(1), &mut buf[..12]), Ok(12));
    assert_eq!(&buf[..12], b"twelve bytes");
    assert_eq!(buf[12..], [0xaa; 4], "no overrun");
    assert_eq!(cache.size_of(&ctx(), &id(1)), Ok(12));
    assert_eq!(cache.size_of(&ctx(), &id(2)), Err(Miss::Absent));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses()), (1, 0), "neither a query nor a short buffer counts");
}

#[test]
fn every_length_comes_back_as_it_was() {
    let cache = options().size(4 << 20).create_memfd().expect("a segment");
    for len in (0..70).chain([255, 256, 257, 1000, 4096, 10_239, 10_240]) {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        put(&cache, len as u64, &bytes);
        assert_eq!(cache.get_session(&ctx(), &id(len as u64)).expect("there").bytes(), bytes);
    }
}

#[test]
fn ids_of_every_length_are_different_keys() {
    let cache = small();
    for len in 1..=32 {
        let id = SessionId::new(&vec![0; len]).expect("a valid length");
        assert_eq!(cache.insert(&ctx(), &id, &[len as u8], soon()), Inserted::New);
    }
    for len in 1..=32 {
        let id = SessionId::new(&vec![0; len]).expect("a valid length");
        assert_eq!(cache.take(&ctx(), &id).expect("there").bytes(), [len as u8]);
    }
    assert_eq!(SessionId::new(&[]).unwrap_err().len, 0);
    assert_eq!(
        SessionId::new(&[0; 33]).unwrap_err().to_string(),
        "a session ID has 1 to 32 bytes, this one has 33"
    );
}

#[test]
fn take_gives_a_session_once() {
    let cache = small();
    put(&cache, 1, b"once");
    assert_eq!(cache.take(&ctx(), &id(1)).expect("there").bytes(), b"once");
    assert_eq!(cache.take(&ctx(), &id(1)).unwrap_err(), Miss::Absent);
    assert_eq!(cache.get_session(&ctx(), &id(1)).unwrap_err(), Miss::Absent);
    assert_eq!((cache.len(), cache.stats().taken), (0, 1));
}

#[test]
fn resume_takes_single_use_sessions_and_copies_others() {
    let cache = small();
    let session = NewSession::new(b"der", soon()).library(Library::OpenSsl);
    let _ = cache.store(&ctx(), &id(12), &session.protocol(0x0303));
    let _ = cache.store(&ctx(), &id(13), &session.protocol(0x0304).single_use(true));
    for _ in 0..3 {
        let reusable = cache.resume(&ctx(), &id(12), Library::OpenSsl).expect("reusable");
        assert_eq!((reusable.protocol(), reusable.is_single_use()), (0x0303, false));
    }
    let rustls = cache.resume(&ctx(), &id(13), Library::Rustls);
    assert_eq!(rustls.unwrap_err(), Miss::OtherLibrary, "another library's bytes stay");
    assert!(cache.get_session(&ctx(), &id(13)).expect("a plain get leaves it").is_single_use());
    assert!(cache.resume(&ctx(), &id(13), Library::OpenSsl).is_ok());
    assert_eq!(cache.resume(&ctx(), &id(13), Library::OpenSsl).unwrap_err(), Miss::Absent);
    assert_eq!(cache.stats().misses_library, 1);
}

/// CVE-2025-23419 and CVE-2025-23048: a session of one virtual host resumed at another.
#[test]
fn another_context_is_a_counted_miss_and_burns_nothing() {
    let cache = small();
    put(&cache, 1, b"open");
    let other = Context::named("admin.example.org");
    assert_eq!(cache.take(&other, &id(1)).unwrap_err(), Miss::OtherContext);
    assert_eq!(cache.get_session(&other, &id(1)).unwrap_err(), Miss::OtherContext);
    assert_eq!(cache.size_of(&other, &id(1)), Err(Miss::OtherContext));
    assert_eq!(cache.remove(&other, &id(1)), Ok(false));
    assert_eq!(cache.insert(&other, &id(1), b"admin", soon()), Inserted::New);
    assert_eq!(cache.take(&ctx(), &id(1)).expect("kept").bytes(), b"open");
    assert_eq!(cache.take(&other, &id(1)).expect("its own").bytes(), b"admin");
    assert_eq!(cache.stats().misses_context, 2);
}

#[test]
fn an_expired_session_is_a_miss_and_is_wiped() {
    let cache = small();
    let _ = cache.insert(&ctx(), &id(1), b"brief", Expiry::after(Duration::from_secs(1)));
    sleep(Duration::from_millis(1100));
    assert_eq!(cache.len(), 1, "cleared away when somebody comes by");
    assert_eq!(cache.get_session(&ctx(), &id(1)).unwrap_err(), Miss::Expired);
    assert_eq!(cache.get_session(&ctx(), &id(1)).unwrap_err(), Miss::Absent);
    let stats = cache.stats();
    assert_eq!((stats.expired, stats.misses_expired, stats.misses_absent), (1, 1, 1));
}

#[test]
fn no_session_outlives_the_segments_lifetime() {
    let options = options().size(1 << 20).lifetime(Duration::from_secs(10));
    let cache = options.create_memfd().expect("a segment");
    let _ = cache.insert(&ctx(), &id(1), b"for ever", Expiry::after(Duration::from_secs(9999)));
    let session = cache.get_session(&ctx(), &id(1)).expect("there");
    assert!(session.expiry() <= Expiry::after(Duration::from_secs(10)));
    assert!(session.expiry().remaining() > Duration::from_secs(7));
}

#[test]
fn walks_see_everything_and_purges_remove_what_they_say() {
    let cache = small();
    let other = Context::named("other");
    for n in 0..100 {
        put(&cache, n, &n.to_le_bytes());
        assert!(cache.insert(&other, &id(n), b"other", soon()).is_stored());
    }
    let _ = cache.insert(&ctx(), &id(500), b"brief", Expiry::after(Duration::from_secs(1)));
    let mut seen = Vec::new();
    let busy = cache.for_each(|entry, bytes| {
        assert_eq!(entry.len(), bytes.len());
        if *entry.context() == ctx() && bytes.len() == 8 {
            assert_eq!(&entry.id().as_bytes()[..8], bytes);
            seen.push(u64::from_le_bytes(bytes.try_into().expect("8 bytes")));
        }
    });
    seen.sort_unstable();
    assert_eq!((busy, seen), (0, (0..100).collect()));
    sleep(Duration::from_millis(1100));
    assert_eq!(cache.sweep().removed, 1);
    assert_eq!(cache.remove_context(&other).removed, 100);
    assert_eq!(cache.len(), 100);
    assert_eq!(cache.clear().removed, 100);
    assert!(cache.is_empty());
    let stats = cache.stats();
    assert_eq!((stats.removed, stats.expired), (200, 1));
}

/// A full cache refuses nothing: nginx refuses a quarter of the stores on a mix of sizes.
#[test]
fn a_full_cache_stores_every_size_and_says_what_had_to_go() {
    let cache = small();
    let mut evicted = 0;
    for n in 0..20_000 {
        let len = [140, 200, 260, 600, 900, 3000][n as usize % 6];
        match cache.insert(&ctx(), &id(n), &vec![n as u8; len], soon()) {
            Inserted::New => {}
            Inserted::Evicted(n) => evicted += u64::from(n),
            other => panic!("{other:?}"),
        }
        assert_eq!(cache.size_of(&ctx(), &id(n)), Ok(len));
    }
    let stats = cache.stats();
    assert_eq!((stats.stored_new, stats.evicted), (20_000, evicted));
    assert_eq!(cache.len() as u64, 20_000 - evicted);
}

#[test]
fn hooks_hear_the_reason_after_the_fact_and_in_order() {
    let cache = small();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (log, inner) = (heard.clone(), cache.clone());
    cache.hook(move |event| {
        // After the unlock: a hook may ask the cache, also about this very session.
        let there = inner.size_of(event.context, event.id).is_ok();
        log.lock().expect("log").push((event.kind, event.origin, there));
    });
    put(&cache, 1, b"one");
    put(&cache, 1, b"uno");
    if !IS_SEALED {
        put(&cache, 1, b"uno");
    }
    let _ = cache.get_session(&ctx(), &id(1));
    let _ = cache.with_origin(Origin::Handshake).take(&ctx(), &id(1));
    let _ = cache.get_session(&ctx(), &id(1));
    put(&cache, 2, b"two");
    let _ = cache.with_origin(Origin::Remote).remove(&ctx(), &id(2));
    let _ = cache.insert(&ctx(), &id(3), b"brief", Expiry::after(Duration::from_secs(1)));
    sleep(Duration::from_millis(1100));
    let _ = cache.get_session(&ctx(), &id(3));
    use {EventKind::*, Lookup::*};
    let expected = [
        (New(Stored::Stored), Origin::Api, true),
        (Remove(Removal::Replaced), Origin::Api, true),
        (New(Stored::Replaced), Origin::Api, true),
        (Get(Hit), Origin::Api, true),
        (Get(Hit), Origin::Handshake, false),
        (Remove(Removal::Taken), Origin::Handshake, false),
        (Get(Miss(shmtls::Miss::Absent)), Origin::Api, false),
        (New(Stored::Stored), Origin::Api, true),
        (Remove(Removal::Removed), Origin::Remote, false),
        (New(Stored::Stored), Origin::Api, true),
        (Get(Miss(shmtls::Miss::Expired)), Origin::Api, false),
        (Remove(Removal::Expired), Origin::Api, false),
    ];
    assert_eq!(*heard.lock().expect("log"), expected);
}

/// Nobody else tells of evictions: ATS has no event for them, and OpenSSL's has no reason.
#[test]
fn an_eviction_is_told_with_the_id_of_the_victim() {
    let cache = small();
    let gone = Arc::new(Mutex::new(Vec::new()));
    let log = gone.clone();
    cache.hook(move |event| {
        if event.kind == EventKind::Remove(Removal::Evicted) {
            log.lock().expect("log").push(*event.id);
        }
    });
    for n in 0..5000 {
        put(&cache, n, &[0; 600]);
    }
    let gone = gone.lock().expect("log");
    assert_eq!(gone.len() as u64, cache.stats().evicted);
    assert!(!gone.is_empty());
    assert!(gone.iter().all(|id| cache.size_of(&ctx(), id) == Err(Miss::Absent)));
}

#[test]
fn a_hook_may_use_the_cache_and_set_and_remove_hooks() {
    let cache = small();
    let (inner, depth) = (cache.clone(), Arc::new(Mutex::new(0)));
    let count = depth.clone();
    let hook = cache.hook(move |event| {
        *count.lock().expect("count") += 1;
        if event.id == &id(1) && matches!(event.kind, EventKind::New(_)) {
            put(&inner, 2, b"from a hook");
            let extra = inner.hook(|_| {});
            assert!(inner.unhook(extra) && !inner.unhook(extra));
        }
    });
    put(&cache, 1, b"one");
    assert_eq!(cache.get_session(&ctx(), &id(2)).expect("stored").bytes(), b"from a hook");
    assert_eq!(*depth.lock().expect("count"), 3);
    assert!(cache.unhook(hook));
    put(&cache, 3, b"three");
    assert_eq!(*depth.lock().expect("count"), 3);
}

#[test]
fn a_panicking_hook_is_counted_and_harms_nobody() {
    let cache = small();
    let reached = Arc::new(Mutex::new(0));
    let count = reached.clone();
    cache.hook(|_| panic!("a bug in a plugin"));
    cache.hook(move |_| *count.lock().expect("count") += 1);
    put(&cache, 1, b"one");
    assert_eq!(cache.get_session(&ctx(), &id(1)).expect("there").bytes(), b"one");
    assert_eq!((cache.stats().hook_panics, *reached.lock().expect("count")), (2, 2));
}

/// No log line, Debug or panic text ever shows a session or an ID.
#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    let cache = small();
    let canary = b"CANARYCANARYCANARY";
    let canary_id = SessionId::new(canary).expect("18 bytes");
    let _ = cache.insert(&ctx(), &canary_id, canary, soon());
    let session = cache.get_session(&ctx(), &canary_id).expect("there");
    let mut printed =
        format!("{cache:?} {session:?} {canary_id:?} {:?}", NewSession::new(canary, soon()));
    cache.for_each(|entry, _| printed += &format!("{entry:?}"));
    cache.hook(move |event| assert!(!format!("{event:?}").contains("CANARY")));
    let taken = cache.take(&ctx(), &canary_id);
    printed += &format!("{taken:?} {:?}", cache.processes());
    assert!(
        !printed.contains("CANARY") && !printed.contains("67, 65, 78, 65, 82, 89"),
        "{printed}"
    );
    assert_eq!(cache.stats().hook_panics, 0);
}

/// After a session has gone, on whatever path, its bytes are nowhere in the segment.
#[test]
fn bytes_are_wiped_on_every_path() {
    let cache = small();
    let canary: Vec<u8> = (0..320).map(|i| (i * 37 % 251) as u8).collect();
    // Records lie on words: so does every piece of a session.
    let words: HashSet<&[u8]> = canary.chunks(8).collect();
    let found = || {
        let mut file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
        let mut bytes = Vec::new();
        file.rewind().expect("rewind");
        file.read_to_end(&mut bytes).expect("read");
        bytes.chunks(8).any(|word| words.contains(word))
    };
    let store = || {
        let expiry = Expiry::after(Duration::from_secs(1));
        assert!(cache.insert(&ctx(), &id(1), &canary, expiry).is_stored());
        assert_eq!(found(), !IS_SEALED, "the search finds what is there");
    };
    store();
    let _ = cache.remove(&ctx(), &id(1));
    assert!(!found(), "removed");
    store();
    let _ = cache.take(&ctx(), &id(1));
    assert!(!found(), "taken");
    store();
    put(&cache, 1, b"short");
    assert!(!found(), "replaced by a shorter one");
    store();
    sleep(Duration::from_millis(1100));
    let _ = cache.get_session(&ctx(), &id(1));
    assert!(!found(), "expired");
    store();
    let _ = cache.clear();
    assert!(!found(), "cleared");
    store();
    for n in 2..6000 {
        put(&cache, n, &[1; 320]);
    }
    assert!(!found(), "evicted");
}
