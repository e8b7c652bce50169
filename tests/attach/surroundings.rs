//! A machine that is not as usual: a full tmpfs, another PID namespace, no /proc.

use std::fs;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use shmtls::{AttachError, CreateError, OpenError, Options};

use crate::lab::{Place, assert_tells, assert_works, is_allowed, is_root_for, refused, small};
use crate::procs;

/// Mounts a tmpfs for this process and its children only. Says so, and that it did not, where root
/// is not allowed to (in most containers).
fn has_mounted(at: &str, options: &str) -> bool {
    let (private, plain) = (MsFlags::MS_REC | MsFlags::MS_PRIVATE, MsFlags::empty());
    let mounted = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(None::<&str>, "/", None::<&str>, private, None::<&str>))
        .and_then(|()| mount(Some("shmtls"), at, Some("tmpfs"), plain, Some(options)));
    is_allowed(mounted, "a mount of one's own")
}

/// With `ftruncate` alone creation succeeds, and the first worker that touches a page which the
/// tmpfs cannot give dies of SIGBUS, in the middle of a handshake.
#[test]
fn a_tmpfs_that_is_too_small_is_no_space_at_once() {
    if !is_root_for("a segment that does not fit its tmpfs") {
        return;
    }
    let place = Place::new();
    procs::fork(|| {
        let dir = place.path("");
        if !has_mounted(&dir, "size=1m") {
            return;
        }
        let path = place.path("s");
        let total = 1 << 20;
        for needed in [16_384 + 128 * (640 + 32 * 32) + 26 * (32 << 10), 32 << 20, 1 << 40] {
            let error = refused(Options::new().size(needed).create(&path));
            let CreateError::NoSpace { path: told, needed: n, free, total: t } = &error else {
                panic!("{error:?}")
            };
            assert_eq!(told.join(""), std::path::Path::new(&dir));
            assert!(*n <= needed && n + (32 << 10) > needed, "{n} of {needed}");
            assert_eq!((*free, *t), (total, total), "all of it is free again");
            assert_tells(&error, &[&n.to_string(), &free.to_string(), &t.to_string()]);
            assert!(error.hint().contains(&free.to_string()));
            assert!(place.files().is_empty(), "something was left behind");
            let error = refused(Options::new().size(needed).open_or_create(&path));
            assert!(matches!(error, OpenError::Create(CreateError::NoSpace { .. })), "{error:?}");
        }

        // Half of it is taken: the hint still is right.
        fs::write(place.path("ballast"), vec![1; 400_000]).expect("there is room");
        let error = refused(Options::new().size(total).create(&path));
        let CreateError::NoSpace { free, .. } = error else { panic!("{error:?}") };
        assert!(free < total / 2 + 200_000, "{free}");
        let cache = Options::new().size(free).create(&path).expect("as the hint says");
        assert_works(&cache);
        assert_eq!(place.files().len(), 2);
    })
    .join();
}

#[test]
fn another_pid_namespace_may_look_but_not_write() {
    if !is_root_for("a process in another PID namespace") {
        return;
    }
    let place = Place::new();
    procs::fork(|| {
        let path = place.path("s");
        let cache = small().create(&path).expect("a segment");
        let memfd = small().create_memfd().expect("a segment");
        let fd = || memfd.fd().try_clone_to_owned().expect("a descriptor");
        let own = fs::metadata("/proc/self/ns/pid").expect("/proc");
        let own = std::os::unix::fs::MetadataExt::ino(&own).to_string();
        assert_works(&cache);
        if !is_allowed(unshare(CloneFlags::CLONE_NEWPID), "a PID namespace of one's own") {
            return;
        }
        // Only children are in the new namespace.
        procs::fork(|| {
            for error in [
                refused(Options::new().attach(&path)),
                refused(Options::new().attach_fd(fd())),
                match refused(small().open_or_create(&path)) {
                    OpenError::Attach(error) => error,
                    other => panic!("{other:?}"),
                },
            ] {
                let AttachError::OtherPidNamespace { found, expected } = error else {
                    panic!("{error:?}")
                };
                assert_tells(&error, &[&own, &expected.to_string()]);
                assert_ne!(found, expected);
            }
            let inspector = Options::new().inspect(&path).expect("may look");
            assert_eq!(inspector.stats().taken, 1);
            assert_eq!(Options::new().inspect_fd(fd()).expect("may look").len(), 0);
        })
        .join();
        assert_works(&cache);
    })
    .join();
}

/// Where /proc is hidden (hidepid, a chroot), every living process looked as if another one had its
/// ID by now: a table that was full gave its line away under it.
#[test]
fn a_process_that_proc_does_not_show_is_not_gone() {
    if !is_root_for("a process without /proc") {
        return;
    }
    procs::fork(|| {
        let cache = small().processes(1).create_memfd().expect("a segment");
        assert!(cache.processes()[0].is_alive());
        if !has_mounted("/proc", "size=64k") {
            return;
        }
        let process = &cache.processes()[0];
        assert!(process.is_alive(), "this very process");
        // It keeps its line: the newcomer has none.
        let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
        procs::fork(|| {
            assert_works(&cache);
        })
        .join();
        drop(fd);
        assert_works(&cache);
        assert_eq!(cache.processes()[0].pid(), std::process::id());
        assert_eq!((cache.processes().len(), cache.stats().taken), (1, 1));
    })
    .join();
}

/// Without /proc nobody can tell this boot from another one. The hint must not have a living
/// segment removed for that.
#[test]
fn without_proc_nothing_is_attached() {
    if !is_root_for("a process without /proc") {
        return;
    }
    let (_place, path) = Place::with_segment("s");
    procs::fork(|| {
        if !has_mounted("/proc", "size=64k") {
            return;
        }
        let error = refused(Options::new().attach(&path));
        assert!(matches!(error, AttachError::OtherBoot), "{error:?}");
        assert!(error.hint().contains("/proc"), "{}", error.hint());
        assert_eq!(Options::new().inspect(&path).expect("may look").len(), 0);
    })
    .join();
}
