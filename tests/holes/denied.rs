//! System calls that a seccomp filter denies: each one that the library makes. What opens a segment
//! says what it lacks; what works in one goes on, as well as it can, and never hangs.

use std::error::Error;
use std::ffi::{c_int, c_long};
use std::io;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use shmtls::{AttachError, Cache, CreateError, Inspector, Miss, Options};

use crate::lab::{DEADLINE, Lock, assert_whole, lock_word, one_bucket};
use crate::payload::{Named, check, context, id, payload, soon, with_buckets};
use crate::procs::{alone, fork};
use crate::seccomp;

/// What remains without a system call.
struct Without {
    /// Its name, and its numbers: a libc may use either.
    call: &'static str,
    numbers: &'static [c_long],
    /// What is refused: to create a memfd, to create a file, to attach, to look.
    refused: [bool; 4],
    operations: Operations,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operations {
    GoOn,
    /// Locks without the kernel's help at a death.
    Unannounced,
    /// Who is dead cannot be told from who lives: a deadline instead.
    FearTheDead,
    /// A thread without an ID can own nothing.
    GiveUp,
}
use Operations::{FearTheDead, GiveUp, GoOn, Unannounced};

const fn without(
    call: &'static str,
    numbers: &'static [c_long],
    refused: [u8; 4],
    operations: Operations,
) -> Without {
    let [memfd, named, attach, look] = refused;
    let refused = [memfd == 1, named == 1, attach == 1, look == 1];
    Without { call, numbers, refused, operations }
}

const CALLS: [Without; 26] = [
    without("getrandom", &[libc::SYS_getrandom], [1, 1, 0, 0], GoOn),
    without("memfd_create", &[libc::SYS_memfd_create], [1, 0, 0, 0], GoOn),
    without("openat", &[libc::SYS_openat], [1, 1, 1, 1], GoOn),
    without("read", &[libc::SYS_read], [1, 1, 1, 0], GoOn),
    without("pread", &[libc::SYS_pread64], [0, 0, 1, 1], GoOn),
    without("stat", STAT, [1, 1, 1, 1], GoOn),
    without("statx", &[libc::SYS_statx], [0, 0, 0, 0], GoOn),
    without("fstatfs", &[libc::SYS_fstatfs], [0, 1, 1, 1], GoOn),
    without("fchmod", &[libc::SYS_fchmod], [1, 1, 0, 0], GoOn),
    without("fallocate", &[libc::SYS_fallocate], [1, 1, 0, 0], GoOn),
    without("fcntl", &[libc::SYS_fcntl], [1, 0, 0, 0], GoOn),
    without("linkat", &[libc::SYS_linkat], [0, 1, 0, 0], GoOn),
    without("mmap", &[libc::SYS_mmap], [1, 1, 1, 1], GoOn),
    without("munmap", &[libc::SYS_munmap], [0, 0, 0, 0], GoOn),
    without("madvise", &[libc::SYS_madvise], [1, 1, 1, 1], GoOn),
    without("mlock", &[libc::SYS_mlock], [0, 0, 0, 0], GoOn),
    without("close", &[libc::SYS_close], [0, 0, 0, 0], GoOn),
    without("prlimit", &[libc::SYS_prlimit64, libc::SYS_getrlimit], [0, 0, 0, 0], GoOn),
    without("getpid", &[libc::SYS_getpid], [0, 0, 0, 0], GoOn),
    without("geteuid", &[libc::SYS_geteuid], [0, 0, 0, 0], GoOn),
    without("clock_gettime", &[libc::SYS_clock_gettime], [0, 0, 0, 0], GoOn),
    without("set_robust_list", &[libc::SYS_set_robust_list], [0, 0, 0, 0], GoOn),
    without("get_robust_list", &[libc::SYS_get_robust_list], [0, 0, 0, 0], Unannounced),
    without("futex", &[libc::SYS_futex], [0, 0, 0, 0], GoOn),
    without("kill", &[libc::SYS_kill], [0, 0, 0, 0], FearTheDead),
    without("gettid", &[libc::SYS_gettid], [0, 0, 0, 0], GiveUp),
];

#[cfg(target_arch = "x86_64")]
const STAT: &[c_long] = &[libc::SYS_newfstatat, libc::SYS_fstat, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
const STAT: &[c_long] = &[libc::SYS_newfstatat, libc::SYS_fstat];

/// A filter that knew all calls of last year's libc but one: nothing aborts, nothing hangs, and
/// whatever is refused names the system's answer.
#[test]
fn every_system_call_may_be_denied() {
    let _turn = alone();
    if !seccomp::is_available("system calls that are denied") {
        return;
    }
    for without in &CALLS {
        for errno in [libc::EPERM, libc::ENOSYS] {
            opening(without, errno);
            working(without, errno);
        }
    }
}

/// Each way to a segment opens, or says why not and leaves nothing behind.
fn opening(without: &Without, errno: c_int) {
    let options = with_buckets(Options::new().processes(8), 1, 32 << 10).lock_memory(true);
    let (there, new) = (Named::new("denied-there"), Named::new("denied-new"));
    drop(options.create(&there.0).expect("a segment"));
    fork(|| {
        deny(without, errno);
        let [memfd, named, attach, look] = without.refused;
        let told = |what| format!("{what} without {} ({errno})", without.call);
        assert_opens(options.create_memfd(), memfd, errno, &told("a memfd"));
        assert_opens(options.create(&new.0), named, errno, &told("a file"));
        assert_opens(options.attach(&there.0), attach, errno, &told("attaching"));
        assert_opens(options.inspect(&there.0), look, errno, &told("a look"));
    })
    .join();
    assert_eq!(new.path().exists(), !without.refused[1], "without {}", without.call);
}

fn deny(without: &Without, errno: c_int) {
    without.numbers.iter().for_each(|number| seccomp::deny(*number, errno));
}

fn assert_opens<T, E: Error + Answer>(
    result: Result<T, E>,
    is_refused: bool,
    errno: c_int,
    what: &str,
) {
    match result {
        Ok(_) => assert!(!is_refused, "{what} is not possible"),
        Err(error) => {
            // Who does not know who he is believes root only: `WrongOwner`.
            if what.contains("geteuid") && !geteuid().is_root() {
                return;
            }
            assert!(is_refused, "{what}: {error}");
            let answer = error.answer().and_then(io::Error::raw_os_error);
            assert_eq!(answer, Some(errno), "{what}: {error}");
        }
    }
}

/// What the system answered.
trait Answer {
    fn answer(&self) -> Option<&io::Error>;
}

impl Answer for CreateError {
    fn answer(&self) -> Option<&io::Error> {
        if let Self::Io { source, .. } = self { Some(source) } else { None }
    }
}

impl Answer for AttachError {
    fn answer(&self) -> Option<&io::Error> {
        if let Self::Io { source, .. } = self { Some(source) } else { None }
    }
}

/// A process that has a segment already works in it: alone, beside a sleeper, beside a living owner
/// and after a dead one.
fn working(without: &Without, errno: c_int) {
    let cache = one_bucket();
    let (word, own_pid) = (lock_word(&cache, Lock::Bucket), std::process::id());
    let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
    let inspector = Options::new().inspect_fd(fd).expect("a look");
    fork(|| {
        deny(without, errno);
        let told = format!("without {} ({errno})", without.call);
        for owner in [0, WAITERS] {
            word.store(owner, SeqCst);
            assert_eq!(works(&cache), without.operations != GiveUp, "{told}");
        }
        word.store(own_pid, SeqCst);
        assert_gives_up(&cache, without, &told);
        word.store(DEAD, SeqCst);
        assert_eq!(works(&cache), has_taken_over(without), "after a death, {told}");
        assert_sees(&inspector);
    })
    .join();
    assert_eq!(word.load(SeqCst) & DEAD, if has_taken_over(without) { 0 } else { DEAD });
    assert_whole(&cache);
    let stats = cache.stats();
    assert_eq!(stats.locks_without_kernel > 0, without.operations == Unannounced, "{stats:?}");
    assert_eq!((stats.owner_died_stolen, stats.repair_lost), (1, 0), "{stats:?}");
}

fn has_taken_over(without: &Without) -> bool {
    matches!(without.operations, GoOn | Unannounced)
}

/// Section 7 of the contract.
const WAITERS: u32 = 0x8000_0000;
/// An ID that no thread has.
const DEAD: u32 = 0x3fff_fff0;

/// Stores, finds and takes; `false` if all of it gave up.
fn works(cache: &Cache) -> bool {
    let bytes = payload(1000, 1, 100);
    let stored = cache.insert(&context(), &id(1000), &bytes, soon()).is_stored();
    let found = cache.get_session(&context(), &id(1)).map(|session| check(1, session.bytes()));
    let taken = cache.take(&context(), &id(1000)).map(|session| check(1000, session.bytes()));
    match (stored, found, taken) {
        (true, Ok(1), Ok(1)) => true,
        // What changes nothing needs no lock.
        (false, Ok(1), Err(Miss::Absent)) => false,
        other => panic!("{other:?}"),
    }
}

/// A living owner costs the deadline: no more, and no less unless there is no use in waiting.
fn assert_gives_up(cache: &Cache, without: &Without, told: &str) {
    let start = Instant::now();
    assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy), "{told}");
    let waited = start.elapsed();
    assert!(waited >= DEADLINE || without.operations == GiveUp, "{told}: {waited:?}");
    // Other tests measure it: here it only must not hang.
    assert!(waited < Duration::from_secs(10), "{told}: {waited:?}");
}

fn assert_sees(inspector: &Inspector) {
    let mut seen = 0;
    assert_eq!(inspector.for_each(|_| seen += 1), 0);
    assert_eq!(seen, crate::lab::SESSIONS);
}
