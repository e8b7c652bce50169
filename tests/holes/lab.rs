//! A cache of one bucket, its lock words as they lie in memory, and children that are caught in its
//! section.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicPtr};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, clone};
use nix::sys::mman::{MapFlags, ProtFlags, mmap};
use nix::sys::prctl;
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, kill, pthread_sigmask, sigaction,
};
use nix::unistd::Pid;
use shmtls::{Cache, Inserted, Miss, Options};

use crate::layout_doc::tables;
use crate::payload::{Rng, check, context, id, payload, soon, with_buckets};
use crate::procs::{Child, fork};
use crate::scoreboard::Shared;

/// Sessions of [`one_bucket`]: going through them all takes a while.
pub(crate) const SESSIONS: u64 = 60;
/// The longest that an operation waits: what the options say by default.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);
/// Bits of a lock word, section 2.1 of the contract.
pub(crate) const TID_MASK: u32 = 0x3fff_ffff;

/// A cache of one bucket, full of small sessions.
pub(crate) fn one_bucket() -> Cache {
    of_buckets(1)
}

/// A cache of so many buckets, with [`SESSIONS`] sessions.
pub(crate) fn of_buckets(buckets: u32) -> Cache {
    #[cfg(shmtls_battery)]
    crate::mistakes::commit_as_told();
    let options = with_buckets(Options::new().processes(8), buckets, 32 << 10);
    let cache = options.create_memfd().expect("a segment");
    for number in 0..SESSIONS {
        let bytes = payload(number, number, 150);
        assert_eq!(cache.insert(&context(), &id(number), &bytes, soon()), Inserted::New);
    }
    cache
}

/// Every session is there and right, and none of them is busy.
#[track_caller]
pub(crate) fn assert_whole(cache: &Cache) {
    for number in 0..SESSIONS {
        let session = cache.get_session(&context(), &id(number));
        let session = session.unwrap_or_else(|miss| panic!("session {number}: {miss:?}"));
        assert_eq!(check(number, session.bytes()), number);
    }
    let bytes = payload(1000, 1, 100);
    assert!(cache.insert(&context(), &id(1000), &bytes, soon()).is_stored());
    assert_eq!(cache.take(&context(), &id(1000)).expect("just stored").bytes(), bytes);
}

/// As [`assert_whole`], once the owner of the lock has let go.
#[track_caller]
pub(crate) fn assert_whole_soon(cache: &Cache) {
    eventually("the lock is free", || cache.size_of(&context(), &id(1)) != Err(Miss::Busy));
    assert_whole(cache);
}

#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        thread::sleep(Duration::from_micros(200));
    }
}

/// A lock word of the segment, in a mapping of its own that is never taken down.
pub(crate) fn lock_word(cache: &Cache, which: Lock) -> &'static AtomicU32 {
    let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
    let offset = match which {
        Lock::Table => field("Header", "members_lock"),
        Lock::Bucket => {
            let mut buckets_offset = [0; 8];
            file.read_exact_at(&mut buckets_offset, field("Header", "buckets_offset"))
                .expect("a header");
            u64::from_ne_bytes(buckets_offset) + field("BucketHeader", "lock")
        }
    };
    let len = file.metadata().expect("fstat").len() as usize;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let len = len.try_into().expect("a file of some length");
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, &file, 0) }.expect("memory");
    // SAFETY: the offset lies in the mapping.
    let word = unsafe { start.byte_add(offset as usize) };
    // SAFETY: mapped for ever, aligned, and only ever accessed as this atomic.
    unsafe { word.cast().as_ref() }
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Lock {
    /// Of the process table.
    Table,
    /// Of the first bucket.
    Bucket,
}

/// The offset of a field in the contract.
fn field(table: &str, name: &str) -> u64 {
    let tables = tables(include_str!("../../shm-layout.md"));
    let quoted = format!("`{table}`");
    let table = tables.iter().find(|table| table.heading.contains(&quoted)).expect("a table");
    let row = table.rows.iter().find(|row| table.cell(row, "field") == Some(name));
    let offset = table.cell(row.expect("a field"), "offset").expect("a column");
    offset.parse().expect("a number")
}

/// Which thread of a process is caught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thread {
    /// Its ID is the process's.
    Leader,
    Other,
    /// The leader of a child that shares the process's memory.
    VforkChild,
}

/// A child that is caught by a signal in the section of the cache's only bucket, where it owns the
/// lock, and does `deed` in the handler. If that returns it goes on, and never stops working.
pub(crate) fn caught(cache: &Cache, deed: impl Fn()) -> Child {
    caught_with(cache, Thread::Leader, deed, || ())
}

/// As [`caught`], with the thread chosen. The leader does `meanwhile` if it is not that: at the
/// same time, but for a vfork child, after that has ended.
pub(crate) fn caught_with(
    cache: &Cache,
    which: Thread,
    deed: impl Fn(),
    meanwhile: impl Fn() + Send,
) -> Child {
    let signs = Shared::<[AtomicU32; 2]>::new();
    let [ready, caught] = &*signs;
    let word = lock_word(cache, Lock::Bucket);
    let child = fork(|| {
        let deed: &dyn Fn() = &deed;
        WORD.store(ptr::from_ref(word).cast_mut(), SeqCst);
        SIGN.store(ptr::from_ref(caught).cast_mut(), SeqCst);
        DEED.store(ptr::from_ref(&deed).cast_mut().cast(), SeqCst);
        block(SigmaskHow::SIG_BLOCK);
        let action =
            SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler is `on_signal`, which says why it may.
        unsafe { sigaction(Signal::SIGUSR1, &action) }.expect("a handler");
        let work = || {
            block(SigmaskHow::SIG_UNBLOCK);
            ready.store(std::process::id(), SeqCst);
            loop {
                let _ = cache.sweep();
            }
        };
        match which {
            Thread::Leader => work(),
            Thread::Other => thread::scope(|scope| {
                scope.spawn(work);
                meanwhile();
            }),
            Thread::VforkChild => {
                // What the thread remembers of itself is what the child will believe.
                let _ = cache.sweep();
                ALIAS.store(gettid(), SeqCst);
                vfork(work);
                meanwhile();
            }
        }
    });
    eventually("it works", || ready.load(SeqCst) != 0);
    let mut rng = Rng::new(7);
    eventually("it is caught in its section", || {
        let worker = Pid::from_raw(ready.load(SeqCst).cast_signed());
        kill(worker, Signal::SIGUSR1).expect("it is there");
        thread::sleep(Duration::from_micros(rng.below(500)));
        caught.load(SeqCst) != 0
    });
    child
}

static WORD: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
static SIGN: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
static DEED: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
static DONE: AtomicBool = AtomicBool::new(false);

/// Who counts as the owner of the lock besides this thread: for a child that shares its parent's
/// memory, and so its parent's ID.
static ALIAS: AtomicU32 = AtomicU32::new(0);

/// Does the deed, once, if this thread owns the lock.
extern "C" fn on_signal(_: i32) {
    // SAFETY: points at a lock word that is mapped for ever.
    let word = unsafe { &*WORD.load(SeqCst) };
    let owner = word.load(SeqCst) & TID_MASK;
    let is_own = owner != 0 && [gettid(), ALIAS.load(SeqCst)].contains(&owner);
    if !is_own || DONE.swap(true, SeqCst) {
        return;
    }
    // SAFETY: points at a board that the parent made and that this process keeps mapped.
    let sign = unsafe { &*SIGN.load(SeqCst) };
    sign.store(1, SeqCst);
    // SAFETY: points at a local of `caught_with`, from where this process never returns.
    let deed = unsafe { &*DEED.load(SeqCst).cast::<&dyn Fn()>() };
    deed();
}

fn gettid() -> u32 {
    nix::unistd::gettid().as_raw().unsigned_abs()
}

fn block(how: SigmaskHow) {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    pthread_sigmask(how, Some(&signals), None).expect("a mask");
}

/// A child that shares this process's memory; this process stands still until it ends.
pub(crate) fn vfork(work: impl Fn()) -> Pid {
    let mut stack = vec![0; 1 << 20];
    let flags = CloneFlags::CLONE_VM | CloneFlags::CLONE_VFORK;
    let run = || {
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        work();
        0
    };
    // SAFETY: the child has a stack of its own, and we go on when it has ended.
    unsafe { clone(Box::new(run), &mut stack, flags, Some(libc::SIGCHLD)) }.expect("a child")
}

/// Stands still until this process is killed.
pub(crate) fn stand_still() -> ! {
    loop {
        nix::unistd::pause();
    }
}
