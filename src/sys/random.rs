//! Random bytes from the kernel.
#![allow(unsafe_code)]

use std::io;

/// A random word.
pub(crate) fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    fill_random(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Fills `bytes`, at most 256 of them: so many the kernel gives at once.
pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    debug_assert!(bytes.len() <= 256);
    // SAFETY: the pointer and the length are those of one live, exclusively borrowed slice.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(filled) {
        Ok(n) if n == bytes.len() => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
