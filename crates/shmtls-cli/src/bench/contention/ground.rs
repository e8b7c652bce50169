//! Memory without a cache: what a copy of the same bytes takes, from and to places that nobody
//! could foresee.

use super::sessions::mix;

/// A worker's part of as many bytes as the segment has.
#[derive(Debug)]
pub(super) struct Ground {
    bytes: Vec<u8>,
    /// What was copied last: only from it follows the place of what comes next, as in a lookup.
    last: u64,
}

impl Ground {
    /// `len` is more than any session has.
    pub(super) fn new(len: usize) -> Self {
        Self { bytes: vec![1; len], last: 0 }
    }

    pub(super) fn copy_out(&mut self, key: u32, session: &mut [u8]) {
        let at = self.place(key, session.len());
        session.copy_from_slice(&self.bytes[at..at + session.len()]);
        self.last = u64::from(session[0]);
    }

    pub(super) fn copy_in(&mut self, key: u32, session: &[u8]) {
        let at = self.place(key, session.len());
        self.bytes[at..at + session.len()].copy_from_slice(session);
    }

    fn place(&self, key: u32, len: usize) -> usize {
        let range = (self.bytes.len() - len) as u128;
        let random = u128::from(mix(u64::from(key) ^ self.last));
        ((random * range) >> u64::BITS) as usize
    }
}
