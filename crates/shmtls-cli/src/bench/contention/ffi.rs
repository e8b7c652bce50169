//! What the benchmark needs of the C library and the kernel: memory that processes share, the two
//! global locks, and a thread that the kernel knows no robust list of.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::AtomicU32;

use memmap2::{MmapOptions, MmapRaw};

use super::arena::Arena;

/// The arena's pages, mapped until this is dropped.
#[derive(Debug)]
pub(super) struct Shared(MmapRaw);

impl Shared {
    /// Maps a file that is as long as the arena and nobody can cut: a sealed memfd.
    pub(super) fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() != size_of::<Arena>() as u64 {
            return Err(io::Error::other("the arena has another size"));
        }
        MmapOptions::new().len(size_of::<Arena>()).map_raw(file).map(Self)
    }

    pub(super) fn arena(&self) -> &Arena {
        let arena = self.0.as_ptr().cast::<Arena>();
        // SAFETY: the mapping is page-aligned, as long as an `Arena` (checked in `map`), writable,
        // and lives as long as `self`. All fields are atomics or `UnsafeCell`s, for which every
        // bit pattern is a value and changes by other processes are allowed.
        unsafe { &*arena }
    }
}

/// A pthread mutex in shared memory, robust: the kernel tells the next one that its owner died.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct RobustMutex(UnsafeCell<MaybeUninit<libc::pthread_mutex_t>>);

// SAFETY: a process-shared mutex is made to be used by many threads; they only have its address.
unsafe impl Sync for RobustMutex {}

/// How a try at the mutex ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Had {
    Clean,
    /// Its last owner died in it.
    OwnerDied,
    /// Somebody has it.
    Busy,
}

impl RobustMutex {
    /// Makes it one. Once, before any other process knows the memory.
    pub(super) fn init(&self, priority_inheritance: bool) {
        let mut attributes = MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
        let attributes = attributes.as_mut_ptr();
        // SAFETY: initialises the attributes in the live local.
        unsafe { libc::pthread_mutexattr_init(attributes) };
        // SAFETY: the attributes were initialised above.
        unsafe { libc::pthread_mutexattr_setpshared(attributes, libc::PTHREAD_PROCESS_SHARED) };
        // SAFETY: the attributes were initialised above.
        unsafe { libc::pthread_mutexattr_setrobust(attributes, libc::PTHREAD_MUTEX_ROBUST) };
        if priority_inheritance {
            // SAFETY: the attributes were initialised above.
            unsafe { libc::pthread_mutexattr_setprotocol(attributes, libc::PTHREAD_PRIO_INHERIT) };
        }
        // SAFETY: initialises the mutex in our own memory from initialised attributes.
        unsafe { libc::pthread_mutex_init(self.get(), attributes) };
        // SAFETY: they are used no more.
        unsafe { libc::pthread_mutexattr_destroy(attributes) };
    }

    pub(super) fn try_lock(&self) -> Had {
        // SAFETY: `init` made it a mutex before this process could see it, and it never moves.
        self.settle(unsafe { libc::pthread_mutex_trylock(self.get()) })
    }

    pub(super) fn lock(&self) -> Had {
        // SAFETY: as in `try_lock`; this thread does not have it, for guards do not nest.
        self.settle(unsafe { libc::pthread_mutex_lock(self.get()) })
    }

    pub(super) fn unlock(&self) {
        // SAFETY: as in `try_lock`. Of one that this thread does not have it is an error number.
        unsafe { libc::pthread_mutex_unlock(self.get()) };
    }

    fn settle(&self, result: i32) -> Had {
        match result {
            0 => Had::Clean,
            libc::EOWNERDEAD => {
                // SAFETY: as in `try_lock`; EOWNERDEAD means that this thread has it now.
                unsafe { libc::pthread_mutex_consistent(self.get()) };
                Had::OwnerDied
            }
            _ => Had::Busy,
        }
    }

    fn get(&self) -> *mut libc::pthread_mutex_t {
        self.0.get().cast()
    }
}

/// Sleeps while `word` is `expected`, for as long as that is.
pub(super) fn futex_wait(word: &AtomicU32, expected: u32) {
    // SAFETY: FUTEX_WAIT reads a u32 at an address that the reference proves valid.
    #[allow(clippy::disallowed_methods)]
    let _ = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            ptr::null::<libc::timespec>(),
        )
    };
}

/// Wakes up to `sleepers` of `word`.
pub(super) fn futex_wake(word: &AtomicU32, sleepers: i32) {
    // SAFETY: FUTEX_WAKE uses the address as a key and reads nothing behind it.
    #[allow(clippy::disallowed_methods)]
    let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, sleepers) };
}

/// Makes the kernel forget the robust list of this thread. The library then finds none, announces
/// no lock, and is a plain futex lock, in the very same code. For a thread that has taken no lock
/// of the library yet, and holds no robust mutex.
pub(super) fn forget_robust_list() -> io::Result<()> {
    // SAFETY: set_robust_list stores the address and reads nothing; null is "no list", and what
    // was registered has no entry, as the caller sees to.
    #[allow(clippy::disallowed_methods)]
    let failed = unsafe {
        libc::syscall(libc::SYS_set_robust_list, ptr::null::<u8>(), ROBUST_LIST_HEAD_BYTES)
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The kernel's `struct robust_list_head`: three words.
const ROBUST_LIST_HEAD_BYTES: usize = 3 * size_of::<usize>();
