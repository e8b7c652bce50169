//! Who has the key: children by inheritance, others by being handed it, and nobody else.

use std::collections::HashSet;
use std::env;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{AttachError, Cache, Library, NewSession, OpenError, Options, SealingKey};

use crate::lab::{Intruder, key, sealed};
use crate::payload::{HEAD, Named, check, context, id, payload, soon};
use crate::procs::{alone, fork, join_all};
use crate::scoreboard::{Barrier, Shared};
use crate::tls_lab::{Client, VERSIONS, server};

const WORKERS: u64 = 4;
const EACH: u64 = 100;

/// On a full machine the owner of a lock may be without a core for longer than the usual deadline.
fn small() -> Options {
    Options::new().size(1 << 20).processes(16).lock_deadline(Duration::from_secs(5))
}

fn put(cache: &Cache, number: u64, serial: u64) {
    let bytes = payload(number, serial, HEAD + 30);
    assert!(cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
}

/// A nonce that parent and child both count on from the fork would encrypt two sessions with one
/// key stream. All salts of all processes are looked at; one of them did not fit into the table.
#[test]
fn forked_workers_share_the_key_and_never_a_salt() {
    let _turn = alone();
    let options = small().processes(WORKERS as u32);
    let cache = options.sealed(&key()).create_memfd().expect("a sealed segment");
    put(&cache, WORKERS * EACH, WORKERS);
    let stored = Shared::<Barrier>::new();
    let work = |worker| {
        for number in worker * EACH..(worker + 1) * EACH {
            put(&cache, number, worker);
        }
        stored.wait(WORKERS as u32);
        for number in 0..=WORKERS * EACH {
            let found = cache.get_session(&context(), &id(number)).expect("stored by somebody");
            assert_eq!(found.is_foreign(), check(number, found.bytes()) != worker);
        }
    };
    let work = &work;
    // Children, and a child of the last of them.
    let last = WORKERS - 1;
    let children = (0..last).map(|worker| {
        fork(move || match worker + 1 == last {
            false => work(worker),
            true => join_all([fork(|| work(last)), fork(|| work(worker))]),
        })
    });
    join_all(children);
    assert_eq!(cache.stats().misses(), 0);
    let records = Intruder::at(&cache).records_of(|id| id[8..] == [0x5a; 24]);
    assert_eq!(records.len() as u64, WORKERS * EACH + 1);
    let salts: HashSet<&[u8]> = records.iter().map(|record| &record[56..72]).collect();
    assert_eq!(salts.len(), records.len());
}

/// Processes that have nothing in common but the name, and the key from a pipe.
#[test]
fn started_workers_attach_with_the_key_they_were_handed() {
    let _turn = alone();
    const NAME: &str = "SHMTLS_TEST_SEALED";
    if let Ok(name) = env::var(NAME) {
        let mut bytes = [0; SealingKey::LEN];
        std::io::stdin().read_exact(&mut bytes).expect("a key");
        let key = SealingKey::from_bytes(&bytes);
        let cache = small().sealed(&key).attach(&name).expect("the right key");
        assert_eq!(check(1, cache.take(&context(), &id(1)).expect("stored").bytes()), 7);
        put(&cache, 2, 8);
        return;
    }
    let (name, key) = (Named::new("sealed"), key());
    let cache = small().sealed(&key).create(&name.0).expect("a sealed segment");
    put(&cache, 1, 7);
    let mut worker = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "sharing::started_workers_attach_with_the_key_they_were_handed"])
        .env(NAME, &name.0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    worker.stdin.take().expect("a pipe").write_all(key.as_bytes()).expect("it reads");
    let output = worker.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(check(2, cache.get_session(&context(), &id(2)).expect("stored").bytes()), 8);
    assert_eq!(cache.stats().taken, 1);
}

/// A worker that lost its key must not store plain sessions into a sealed segment, nor one with a
/// wrong key fill it with what nobody can open: it is told at the start, and writes not a byte.
#[test]
fn without_the_right_key_nobody_attaches() {
    let (name, right) = (Named::new("refused"), key());
    let cache = small().sealed(&right).create(&name.0).expect("a sealed segment");
    put(&cache, 1, 7);
    let before = Intruder::at(&cache).all();
    let fd = || cache.fd().try_clone_to_owned().expect("a descriptor");
    for options in [small(), Options::new()] {
        assert_told(options.attach(&name.0), "no key");
        assert_told(options.open_or_create(&name.0).map_err(attach_error), "no key");
        assert_told(options.sealed(&key()).attach(&name.0), "another key");
    }
    assert!(matches!(Options::new().attach(&name.0), Err(AttachError::SealingKeyMissing)));
    let wrong = Options::new().sealed(&key()).attach(&name.0);
    assert!(matches!(wrong, Err(AttachError::SealingKeyWrong)), "{wrong:?}");
    assert!(Intruder::at(&cache).all() == before, "refused, but written to");

    let plain = small().create_memfd().expect("a plain segment");
    let there = plain.fd().try_clone_to_owned().expect("a descriptor");
    let unused = Options::new().sealed(&right).attach_fd(there);
    assert!(matches!(unused, Err(AttachError::SealingKeyUnused)), "{unused:?}");
    assert_told(unused, "not sealed");

    let again = Options::new().sealed(&right).attach(&name.0).expect("the right key");
    assert_eq!(check(1, again.get_session(&context(), &id(1)).expect("there").bytes()), 7);
    assert!(again.is_sealed() && cache.is_sealed() && !plain.is_sealed());

    // A look needs none, and sees no bytes.
    let inspector = Options::new().inspect_fd(fd()).expect("a look is free");
    assert!(inspector.is_sealed());
    let mut seen = Vec::new();
    inspector.for_each(|entry| seen.push((*entry.id(), entry.len(), entry.expiry() > soon())));
    assert_eq!(seen, [(id(1), HEAD + 30, false)]);
}

fn attach_error(error: OpenError) -> AttachError {
    match error {
        OpenError::Attach(error) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_told(attempt: Result<Cache, AttachError>, fact: &str) {
    let error = attempt.expect_err("this must be refused");
    assert!(error.to_string().contains(fact), "{error}");
    assert!(error.hint().contains("key"), "{}", error.hint());
}

/// Of any number of takers one has it; sealing must not let a second have what the first opens.
#[test]
fn a_sealed_session_is_taken_once() {
    let _turn = alone();
    const ROUNDS: u64 = 200;
    let cache = small().sealed(&key()).create_memfd().expect("a sealed segment");
    for number in 0..ROUNDS {
        let bytes = payload(number, 1, 100);
        let _ =
            cache.store(&context(), &id(number), &NewSession::new(&bytes, soon()).single_use(true));
    }
    let wins = Shared::<AtomicU64>::new();
    let start = Shared::<Barrier>::new();
    join_all((0..WORKERS).map(|_| {
        fork(|| {
            for number in 0..ROUNDS {
                start.wait(WORKERS as u32);
                if let Ok(session) = cache.resume(&context(), &id(number), Library::Raw) {
                    check(number, session.bytes());
                    wins.fetch_add(1, SeqCst);
                }
            }
        })
    }));
    assert_eq!((wins.load(SeqCst), cache.stats().taken), (ROUNDS, ROUNDS));
    assert_eq!((cache.len(), cache.stats().misses_forged), (0, 0));
}

/// The adapter goes through the cache, and notices nothing.
#[test]
fn openssl_resumes_from_a_sealed_segment() {
    for version in VERSIONS {
        let cache = Options::new().size(4 << 20).sealed(&key()).create_memfd().expect("a segment");
        let workers = [server(&cache), server(&cache)];
        let mut session = Client::new(version).visit(&workers[0]).close();
        for worker in workers.iter().cycle().skip(1).take(4) {
            let visit = Client::new(version).session(&session).visit(worker);
            assert!(visit.reused, "{version:?}");
            session = visit.close();
        }
        assert_eq!((cache.stats().hits, cache.stats().misses()), (4, 0), "{version:?}");
    }
}

/// Hooks and counters call it what it is.
#[test]
fn the_same_session_again_counts_as_replaced() {
    let cache = sealed();
    put(&cache, 1, 7);
    put(&cache, 1, 7);
    let stats = cache.stats();
    assert_eq!((stats.stored_new, stats.stored_replaced, stats.stored_unchanged), (1, 1, 0));
    assert_eq!(cache.len(), 1);
}
