//! Attaching and detaching while others work, for use and for a look.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{AttachError, Cache, Inspector, Library, NewSession, Options};

use super::payload::{HEAD, Named, Rng, check, context, id, payload, soon};
use super::procs::{Child, alone, fork, fork_in_pid_namespace, join_all};
use super::scoreboard::Shared;

const IDS: u64 = 300;

/// The version that goes with a session's number and length, so that a tool that sees no bytes
/// can tell whether what it sees belongs together.
fn protocol(number: u64, len: usize) -> u16 {
    [0x0303, 0x0304, 0xfefd, 0xfefc, 0][(number * 31 + len as u64 * 7) as usize % 5]
}

fn store(cache: &Cache, number: u64, serial: u64, len: usize) {
    let bytes = payload(number, serial, len);
    let session =
        NewSession::new(&bytes, soon()).protocol(protocol(number, len)).library(Library::Raw);
    let outcome = cache.store(&context(), &id(number), &session);
    assert!(outcome.is_stored(), "{outcome:?}");
}

/// One store and two lookups.
fn use_it(cache: &Cache, rng: &mut Rng, done: &AtomicU64) {
    let (number, serial) = (rng.below(IDS), rng.next());
    store(cache, number, serial, rng.within(60, 3000) as usize);
    for _ in 0..2 {
        let number = rng.below(IDS);
        if let Ok(session) = cache.get_session(&context(), &id(number)) {
            check(number, session.bytes());
        }
    }
    done.fetch_add(1, SeqCst);
}

/// On a full machine the owner of a lock may be without a core for longer than the usual deadline.
fn patient() -> Options {
    Options::new().lock_deadline(Duration::from_secs(5))
}

/// Workers that go on until they are killed.
fn workers(name: &Named, done: &AtomicU64) -> Vec<Child> {
    let worker = |seed| {
        fork(|| {
            let cache = patient().attach(&name.0).expect("it is there");
            let mut rng = Rng::new(seed);
            loop {
                use_it(&cache, &mut rng, done);
            }
        })
    };
    (0..3).map(worker).collect()
}

/// Every session that a look shows is whole. Returns how many there were.
fn look(inspector: &Inspector) -> usize {
    let mut seen = 0;
    inspector.for_each(|entry| {
        let number = entry.id().as_bytes().first_chunk().expect("32 bytes");
        let number = u64::from_le_bytes(*number);
        assert!(number < IDS && entry.len() >= HEAD);
        assert_eq!(entry.protocol(), protocol(number, entry.len()), "session {number}");
        assert_eq!((entry.library(), *entry.context()), (Some(Library::Raw), context()));
        seen += 1;
    });
    seen
}

/// How the segment is mapped in this process: "r--s" and the like.
fn mappings(name: &Named) -> Vec<String> {
    let maps = fs::read_to_string("/proc/self/maps").expect("our mappings");
    let path = name.path();
    let ours = maps.lines().filter(|line| line.ends_with(path.to_str().expect("plain letters")));
    ours.map(|line| line.split(' ').nth(1).expect("rights").into()).collect()
}

#[test]
fn attaching_and_detaching_disturbs_nobody_and_loses_no_count() {
    let _turn = alone();
    let name = Named::new("attach");
    // No mapping stays in this process: what children inherit is none.
    drop(Options::new().size(1 << 20).processes(8).create(&name.0).expect("a segment"));
    let done = Shared::<AtomicU64>::new();
    let mut workers = workers(&name, &done);
    join_all([5, 6].map(|seed| {
        fork(|| {
            let mut rng = Rng::new(seed);
            for _ in 0..200 {
                let cache = patient().attach(&name.0).expect("it is there");
                use_it(&cache, &mut rng, &done);
                assert_eq!(mappings(&name), ["rw-s"]);
                drop(cache);
                assert!(mappings(&name).is_empty(), "unmapped");
            }
        })
    }));
    workers.iter_mut().for_each(Child::assert_running);
    workers.into_iter().for_each(Child::kill);
    let inspector = Options::new().inspect(&name.0).expect("it is there");
    let (stats, done) = (inspector.stats(), done.load(SeqCst));
    let stored = stats.stored_new + stats.stored_replaced;
    // A worker may have been killed between a count and its note.
    assert!((done..=done + 3).contains(&stored), "{stored} stores counted, {done} noted");
    assert!((2 * done..=2 * done + 6).contains(&stats.lookups()), "{stats:?}");
}

/// A mapping that cannot be written is the proof that a look writes nothing: a store would end
/// the process. That it takes no lock follows: a lock word would have to be written.
#[test]
fn a_look_writes_nothing_and_sees_only_whole_sessions() {
    let _turn = alone();
    let name = Named::new("inspect");
    drop(Options::new().size(1 << 20).create(&name.0).expect("a segment"));
    let done = Shared::<AtomicU64>::new();
    let mut workers = workers(&name, &done);
    join_all([0, 1].map(|_| {
        fork(|| {
            let mut seen = 0;
            for _ in 0..100 {
                let inspector = Options::new().inspect(&name.0).expect("it is there");
                assert_eq!(mappings(&name), ["r--s"]);
                seen += look(&inspector) + inspector.stats().hits as usize;
                assert!(inspector.processes().len() >= inspector.processes().len().min(3));
            }
            assert!(seen > 0);
        })
    }));
    workers.iter_mut().for_each(Child::assert_running);
}

/// The lock words hold thread IDs, which mean something else there. A look needs none.
#[test]
fn another_pid_namespace_may_look_but_not_touch() {
    let _turn = alone();
    let name = Named::new("pidns");
    let cache = Options::new().size(1 << 20).create(&name.0).expect("a segment");
    (0..50).for_each(|number| store(&cache, number, 1, 400));
    let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
    let elsewhere = fork_in_pid_namespace(|| {
        for refused in [
            Cache::attach(&name.0),
            Options::new().attach_fd(fd.try_clone().expect("a descriptor")),
        ] {
            assert!(
                matches!(refused, Err(AttachError::OtherPidNamespace { found, expected })
                    if found != expected && expected != 0),
                "{refused:?}"
            );
        }
        let inspector = Options::new().inspect(&name.0).expect("a look is free");
        assert_eq!((look(&inspector), inspector.stats().stored_new), (50, 50));
    });
    elsewhere.into_iter().for_each(Child::join);
}

/// Before and after a detach the sums are the same, to the last counter.
#[test]
fn a_detach_moves_the_counters_to_the_totals() {
    let _turn = alone();
    let name = Named::new("fold");
    let keeper = Options::new().size(1 << 20).create(&name.0).expect("a segment");
    let guest = Cache::attach(&name.0).expect("it is there");
    let (mut rng, done) = (Rng::new(9), AtomicU64::new(0));
    (0..500).for_each(|_| use_it(&guest, &mut rng, &done));
    let _ = guest.insert(&context(), &id(1), &vec![0; guest.max_session() + 5], soon());
    let (before, lines) = (keeper.stats(), keeper.processes().len());
    assert_eq!((before.stored_new + before.stored_replaced, before.refused_too_large), (500, 1));
    drop(guest);
    assert_eq!((keeper.stats(), keeper.processes().len()), (before, lines - 1));
    assert_eq!(before.largest_refused as usize, keeper.max_session() + 5, "a maximum, not a sum");
    drop(keeper);
    assert_eq!(Options::new().inspect(&name.0).expect("it stays").stats(), before);
}

/// Who adds up while counters move from a line to the totals adds them once. A sum that is too high
/// for a moment is one that goes back: exporters would take that for a new segment.
#[test]
fn sums_never_go_back_while_processes_leave() {
    let _turn = alone();
    let name = Named::new("monotone");
    drop(Options::new().size(1 << 20).processes(16).create(&name.0).expect("a segment"));
    let comes_and_goes = || -> () {
        let (mut rng, done) = (Rng::new(3), AtomicU64::new(0));
        loop {
            let cache = patient().populate(false).attach(&name.0).expect("it is there");
            (0..5).for_each(|_| use_it(&cache, &mut rng, &done));
        }
    };
    let worker = fork(comes_and_goes);
    let inspector = Options::new().inspect(&name.0).expect("it is there");
    let mut before = inspector.stats();
    while before.lookups() < 20_000 {
        let now = inspector.stats();
        for ((counter, earlier), (_, value)) in before.fields().into_iter().zip(now.fields()) {
            assert!(earlier <= value, "{counter}: {earlier}, then {value}");
        }
        before = now;
    }
    worker.kill();
}
