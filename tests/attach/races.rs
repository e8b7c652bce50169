//! Many at once, and death in between: a segment appears whole, once, and stays.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread::sleep;
use std::time::Duration;

use shmtls::{CreateError, Options};

use crate::header::Field;
use crate::lab::{Place, assert_works, open, refused, small};
use crate::payload::{check, context, id, payload, soon};
use crate::procs::{self, Child, fork_reporting, join_all};
use crate::scoreboard::{Barrier, Shared};

const PARTIES: u32 = 16;

/// Runs `work` in 16 processes at once; it is told its number.
fn all_at_once(work: impl Fn(u32, &Barrier)) {
    let (barrier, report) = (Shared::<Barrier>::new(), procs::Report::new());
    let child = |number| {
        fork_reporting(&report, || {
            barrier.wait(PARTIES);
            work(number, &barrier);
        })
    };
    let children: Vec<Child> = (0..PARTIES).map(child).collect();
    join_all(children);
}

#[test]
fn of_sixteen_that_open_or_create_at_once_one_creates_and_all_share() {
    for round in 0..10 {
        let place = Place::new();
        let path = place.path("s");
        let inodes = Shared::<[AtomicU64; PARTIES as usize]>::new();
        let pids = Shared::<[AtomicU64; PARTIES as usize]>::new();
        all_at_once(|number, barrier| {
            let cache =
                small().processes(64).events(0).open_or_create(&path).expect("created or attached");
            let stat = nix::sys::stat::fstat(cache.fd()).expect("fstat");
            inodes[number as usize].store(stat.st_ino, SeqCst);
            pids[number as usize].store(std::process::id().into(), SeqCst);
            let number = u64::from(number);
            let bytes = payload(number, round, 100);
            assert!(cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
            barrier.wait(PARTIES);
            for other in 0..u64::from(PARTIES) {
                let session = cache.get_session(&context(), &id(other)).expect("shared");
                assert_eq!(check(other, session.bytes()), round);
            }
            assert_eq!(cache.processes().len(), PARTIES as usize);
            barrier.wait(PARTIES);
        });
        let inode = fs::metadata(&path).expect("there").ino();
        assert!(inodes.iter().all(|other| other.load(SeqCst) == inode), "two segments");
        assert_eq!(place.files().len(), 1);
        let creator = Field::named("creator_pid").value(&open(&path));
        assert!(pids.iter().any(|pid| pid.load(SeqCst) == creator));
        let stats = Options::new().inspect(&path).expect("a segment").stats();
        assert_eq!((stats.stored_new, stats.hits), (16, 256));
        assert_eq!(stats.foreign_hits, 240);
    }
}

#[test]
fn of_sixteen_that_create_at_once_one_succeeds() {
    for _ in 0..10 {
        let place = Place::new();
        let path = place.path("s");
        let winners = Shared::<AtomicU32>::new();
        all_at_once(|_, _| match small().create(&path) {
            Ok(cache) => {
                winners.fetch_add(1, SeqCst);
                assert_works(&cache);
            }
            Err(error) => {
                assert!(matches!(error, CreateError::AlreadyExists { .. }), "{error:?}");
                assert_works(&small().attach(&path).expect("whole from the first moment on"));
            }
        });
        assert_eq!((winners.load(SeqCst), place.files().len()), (1, 1));
    }
}

/// Boost.Interprocess: a creator killed between "created" and "initialised" lets all others wait
/// for ever.
#[test]
fn a_creator_that_is_killed_leaves_nothing_or_a_whole_segment() {
    let (mut whole, mut delay) = (0, 1);
    for _ in 0..40 {
        let place = Place::new();
        let creator = procs::fork(|| {
            for n in 0..1000 {
                let path = place.path(&n.to_string());
                small().create(&path).expect("a segment");
                // No more than a few at a time.
                if n >= 4 {
                    fs::remove_file(place.path(&(n - 4).to_string())).expect("there");
                }
            }
            loop {
                sleep(Duration::from_secs(1));
            }
        });
        delay = delay * 75 % 65_537;
        sleep(Duration::from_micros(u64::from(delay as u32 % 12_000)));
        creator.kill();
        for file in place.files() {
            let path = file.to_str().expect("UTF-8");
            assert_works(&Options::new().attach(path).expect("whole"));
            whole += 1;
        }
    }
    assert!(whole > 0, "no creator got as far as its first segment");
}

#[test]
fn a_named_segment_outlives_its_users_however_they_go() {
    let place = Place::new();
    let path = place.path("s");
    for (killed, first) in [(false, 0), (true, 10)] {
        let ready = Shared::<AtomicU32>::new();
        let user = procs::fork(|| {
            let cache = small().open_or_create(&path).expect("a segment");
            for n in first..first + 10 {
                let bytes = payload(n, 7, 200);
                assert!(cache.insert(&context(), &id(n), &bytes, soon()).is_stored());
            }
            ready.store(1, SeqCst);
            if killed {
                sleep(Duration::from_secs(60));
            }
        });
        while ready.load(SeqCst) == 0 {
            sleep(Duration::from_millis(1));
        }
        if killed { user.kill() } else { user.join() }
    }
    let cache = small().attach(&path).expect("it is still there");
    for n in 0..20 {
        let session = cache.get_session(&context(), &id(n)).expect("stored by one who is gone");
        assert_eq!(check(n, session.bytes()), 7);
    }
    let stats = cache.stats();
    assert_eq!((stats.stored_new, stats.hits, stats.foreign_hits), (20, 20, 20));
    assert_eq!(refused(small().create(&path)).to_string(), format!("{path} exists already"));
    drop(cache);
    fs::remove_file(&path).expect("nobody needs it");
    small().create(&path).expect("the name is free");
}
