//! The two futex calls. Both are shared ones: the word lies in a file mapping, and neither a
//! wake from another process nor the kernel's own at a thread's death reaches a waiter that
//! used `FUTEX_PRIVATE_FLAG`.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use nix::errno::Errno;

use crate::fault::Fault;

/// Sleeps while `word` is `expected`, at most `timeout`, and says whether all of that time
/// passed. It may return for no reason at all: the caller reads the word again.
pub(crate) fn wait(word: &AtomicU32, expected: u32, timeout: Duration) -> bool {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: FUTEX_WAIT reads a u32 at an address that the reference proves valid, and the
    // timespec, which outlives the call.
    #[allow(clippy::disallowed_methods)]
    let failed = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | mistake(),
            expected,
            &raw const timeout,
        )
    };
    failed != 0 && Errno::last() == Errno::ETIMEDOUT
}

/// Wakes one sleeper of `word`, if there is one.
pub(crate) fn wake_one(word: &AtomicU32) {
    // SAFETY: FUTEX_WAKE uses the address as a key and reads nothing behind it.
    #[allow(clippy::disallowed_methods)]
    let _ = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | mistake(),
            1,
            ptr::null::<libc::timespec>(),
        )
    };
}

fn mistake() -> i32 {
    if Fault::PrivateFutex.is_on() { libc::FUTEX_PRIVATE_FLAG } else { 0 }
}
