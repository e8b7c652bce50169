//! Segments that are cut short or emptied under those who use them. That a file of a wrong length
//! is refused, at each page, is in `attach/files.rs`; that a memfd keeps its length in
//! `attach/handed_over.rs`; that a full tmpfs says so in `attach/surroundings.rs`.

use std::fs::File;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;
use shmtls::{Cache, Options};

use crate::lab::{assert_whole, caught, eventually, one_bucket};
use crate::payload::{Named, context, id, payload, soon};
use crate::procs::{alone, fork};
use crate::scoreboard::Shared;

/// What SECURITY.md says is so: who owns a named segment can cut it short, and then its users die
/// of SIGBUS. Nothing in user space can prevent that; whoever must not be able to gets a memfd.
#[test]
fn a_named_segment_can_be_cut_short_by_its_owner_and_a_memfd_cannot() {
    let _turn = alone();
    let name = Named::new("truncated");
    drop(Options::new().size(1 << 20).create(&name.0).expect("a segment"));
    let signs = Shared::<[AtomicU32; 2]>::new();
    let [attached, cut] = &*signs;
    let worker = fork(|| {
        let cache = Cache::attach(&name.0).expect("it is there");
        attached.store(1, SeqCst);
        eventually("the cut", || cut.load(SeqCst) != 0);
        let _ = cache.sweep();
    });
    eventually("a worker", || attached.load(SeqCst) != 0);
    let file = File::options().write(true).open(name.path()).expect("our file");
    file.set_len(4096).expect("nobody keeps its owner from it");
    cut.store(1, SeqCst);
    assert_eq!(worker.end_signal(), Some(Signal::SIGBUS));
    assert!(Cache::attach(&name.0).is_err(), "nobody else comes in");

    let cache = one_bucket();
    let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
    let refused = file.set_len(4096).expect_err("sealed");
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    assert_whole(&cache);
}

/// The seals let a hole be punched: all sessions are gone, and so is the lock under its owner. The
/// owner finishes, nobody reads what is not there, and the bucket is a bucket again.
#[test]
fn a_memfd_that_is_emptied_is_empty() {
    let _turn = alone();
    let cache = one_bucket();
    let len = fstat(cache.fd()).expect("our descriptor").st_size;
    let done = Shared::<AtomicU32>::new();
    let owner = caught(&cache, || {
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(cache.fd(), hole, 0, len).expect("the seals allow it");
        done.store(1, SeqCst);
    });
    eventually("a hole", || done.load(SeqCst) != 0);
    eventually("an empty bucket that works", || {
        let stored = cache.insert(&context(), &id(1), &payload(1, 1, 300), soon()).is_stored();
        stored && cache.take(&context(), &id(1)).is_ok_and(|s| s.bytes() == payload(1, 1, 300))
    });
    assert_eq!(cache.len(), 0);
    owner.kill();
    assert!(cache.insert(&context(), &id(2), b"after all", soon()).is_stored());
    assert_eq!(cache.take(&context(), &id(2)).expect("stored").bytes(), b"after all");
}
