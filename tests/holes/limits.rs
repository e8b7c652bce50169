//! Resource limits: of descriptors, address space, locked memory, file size and threads. Each is a
//! typed error where a segment is opened, and nothing at all to who works in one.

use std::fs::{File, read_dir};
use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use nix::unistd::{Uid, setuid};
use shmtls::{AttachError, CreateError, KeyError, Miss, Options, Rotation};

use crate::lab::{DEADLINE, assert_whole, assert_whole_soon, caught, one_bucket};
use crate::owners::use_a_robust_mutex;
use crate::payload::{Named, context, id};
use crate::procs::{alone, fork, notice};

/// For this process from now on. The limits are 64 bits wide on every machine we know.
fn limit(resource: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit { rlim_cur: to, rlim_max: to };
    // SAFETY: setrlimit reads the live local.
    let result = unsafe { libc::setrlimit(resource, &raw const limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn answer_of_create(error: CreateError) -> (&'static str, Option<i32>) {
    match error {
        CreateError::Io { action, source, .. } => (action, source.raw_os_error()),
        other => panic!("{other:?}"),
    }
}

fn answer_of_attach(error: AttachError) -> (&'static str, Option<i32>) {
    match error {
        AttachError::Io { action, source, .. } => (action, source.raw_os_error()),
        other => panic!("{other:?}"),
    }
}

/// With one descriptor left the file could be opened, and the boot's ID could not: a new segment
/// had none and was refused to everybody, and one that was alive was called another boot's, with
/// the advice to remove it.
#[test]
fn too_few_descriptors_are_told_as_such() {
    let _turn = alone();
    let (there, new) = (Named::new("fds-there"), Named::new("fds-new"));
    drop(Options::new().size(1 << 20).create(&there.0).expect("a segment"));
    let options = Options::new().size(1 << 20);
    for spare in [0, 1] {
        fork(|| {
            let next = read_dir("/proc/self/fd").expect("/proc").count() as u64 - 1;
            fill_gaps(next);
            limit(libc::RLIMIT_NOFILE, next + spare);
            let full = Some(libc::EMFILE);
            let expected = |first| (if spare == 0 { first } else { "ask /proc about" }, full);
            let error = options.create_memfd().expect_err("a memfd");
            assert_eq!(answer_of_create(error), expected("create"));
            let error = options.create(&new.0).expect_err("a file");
            assert_eq!(answer_of_create(error), expected("open the directory of"));
            let error = options.attach(&there.0).expect_err("attaching");
            assert_eq!(answer_of_attach(error), expected("open"));
            let looked = Options::new().inspect(&there.0);
            assert_eq!(looked.is_ok(), spare > 0, "{:?}", looked.err());
        })
        .join();
        assert!(!new.path().exists(), "something was left behind");
    }
    drop(Options::new().size(1 << 20).attach(&there.0).expect("a segment as before"));
}

/// Descriptors below `next` are all in use, however the harness left them.
fn fill_gaps(next: u64) {
    while let Ok(file) = File::open("/dev/null") {
        use std::os::fd::AsRawFd;
        if file.as_raw_fd() as u64 >= next {
            return;
        }
        std::mem::forget(file);
    }
}

/// Without a descriptor nobody can read /proc: who works goes on, joins the table, and finds the
/// dead by signals. A zombie costs the deadline until it is reaped.
#[test]
fn without_a_descriptor_left_operations_go_on() {
    let _turn = alone();
    let cache = one_bucket();
    fork(|| {
        let die_unmarked = || {
            use_a_robust_mutex();
            let _ = raise(Signal::SIGKILL);
        };
        let owner = caught(&cache, die_unmarked);
        owner.wait_zombie();
        limit(libc::RLIMIT_NOFILE, 0);
        let start = Instant::now();
        assert_eq!(cache.size_of(&context(), &id(1)), Err(Miss::Busy));
        assert!(start.elapsed() >= DEADLINE);
        drop(owner);
        assert_whole(&cache);
        assert_eq!(cache.processes().len(), 3, "it has a line of its own");
    })
    .join();
    let stats = cache.stats();
    assert_eq!((stats.owner_died_stolen, stats.repair_lost), (1, 0), "{stats:?}");
}

/// No room for the mapping is an error, before anybody can see the file.
#[test]
fn too_little_address_space_is_told_as_such() {
    let _turn = alone();
    let (there, new) = (Named::new("as-there"), Named::new("as-new"));
    let options = Options::new().size(64 << 20).populate(false);
    drop(options.create(&there.0).expect("a segment"));
    let cache = one_bucket();
    fork(|| {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc");
        let pages: u64 = statm.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        limit(libc::RLIMIT_AS, pages * 4096 + (16 << 20));
        let expected = ("map", Some(libc::ENOMEM));
        assert_eq!(answer_of_create(options.create_memfd().expect_err("a memfd")), expected);
        assert_eq!(answer_of_create(options.create(&new.0).expect_err("a file")), expected);
        assert_eq!(answer_of_attach(options.attach(&there.0).expect_err("attaching")), expected);
        assert!(Options::new().inspect(&there.0).is_err());
        assert_whole(&cache);
    })
    .join();
    assert!(!new.path().exists(), "something was left behind");
    assert_whole(&cache);
}

/// The kernel answers a file that is too long with SIGXFSZ: the process that wanted a cache was
/// gone, with a core dump.
#[test]
fn a_file_size_limit_is_an_error_and_no_signal() {
    let _turn = alone();
    let (there, new) = (Named::new("fsize-there"), Named::new("fsize-new"));
    let options = Options::new().size(1 << 20);
    drop(options.create(&there.0).expect("a segment"));
    fork(|| {
        limit(libc::RLIMIT_FSIZE, 64 << 10);
        let expected = ("reserve memory for", Some(libc::EFBIG));
        assert_eq!(answer_of_create(options.create_memfd().expect_err("a memfd")), expected);
        assert_eq!(answer_of_create(options.create(&new.0).expect_err("a file")), expected);
        // What is there already is not written as a file.
        let cache = options.attach(&there.0).expect("it is there");
        let bytes = vec![7; cache.max_session()];
        for number in 0..200 {
            let outcome = cache.insert(&context(), &id(number), &bytes, crate::payload::soon());
            assert!(outcome.is_stored());
        }
    })
    .join();
    assert!(!new.path().exists(), "something was left behind");
}

/// That memory cannot be locked is said, not failed: `attach/handed_over.rs` has the privileges.
#[test]
fn a_limit_of_locked_memory_leaves_a_cache_that_says_so() {
    let _turn = alone();
    fork(|| {
        limit(libc::RLIMIT_MEMLOCK, 0);
        if nix::unistd::geteuid().is_root() {
            setuid(Uid::from_raw(65_534)).expect("root may");
        }
        let cache = Options::new().size(1 << 20).lock_memory(true).create_memfd().expect("one");
        assert!(!cache.is_memory_locked());
        assert!(cache.insert(&context(), &id(1), b"works", crate::payload::soon()).is_stored());
    })
    .join();
}

/// The one thread that the library makes on demand rotates keys.
#[test]
fn a_limit_of_threads_refuses_the_rotator_and_nothing_else() {
    let _turn = alone();
    let cache = one_bucket();
    fork(|| {
        if nix::unistd::geteuid().is_root() {
            setuid(Uid::from_raw(65_533)).expect("root may");
        }
        limit(libc::RLIMIT_NPROC, 0);
        if std::thread::Builder::new().spawn(|| ()).is_ok() {
            notice("SKIPPED: this user may make threads beyond every limit");
            return;
        }
        let rotator = cache.rotate_keys(Rotation::every(Duration::from_secs(60)));
        assert!(matches!(rotator, Err(KeyError::Thread(_))), "{rotator:?}");
        assert_whole_soon(&cache);
    })
    .join();
    assert_whole(&cache);
}
