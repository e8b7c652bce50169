//! Updates from several processes and sources, and what everybody sees of them.

use std::fs;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{Cache, KeyError, KeyFiles, KeyFormat, KeyRole, KeySource, KeyStatus, Options};

use super::procs::{self, alone, join_all};
use super::raw::{Raw, bytes48, bytes80, key};
use super::scoreboard::{Barrier, Shared, Zeroed};
use super::segment;

#[repr(C)]
#[derive(Debug)]
struct Board {
    barrier: Barrier,
    pids: [AtomicU64; 8],
    /// Digest of the ring that each process ended on.
    ends: [AtomicU64; 8],
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

fn digest(status: &KeyStatus) -> u64 {
    let text = format!("{status:?}");
    xxhash_rust::xxh3::xxh3_64(text.as_bytes())
}

fn key_epoch_of(cache: &Cache, pid: u64) -> Option<u64> {
    let processes = cache.processes();
    processes.iter().find(|p| u64::from(p.pid()) == pid).map(shmtls::ProcessInfo::key_epoch)
}

/// By wall clock, two machines' clocks decide who was last; here there is one count.
#[test]
fn files_and_calls_from_four_processes_end_on_one_ring_everywhere() {
    let _turn = alone();
    const PROCESSES: usize = 4;
    const ALL: u32 = PROCESSES as u32 + 1;
    const UPDATES: u64 = 400;
    let (cache, board) = (segment(), Shared::<Board>::new());
    let dir = tempfile::tempdir().expect("a directory");
    let children = (0..PROCESSES).map(|me| {
        let (cache, board, dir) = (&cache, &board, dir.path());
        procs::fork(move || {
            board.pids[me].store(std::process::id().into(), SeqCst);
            let path = dir.join(format!("{me}.key"));
            let mut files = KeyFiles::new(KeyFormat::Nginx80, [&path]);
            board.barrier.wait(ALL);
            for round in 0..UPDATES {
                let n = me as u64 * UPDATES + round + 1;
                let published = match round % 3 {
                    0 => {
                        fs::write(&path, bytes80(n)).expect("written");
                        cache.keys().load(&mut files)
                    }
                    1 => cache.keys().publish(vec![key(n), key(n + 100_000)]),
                    _ => cache.keys().ticket_key_update(&bytes48(n)),
                };
                let epoch = published.expect("a valid update").epoch;
                let seen = cache.keys().status().expect("there are keys");
                assert!(seen.epoch >= epoch, "{} after {epoch} was published", seen.epoch);
            }
            board.barrier.wait(ALL);
            let end = cache.keys().status().expect("there are keys");
            board.ends[me].store(digest(&end), SeqCst);
            board.barrier.wait(ALL);
            board.barrier.wait(ALL);
        })
    });
    let children: Vec<procs::Child> = children.collect();
    // They start, are done, and have looked.
    (0..3).for_each(|_| board.barrier.wait(ALL));
    let status = cache.keys().status().expect("there are keys");
    assert_eq!(status.epoch, PROCESSES as u64 * UPDATES, "each update counted once");
    for me in 0..PROCESSES {
        assert_eq!(board.ends[me].load(SeqCst), digest(&status), "process {me} has other keys");
        let shown = key_epoch_of(&cache, board.pids[me].load(SeqCst));
        assert_eq!(shown, Some(status.epoch), "process {me} in the table");
    }
    let last = board.pids.iter().any(|pid| pid.load(SeqCst) == u64::from(status.writer_pid));
    assert!(last, "the last update was that of process {}", status.writer_pid);
    board.barrier.wait(ALL);
    join_all(children);
}

/// A worker forked by a parent that had loaded the keys used them, and the table said that it used
/// none.
#[test]
fn a_forked_worker_shows_the_epoch_of_the_keys_it_inherited() {
    let _turn = alone();
    let (cache, board) = (segment(), Shared::<Board>::new());
    cache.keys().publish(vec![key(1)]).expect("valid");
    assert_eq!(cache.keys().status().map(|status| status.epoch), Some(1));
    let child = procs::fork(|| {
        board.pids[0].store(std::process::id().into(), SeqCst);
        assert!(cache.keys().status().is_some());
        board.barrier.wait(2);
        board.barrier.wait(2);
    });
    board.barrier.wait(2);
    assert_eq!(key_epoch_of(&cache, board.pids[0].load(SeqCst)), Some(1));
    board.barrier.wait(2);
    child.join();
}

/// The table tells who lags behind: its tickets still are of the old key.
#[test]
fn the_process_table_shows_a_straggler_until_it_uses_the_keys_again() {
    let _turn = alone();
    let (cache, board) = (segment(), Shared::<Board>::new());
    cache.keys().publish(vec![key(1)]).expect("valid");
    let child = procs::fork(|| {
        board.pids[0].store(std::process::id().into(), SeqCst);
        assert!(cache.keys().status().is_some_and(|status| status.epoch == 1));
        board.barrier.wait(2);
        board.barrier.wait(2);
        assert!(cache.keys().status().is_some_and(|status| status.epoch == 3));
        board.barrier.wait(2);
        board.barrier.wait(2);
    });
    board.barrier.wait(2);
    let pid = board.pids[0].load(SeqCst);
    cache.keys().publish(vec![key(2), key(1)]).expect("valid");
    cache.keys().publish(vec![key(3), key(2)]).expect("valid");
    assert_eq!(key_epoch_of(&cache, pid), Some(1));
    assert_eq!(key_epoch_of(&cache, std::process::id().into()), Some(3));
    board.barrier.wait(2);
    board.barrier.wait(2);
    assert_eq!(key_epoch_of(&cache, pid), Some(3));
    board.barrier.wait(2);
    child.join();
}

/// Two machines answer one event with an update each; whoever decided from the older ring must
/// decide anew.
#[test]
fn an_update_over_an_epoch_that_is_no_more_is_refused() {
    let cache = segment();
    for n in 1..=3 {
        cache.keys().publish(vec![key(n)]).expect("valid");
    }
    let raw = Raw::of(&cache);
    let before = raw.bytes();
    for expected in [0, 1, 2, 4, 5, u64::MAX - 1, u64::MAX] {
        let refused = cache.keys().publish_over(expected, vec![key(9)], KeySource::Remote);
        let Err(KeyError::Stale { found, expected: told }) = refused else {
            panic!("over epoch {expected}: {refused:?}");
        };
        assert_eq!((found, told), (3, expected));
        assert_eq!(raw.bytes(), before, "the ring has changed");
    }
    let published = cache.keys().publish_over(3, vec![key(9)], KeySource::Remote);
    assert_eq!(published.expect("the ring's own epoch").epoch, 4);
    assert_eq!(cache.keys().status().map(|status| status.source), Some(KeySource::Remote));
}

/// Of any number that decide from one ring, one wins.
#[test]
fn of_sixteen_updates_over_one_epoch_exactly_one_counts() {
    let _turn = alone();
    const PROCESSES: u32 = 16;
    const ROUNDS: u64 = 50;
    let (cache, board) = (segment(), Shared::<Board>::new());
    let won = Shared::<[AtomicU64; ROUNDS as usize]>::new();
    let children = (0..u64::from(PROCESSES)).map(|me| {
        let (cache, board, won) = (&cache, &board, &won);
        procs::fork(move || {
            for round in 0..ROUNDS {
                let keys = vec![key(me * ROUNDS + round + 1)];
                board.barrier.wait(PROCESSES);
                match cache.keys().publish_over(round, keys, KeySource::Api) {
                    Ok(published) => {
                        assert_eq!(published.epoch, round + 1);
                        won[round as usize].fetch_add(1, SeqCst);
                    }
                    Err(KeyError::Stale { found, .. }) => assert_eq!(found, round + 1),
                    Err(other) => panic!("{other}"),
                }
            }
        })
    });
    join_all(children.collect::<Vec<procs::Child>>());
    assert!(won.iter().all(|won| won.load(SeqCst) == 1), "{won:?}");
    assert_eq!(cache.keys().epoch(), ROUNDS);
}

#[test]
fn a_key_file_is_taken_over_when_it_changes() {
    let cache = segment();
    let dir = tempfile::tempdir().expect("a directory");
    let paths = ["current", "previous"].map(|name| dir.path().join(name));
    fs::write(&paths[0], bytes80(1)).expect("written");
    fs::write(&paths[1], bytes80(2)).expect("written");
    let mut files = KeyFiles::new(KeyFormat::Nginx80, &paths);
    assert!(files.have_changed(), "never read");
    cache.keys().load(&mut files).expect("valid files");
    assert!(!files.have_changed());

    // As nginx's manual has it: the current key becomes the previous one.
    fs::rename(&paths[0], &paths[1]).expect("renamed");
    assert!(files.have_changed());
    assert!(matches!(cache.keys().load(&mut files), Err(KeyError::Io { .. })));
    fs::write(&paths[0], bytes80(3)).expect("written");
    assert!(files.have_changed());
    let published = cache.keys().load(&mut files).expect("valid files");
    assert_eq!((published.epoch, files.have_changed()), (2, false));
    let status = cache.keys().status().expect("there are keys");
    assert_eq!(status.source, KeySource::File);
    let expected = [key(3), key(1)].map(|key| key.fingerprint());
    assert_eq!(status.keys.iter().map(|key| key.fingerprint).collect::<Vec<_>>(), expected);
    assert_eq!(
        status.keys.iter().map(|key| key.role).collect::<Vec<_>>(),
        [KeyRole::Current, KeyRole::Previous]
    );
}

/// Two files with one key: half of a rotation by hand. What was refused once must be looked at
/// again, even if the files stay as they are.
#[test]
fn files_that_make_no_ring_still_count_as_changed() {
    let cache = segment();
    let dir = tempfile::tempdir().expect("a directory");
    let paths = ["current", "previous"].map(|name| dir.path().join(name));
    paths.iter().for_each(|path| fs::write(path, bytes80(1)).expect("written"));
    let mut files = KeyFiles::new(KeyFormat::Nginx80, &paths);
    assert!(matches!(cache.keys().load(&mut files), Err(KeyError::RepeatedName { .. })));
    assert!(files.have_changed());
    assert_eq!(cache.keys().epoch(), 0);
}

/// For the operator's eyes: without a lock, without a write, and with a right to read alone.
#[test]
fn an_inspector_sees_the_ring_and_writes_nothing() {
    let cache = segment();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&cache.fd()));
    let read_only = fs::File::open(path).expect("read-only");
    let inspector = Options::new().inspect_fd(read_only.into()).expect("a segment");
    assert_eq!(inspector.keys(), None);
    for n in 1..40 {
        cache.keys().publish(vec![key(n + 1), key(n)]).expect("valid");
        let before = Raw::of(&cache).bytes();
        assert_eq!(inspector.keys(), cache.keys().status());
        assert_eq!(Raw::of(&cache).bytes(), before);
    }
    let status = inspector.keys().expect("there are keys");
    assert_eq!((status.epoch, status.writer_pid), (39, std::process::id()));
    let age = status.published.elapsed().expect("in the past");
    assert!(age < Duration::from_secs(20), "{age:?}");
}

/// A wild pointer, or a vandal: processes that have keys keep them, others have none, and the next
/// update heals it.
#[test]
fn a_damaged_ring_is_not_used_and_the_next_update_heals_it() {
    let cache = segment();
    cache.keys().publish(vec![key(1)]).expect("valid");
    let before = cache.keys().status();
    let stranger = || {
        let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
        Options::new().attach_fd(fd).expect("attached").keys().status()
    };
    assert_eq!(stranger(), before);
    Raw::of(&cache).damage(16 * 8 + 20);
    assert_eq!(cache.keys().status(), before);
    assert_eq!(stranger(), None);
    cache.keys().publish(vec![key(2), key(1)]).expect("valid");
    assert_eq!(stranger(), cache.keys().status());
    assert_eq!(Raw::of(&cache).ring().map(|ring| ring.keys.len()), Some(2));
}
