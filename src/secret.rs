//! Private memory for session bytes: wiped before it is given back.

use std::ops::{Deref, DerefMut};

use zeroize::optimization_barrier;

use crate::sys::registers::clear_vectors;

/// Bytes that are wiped when dropped: those in use, not the whole capacity, which for a lookup's
/// buffer is fifty times as much. So they must never be cut short or outgrow their capacity.
#[derive(Clone)]
pub(crate) struct SecretBytes(Vec<u8>);

impl SecretBytes {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Wipes what is there and starts anew in the same memory.
    pub(crate) fn clear(&mut self) {
        self.wipe();
        self.0.clear();
    }

    fn wipe(&mut self) {
        if self.0.is_empty() {
            return;
        }
        self.0.fill(0);
        // Without this the compiler may leave out stores to memory that is freed next.
        optimization_barrier(self.0.as_slice());
        clear_vectors();
    }
}

/// Wipes what the functions that the caller has called left on the stack, down to `DEPTH` bytes: a
/// hash of a secret spills pieces of it there. What they left in registers is cleared when the
/// bytes themselves are wiped.
#[inline(never)]
pub(crate) fn clear_traces<const DEPTH: usize>() {
    let below = [0_u8; DEPTH];
    optimization_barrier(&below);
}

/// Deeper than any of those functions goes, also where nothing is inlined.
pub(crate) const DEEP: usize = 32 << 10;

impl Deref for SecretBytes {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.wipe();
    }
}
