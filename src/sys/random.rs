//! Random bytes from the kernel.
#![allow(unsafe_code)]

use std::io;

/// A random word.
pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the pointer and the length are those of one live local array.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match filled {
        8 => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(io::Error::last_os_error()),
    }
}
