//! Private bytes to shared words and back. Shared payload is only ever touched in whole 8-byte
//! words with relaxed atomic accesses: two processes that race can tear a record, which its check
//! finds, but never cause undefined behaviour.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::fault::Fault;
use crate::step::word_done;

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// Words that hold `bytes` bytes.
pub(crate) const fn words_for(bytes: usize) -> usize {
    bytes.div_ceil(WORD)
}

/// Copies `bytes`, whole words of them, to the start of `words`.
pub(crate) fn store(words: &[AtomicU64], bytes: &[u8]) {
    debug_assert!(bytes.len().is_multiple_of(WORD) && bytes.len() <= words.len() * WORD);
    for (word, chunk) in words.iter().zip(bytes.as_chunks::<WORD>().0) {
        word.store(u64::from_ne_bytes(*chunk), Relaxed);
        word_done();
    }
}

/// Appends `words` to `bytes`. The caller reserved the room: nothing is allocated under a lock.
pub(crate) fn append(bytes: &mut Vec<u8>, words: &[AtomicU64]) {
    debug_assert!(bytes.capacity() - bytes.len() >= words.len() * WORD);
    let (lines, rest) = words.as_chunks::<LINE_WORDS>();
    for line in lines {
        let mut copy = [0; LINE_WORDS * WORD];
        load(&mut copy, line);
        bytes.extend_from_slice(&copy);
    }
    for word in rest {
        bytes.extend_from_slice(&word.load(Relaxed).to_ne_bytes());
        word_done();
    }
}

/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// Copies `words` to `bytes`, which are as long.
pub(crate) fn load(bytes: &mut [u8], words: &[AtomicU64]) {
    debug_assert!(bytes.len() == words.len() * WORD);
    for (chunk, word) in bytes.as_chunks_mut::<WORD>().0.iter_mut().zip(words) {
        *chunk = word.load(Relaxed).to_ne_bytes();
        word_done();
    }
}

/// Whether `words` hold exactly `bytes`.
pub(crate) fn equal(words: &[AtomicU64], bytes: &[u8]) -> bool {
    debug_assert!(bytes.len() == words.len() * WORD);
    words
        .iter()
        .zip(bytes.as_chunks::<WORD>().0)
        .all(|(word, chunk)| word.load(Relaxed) == u64::from_ne_bytes(*chunk))
}

/// Overwrites `words` with zeroes. Atomic stores cannot be optimised away: others can see them.
pub(crate) fn wipe(words: &[AtomicU64]) {
    if Fault::NoWipe.is_on() {
        return;
    }
    for word in words {
        word.store(0, Relaxed);
        word_done();
    }
}
