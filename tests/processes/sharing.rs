//! Any worker finds what any other stored, however it came by the segment.

use std::env;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use shmtls::{Cache, Inserted, Library, Options};

use super::payload::{Named, check, context, id, payload, soon};
use super::procs::{alone, fork, join_all};
use super::scoreboard::{Barrier, Shared};

const WORKERS: u64 = 4;
const EACH: u64 = 50;

/// Stores the sessions of worker `worker`.
fn store_own(cache: &Cache, worker: u64) {
    for number in worker * EACH..(worker + 1) * EACH {
        let bytes = payload(number, worker, 100 + number as usize);
        assert_eq!(cache.insert(&context(), &id(number), &bytes, soon()), Inserted::New);
    }
}

/// Finds the sessions of all workers.
fn find_all(cache: &Cache, worker: u64) {
    for number in 0..WORKERS * EACH {
        let session = cache.resume(&context(), &id(number), Library::Raw).expect("stored");
        let writer = check(number, session.bytes());
        assert_eq!(writer, number / EACH);
        assert_eq!(session.is_foreign(), writer != worker);
    }
}

#[test]
fn forked_workers_share_what_they_inherited() {
    let _turn = alone();
    let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
    let stored = Shared::<Barrier>::new();
    join_all((0..WORKERS).map(|worker| {
        fork(|| {
            store_own(&cache, worker);
            stored.wait(WORKERS as u32);
            find_all(&cache, worker);
        })
    }));
    let stats = cache.stats();
    assert_eq!((stats.stored_new, stats.hits), (WORKERS * EACH, WORKERS * WORKERS * EACH));
    assert_eq!(stats.foreign_hits, WORKERS * (WORKERS - 1) * EACH);
    let lines = cache.processes();
    assert_eq!(lines.len() as u64, WORKERS + 1, "the dead keep their lines");
    assert_eq!(lines.iter().filter(|line| line.is_alive()).count(), 1);
}

/// Processes that have nothing in common but the name: this very test, started anew.
#[test]
fn started_workers_share_by_name() {
    let _turn = alone();
    const NAME: &str = "SHMTLS_TEST_SEGMENT";
    const WORKER: &str = "SHMTLS_TEST_WORKER";
    if let (Ok(name), Ok(worker)) = (env::var(NAME), env::var(WORKER)) {
        let cache = Cache::attach(&name).expect("it is there");
        let worker = worker.parse().expect("a number");
        store_own(&cache, worker);
        // Those started before are done: each finds what it can.
        for number in 0..(worker + 1) * EACH {
            let session = cache.get_session(&context(), &id(number)).expect("stored");
            assert_eq!(session.is_foreign(), check(number, session.bytes()) != worker);
        }
        return;
    }
    let name = Named::new("exec");
    let cache = Options::new().size(1 << 20).create(&name.0).expect("a segment");
    for worker in 0..WORKERS {
        let output = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", "sharing::started_workers_share_by_name"])
            .env(NAME, &name.0)
            .env(WORKER, worker.to_string())
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let stats = cache.stats();
    assert_eq!(stats.hits, (1..=WORKERS).sum::<u64>() * EACH);
    assert_eq!(stats.foreign_hits, (1..WORKERS).sum::<u64>() * EACH);
    find_all(&cache, WORKERS);
}

/// A worker that was there before the segment, and got it through a socket.
#[test]
fn a_worker_that_was_handed_the_descriptor_shares() {
    let _turn = alone();
    let (ours, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
            .expect("a pair of sockets");
    let done = Shared::<Barrier>::new();
    let worker = fork(|| {
        let cache = Options::new().attach_fd(receive_fd(&theirs)).expect("a sealed segment");
        let session = cache.take(&context(), &id(1)).expect("stored before we came");
        assert!(session.is_foreign());
        assert_eq!(check(1, session.bytes()), 7);
        let _ = cache.insert(&context(), &id(2), &payload(2, 8, 300), soon());
        done.wait(2);
    });
    let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
    let _ = cache.insert(&context(), &id(1), &payload(1, 7, 200), soon());
    let fds = [cache.fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(ours.as_raw_fd(), &[IoSlice::new(b"x")], &rights, MsgFlags::empty(), None)
        .expect("sent");
    done.wait(2);
    assert_eq!(check(2, cache.get_session(&context(), &id(2)).expect("stored").bytes()), 8);
    assert_eq!((cache.stats().foreign_hits, cache.stats().taken), (2, 1));
    worker.join();
}

fn receive_fd(socket: &OwnedFd) -> OwnedFd {
    let mut byte = [0];
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut into = [IoSliceMut::new(&mut byte)];
    let message =
        recvmsg::<()>(socket.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .expect("a message");
    match message.cmsgs().expect("whole").next() {
        // SAFETY: the kernel made this descriptor for us just now, and nobody else knows it.
        Some(ControlMessageOwned::ScmRights(fds)) => unsafe { OwnedFd::from_raw_fd(fds[0]) },
        other => panic!("{other:?}"),
    }
}

/// A session that a process stored twice is still another's to find, and a hit is foreign by who
/// stored last.
#[test]
fn a_hit_is_foreign_by_who_stored_last() {
    let _turn = alone();
    let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
    let _ = cache.insert(&context(), &id(1), &payload(1, 1, 100), soon());
    assert!(!cache.get_session(&context(), &id(1)).expect("there").is_foreign());
    fork(|| {
        assert!(cache.get_session(&context(), &id(1)).expect("there").is_foreign());
        let _ = cache.insert(&context(), &id(1), &payload(1, 2, 100), soon());
        assert!(!cache.get_session(&context(), &id(1)).expect("there").is_foreign());
    })
    .join();
    assert!(cache.get_session(&context(), &id(1)).expect("there").is_foreign());
    assert_eq!(cache.stats().foreign_hits, 2);
}
