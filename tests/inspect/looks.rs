//! What a segment says of itself and of its buckets, against what caches did in it.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use shmtls::{BucketInfo, Inserted, Library, NewSession, Options};

use crate::lab::{BUCKET, GENERATION, Lab, OTHER};
use crate::payload::{Named, Rng, context, id, payload, soon, with_buckets};
use crate::procs::alone;

/// Each choice of its creator comes back.
#[test]
fn a_segment_tells_what_its_creator_chose() {
    let _turn = alone();
    let name = Named::new("info");
    let options = Options::new()
        .processes(5)
        .events(64)
        .max_session(40_000)
        .lifetime(Duration::from_secs(777));
    let before = SystemTime::now();
    let cache = with_buckets(options, 3, 64 << 10).create(&name.0).expect("a segment");
    let info = Options::new().inspect(&name.0).expect("a look").info();

    assert_eq!((info.layout_version(), info.is_sealed()), (3, false));
    assert_eq!((info.processes(), info.events(), info.max_session()), (5, 64, 40_000));
    assert_eq!(info.lifetime(), Duration::from_secs(777));
    assert_eq!((info.buckets(), info.bucket_bytes()), (3, 64 << 10));
    assert_eq!((info.bucket_capacity(), info.bucket_slots()), ((64 << 10) - 128, 512));
    assert_eq!(info.bytes(), std::fs::metadata(name.path()).expect("a file").len());
    assert_eq!(info.bytes(), cache.segment_bytes());
    assert_eq!(info.creator_pid(), std::process::id());
    assert!(info.is_in_our_pid_namespace());
    let second = Duration::from_secs(1);
    assert!(info.created() + second > before && info.created() <= SystemTime::now());
}

/// What the buckets count is what the processes count, and what is in there.
#[test]
fn buckets_add_up_to_what_the_cache_did() {
    let lab = Lab::new();
    let mut rng = Rng::new(3);
    let mut evicted = 0;
    for number in 0..400 {
        let bytes = payload(number, 1, rng.within(200, 1500) as usize);
        match lab.cache.insert(&context(), &id(number), &bytes, soon()) {
            Inserted::Evicted(n) => evicted += u64::from(n),
            stored => assert!(stored.is_stored(), "{stored:?}"),
        }
    }
    assert!(evicted > 100);
    let sum = |of: fn(&BucketInfo) -> u64| -> u64 {
        lab.inspector.buckets().map(|bucket| of(&bucket)).sum()
    };
    let stats = lab.inspector.stats();
    assert_eq!(stats, lab.cache.stats());
    assert_eq!(sum(|bucket| bucket.evictions().into()), evicted);
    assert_eq!((stats.evicted, sum(|bucket| bucket.repairs().into())), (evicted, stats.repairs));
    assert_eq!(sum(|bucket| bucket.contended().into()), stats.lock_waits);
    assert_eq!(sum(|bucket| bucket.sessions() as u64), lab.cache.len() as u64);
    assert_eq!(lab.inspector.len(), lab.cache.len());

    let mut sizes = BTreeMap::<usize, usize>::new();
    let unread = lab.inspector.for_each(|entry| {
        *sizes.entry(entry.bucket()).or_default() += 56 + entry.len().next_multiple_of(8) + 4;
    });
    assert_eq!(unread, 0);
    for bucket in lab.inspector.buckets() {
        let (used, least) = (bucket.used_bytes(), sizes[&bucket.index()]);
        assert!((least..=lab.inspector.info().bucket_capacity()).contains(&used), "{used} {least}");
        assert!(used < least + 5000, "gaps of {} bytes", used - least);
    }
}

/// A clear left the end of the records where it had been: `shmtls stat` said that a segment without
/// a session was 97 % full, and each store took the slow way through a bucket that was empty.
#[test]
fn a_segment_that_was_emptied_uses_nothing() {
    let ways: [fn(&Lab); 3] = [
        |lab| assert_eq!(lab.cache.clear().busy, 0),
        |lab| assert_eq!(lab.cache.remove_context(&context()).busy, 0),
        |lab| {
            let mut ids = Vec::new();
            lab.inspector.for_each(|entry| ids.push(*entry.id()));
            ids.iter().for_each(|id| assert!(lab.cache.take(&context(), id).is_ok()));
        },
    ];
    for empty in ways {
        let lab = Lab::new();
        empty(&lab);
        assert!(lab.inspector.is_empty());
        assert!(lab.inspector.buckets().all(|bucket| bucket.used_bytes() == 0));
        lab.assert_clean();
    }
}

/// Two looks that agree in it saw the same sessions.
#[test]
fn a_generation_goes_on_with_changes_and_not_with_looks() {
    let lab = Lab::new();
    let generations = || [BUCKET, OTHER].map(|bucket| lab.inspector.bucket(bucket).generation());
    let (before, id) = (generations(), lab.ids()[0]);
    let session = lab.cache.get_session(&context(), &id).expect("it is there");
    assert!(lab.cache.insert(&context(), &id, session.bytes(), session.expiry()).is_stored());
    lab.assert_clean();
    assert_eq!(generations(), before, "the very same session again");
    assert_eq!(lab.cache.remove(&context(), &id), Ok(true));
    assert_eq!(generations(), [before[0] + 2, before[1]]);
}

#[test]
fn an_entry_is_told_as_it_was_stored() {
    let lab = Lab::new();
    let (id, expiry) = (lab.ids()[2], soon());
    let bytes = payload(7, 7, 333);
    let session = NewSession::new(&bytes, expiry).single_use(true).protocol(0x0304);
    let session = session.library(Library::OpenSsl);
    assert_eq!(lab.cache.store(&context(), &id, &session), Inserted::Replaced);
    for _ in 0..3 {
        assert!(lab.cache.get_session(&context(), &id).is_ok());
    }
    let mut found = Vec::new();
    lab.inspector.for_each(|entry| found.extend((entry.id() == &id).then(|| entry.clone())));
    let [entry] = &found[..] else { panic!("{found:?}") };
    assert_eq!((entry.bucket(), entry.len(), entry.hits()), (BUCKET, 333, 3));
    assert_eq!((entry.context(), entry.expiry()), (&context(), expiry));
    assert_eq!((entry.protocol(), entry.library()), (0x0304, Some(Library::OpenSsl)));
    assert!(entry.is_single_use() && entry.idle() < Duration::from_secs(700));
    assert_eq!(entry.writer(), lab.cache.processes()[0].writer());
    let age = SystemTime::now().duration_since(entry.created()).expect("in the past");
    assert!(age < Duration::from_secs(5), "{age:?}");
}

/// A walk over some buckets sees those, in that order, ends when it is told to, and names those
/// that it could not read.
#[test]
fn a_walk_goes_where_it_is_sent() {
    let lab = Lab::new();
    let walk = |buckets: &[usize]| {
        let mut seen = Vec::new();
        let unread =
            lab.inspector.for_each_in(buckets.iter().copied(), |entry| seen.push(entry.bucket()));
        (seen, unread)
    };
    let sessions = |bucket| lab.inspector.bucket(bucket).sessions();
    assert_eq!(walk(&[]), (vec![], vec![]));
    assert_eq!(walk(&[OTHER]), (vec![OTHER; sessions(OTHER)], vec![]));
    let both = [vec![OTHER; sessions(OTHER)], vec![BUCKET; sessions(BUCKET)]].concat();
    assert_eq!(walk(&[OTHER, BUCKET]), (both, vec![]));

    let mut seen = 0;
    let until_enough = std::iter::repeat(BUCKET).map_while(|bucket| {
        // The sessions of the bucket before have been seen by now.
        (SEEN.get() < 20).then_some(bucket)
    });
    lab.inspector.for_each_in(until_enough, |_| {
        seen += 1;
        SEEN.set(seen);
    });
    assert!((20..20 + sessions(BUCKET)).contains(&seen), "{seen}");

    lab.set_header(GENERATION, 77);
    assert_eq!(walk(&[BUCKET, OTHER]), (vec![OTHER; sessions(OTHER)], vec![BUCKET]));
}

thread_local! {
    static SEEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}
