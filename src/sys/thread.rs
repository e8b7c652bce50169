//! Who this thread is to the kernel: its TID, and the robust-list head through which the kernel
//! frees a lock whose owner dies (Documentation/locking/robust-futex-ABI.rst).
//!
//! Nothing is linked into the list. A thread holds one bucket lock at a time, and while it takes,
//! holds or releases it, the head's `list_op_pending` points at the word; at a thread's end the
//! kernel looks there too.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_long, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, compiler_fence};

use super::map::wiped_on_fork;
use crate::fault::Fault;

/// The kernel's `struct robust_list_head`.
#[repr(C)]
#[derive(Debug)]
struct RobustListHead {
    next: *mut c_void,
    futex_offset: c_long,
    list_op_pending: *mut c_void,
}

/// This thread, announced as the owner-to-be of one lock word. One per thread at a time.
///
/// While it lives, the kernel marks the word if the thread dies as its owner.
#[derive(Debug)]
pub(crate) struct Section {
    tid: u32,
    head: *mut RobustListHead,
    /// What libc had announced when a signal handler came here in the midst of libc's own lock.
    previous: *mut c_void,
    /// Bound to the thread that entered.
    not_send: PhantomData<*mut ()>,
}

impl Section {
    /// Announces `word`; `None` if this thread is in a section already (a signal handler).
    pub(crate) fn enter(word: &AtomicU32) -> Option<Self> {
        THREAD.with(|thread| {
            thread.refresh_after_fork();
            if thread.in_section.replace(true) {
                return None;
            }
            let head = thread.head.get();
            let mut section = Self {
                tid: thread.tid.get(),
                head,
                previous: ptr::null_mut(),
                not_send: PhantomData,
            };
            section.previous = section.announce(word.as_ptr().cast(), thread.futex_offset.get());
            Some(section)
        })
    }

    /// The kernel's ID of this thread, as it stands in a lock word.
    pub(crate) fn tid(&self) -> u32 {
        self.tid
    }

    /// Whether the kernel will mark the word if this thread dies.
    pub(crate) fn has_kernel_help(&self) -> bool {
        !self.head.is_null()
    }

    /// Puts back what was announced before.
    pub(crate) fn withdraw(&self) {
        self.announce(self.previous, 0);
    }

    /// Stores `word - futex_offset` as the pending operation; returns what stood there.
    fn announce(&self, word: *mut c_void, futex_offset: c_long) -> *mut c_void {
        if self.head.is_null() || Fault::NoPending.is_on() {
            return ptr::null_mut();
        }
        // SAFETY: `head` is this thread's own robust-list head, registered with the kernel; it
        // lives as long as the thread, and only this thread and its exit path touch it.
        let pending = unsafe { &raw mut (*self.head).list_op_pending };
        // SAFETY: as above; the field is valid for reads.
        let previous = unsafe { pending.read_volatile() };
        compiler_fence(SeqCst);
        // SAFETY: as above; the field is valid for writes.
        unsafe { pending.write_volatile(word.wrapping_byte_offset(-(futex_offset as isize))) };
        compiler_fence(SeqCst);
        previous
    }
}

impl Drop for Section {
    /// Takes the announcement back: the word is released and its waiter woken by now.
    fn drop(&mut self) {
        self.withdraw();
        THREAD.with(|thread| thread.in_section.set(false));
    }
}

/// A number that differs in every process that fork makes: for what a child must not inherit.
pub(crate) fn fork_stamp() -> u64 {
    /// Counts on in the child from where the parent was.
    static LAST: AtomicU64 = AtomicU64::new(0);

    let Some(word) = wiped_on_fork() else {
        // An old kernel: ask it every time.
        return u64::from(std::process::id());
    };
    match word.load(Relaxed) {
        0 => {
            let stamp = LAST.fetch_add(1, Relaxed) + 1;
            match word.compare_exchange(0, stamp, Relaxed, Relaxed) {
                Ok(_) => stamp,
                Err(other) => other,
            }
        }
        stamp => stamp,
    }
}

/// What a thread remembers of itself, so that a lock costs no system call.
struct Thread {
    /// The [`fork_stamp`] under which the rest was found out.
    stamp: Cell<u64>,
    tid: Cell<u32>,
    head: Cell<*mut RobustListHead>,
    futex_offset: Cell<c_long>,
    in_section: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            stamp: Cell::new(0),
            tid: Cell::new(0),
            head: Cell::new(ptr::null_mut()),
            futex_offset: Cell::new(0),
            in_section: Cell::new(false),
        }
    };
}

impl Thread {
    #[inline]
    fn refresh_after_fork(&self) {
        let stamp = fork_stamp();
        if self.stamp.get() != stamp {
            self.refresh(stamp);
        }
    }

    #[cold]
    fn refresh(&self, stamp: u64) {
        let tid = gettid();
        self.tid.set(tid);
        let head = registered_head().or_else(primed_head).unwrap_or(ptr::null_mut());
        self.head.set(head);
        if !head.is_null() {
            // SAFETY: the kernel said that this is the thread's registered head.
            self.futex_offset.set(unsafe { (*head).futex_offset });
        }
        // Who does not know his ID owns nothing: he counts as in a section for ever.
        self.in_section.set(tid == 0);
        self.stamp.set(stamp);
    }
}

/// The head that libc registered for this thread.
fn registered_head() -> Option<*mut RobustListHead> {
    let mut head: *mut RobustListHead = ptr::null_mut();
    let mut len: libc::size_t = 0;
    // SAFETY: get_robust_list writes a pointer and a length to the two live locals.
    #[allow(clippy::disallowed_methods)]
    let failed =
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    (failed == 0 && !head.is_null() && len == size_of::<RobustListHead>()).then_some(head)
}

/// musl registers a thread's head at its first lock of a robust process-shared mutex, and would
/// replace one that we registered: so take such a lock once, on a mutex of our own.
#[cold]
fn primed_head() -> Option<*mut RobustListHead> {
    let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    let attributes = attributes.as_mut_ptr();
    let mut mutex = MaybeUninit::<libc::pthread_mutex_t>::uninit();
    let mutex = mutex.as_mut_ptr();
    // SAFETY: initialises the attributes in the live local.
    unsafe { libc::pthread_mutexattr_init(attributes) };
    // SAFETY: the attributes were initialised above.
    unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) };
    // SAFETY: the attributes were initialised above.
    unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) };
    // SAFETY: initialises the mutex in the live local from initialised attributes.
    unsafe { libc::pthread_mutex_init(mutex, attributes) };
    // SAFETY: the mutex was initialised above, is free, and no other thread knows it.
    unsafe { libc::pthread_mutex_lock(mutex) };
    // SAFETY: this thread locked it above.
    unsafe { libc::pthread_mutex_unlock(mutex) };
    // SAFETY: it is unlocked and used no more.
    unsafe { libc::pthread_mutex_destroy(mutex) };
    // SAFETY: they are used no more.
    unsafe { libc::pthread_mutexattr_destroy(attributes) };
    registered_head()
}

/// This thread's ID; 0 where a filter denies it.
fn gettid() -> u32 {
    // SAFETY: gettid has no arguments.
    let tid = unsafe { libc::gettid() };
    tid.try_into().unwrap_or(0)
}
