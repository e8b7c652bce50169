//! Memory that forked processes share without the cache under test: boards of atomics, a barrier,
//! and the time that this thread was made to wait for a core.
#![allow(unsafe_code)]
#![allow(dead_code, reason = "each test crate uses its part")]

use std::fs::File;
use std::marker::PhantomData;
use std::num::NonZero;
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Types that may lie in fresh shared memory.
///
/// # Safety
///
/// Made of atomics only, for which all zeroes is a value.
pub(crate) unsafe trait Zeroed: Sync {}

// SAFETY: an atomic.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: an atomic.
unsafe impl Zeroed for AtomicU64 {}
// SAFETY: made of what may lie there.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}

/// A board that this process and its children see, all zeroes at first.
#[derive(Debug)]
pub(crate) struct Shared<T: Zeroed> {
    start: NonNull<T>,
    owned: PhantomData<T>,
}

// SAFETY: all access goes through shared references to atomics.
unsafe impl<T: Zeroed> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroed> Sync for Shared<T> {}

impl<T: Zeroed> Shared<T> {
    pub(crate) fn new() -> Self {
        let len = NonZero::new(size_of::<T>()).expect("a board of some size");
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start = unsafe { mmap_anonymous(None, len, access, flags) }.expect("memory");
        Self { start: start.cast(), owned: PhantomData }
    }
}

impl<T: Zeroed> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: page aligned, mapped for a whole T until the drop, and zeroes are a T.
        unsafe { self.start.as_ref() }
    }
}

impl<T: Zeroed> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: nobody holds a reference any more; children have mappings of their own.
        let _ = unsafe { munmap(self.start.cast(), size_of::<T>()) };
    }
}

/// Lets all parties go at once, again and again.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Barrier {
    arrived: AtomicU32,
    round: AtomicU32,
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Barrier {}

impl Barrier {
    /// Waits until `parties` have come.
    pub(crate) fn wait(&self, parties: u32) {
        let round = self.round.load(SeqCst);
        if self.arrived.fetch_add(1, SeqCst) + 1 == parties {
            self.arrived.store(0, SeqCst);
            self.round.fetch_add(1, SeqCst);
            futex(&self.round, libc::FUTEX_WAKE, i32::MAX as u32);
        } else {
            while self.round.load(SeqCst) == round {
                futex(&self.round, libc::FUTEX_WAIT, round);
            }
        }
    }
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    // SAFETY: the reference proves the word valid; without a timeout nothing else is read.
    #[allow(clippy::disallowed_methods)]
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            value,
            ptr::null::<libc::timespec>(),
        )
    };
}

/// How long this thread has been ready to run without a core to run on.
///
/// What a wait in the cache cost is the time that passed less this: on a full machine a thread
/// that nobody runs is not one that waits.
#[derive(Debug)]
pub(crate) struct RunDelay(Option<File>);

impl RunDelay {
    /// Of the thread that asks. Zero for ever where the kernel does not tell.
    pub(crate) fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    pub(crate) fn so_far(&self) -> Duration {
        let mut buf = [0; 80];
        let len = self.0.as_ref().and_then(|file| file.read_at(&mut buf, 0).ok()).unwrap_or(0);
        let text = str::from_utf8(&buf[..len]).unwrap_or_default();
        let nanos = text.split(' ').nth(1).and_then(|field| field.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

/// Does `operation`; how long it took, less the time for which this thread had no core.
pub(crate) fn waiting<R>(operation: impl FnOnce() -> R) -> (R, Duration) {
    let delay = RunDelay::of_this_thread();
    let (start, delayed) = (Instant::now(), delay.so_far());
    let result = operation();
    let took = start.elapsed();
    (result, took.saturating_sub(delay.so_far() - delayed))
}
