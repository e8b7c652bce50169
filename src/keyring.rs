//! The ring of ticket keys in the segment: two copies and an epoch.
//!
//! A writer fills the copy that does not count and then stores the next epoch, whose lowest bit
//! picks the copy: killed at any instruction it leaves the live copy as it was. Writers hold the
//! ring's lock and compare the epoch, so the most recent update wins and no clock decides. Readers
//! take no lock; they copy, and see from the epoch whether the copy was theirs to read.
//!
//! ```text
//! words of a copy
//! 0  check      hash of all that follows, keyed with the segment's seed
//! 1  epoch      the epoch under which this copy counts
//! 2  published  seconds since 1970
//! 3  uptime     milliseconds since boot, for the next rotation
//! 4  count      keys (32 bits), source (32)
//! 5  writer     process ID
//! 6-15          zero
//! 16 + 16 i     key i: name (2), HMAC key (4), AES key (4), not-before, not-after, cipher,
//!               zero (3)
//! ```

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};
use std::time::Duration;

use crossbeam_utils::Backoff;

use crate::hash;
use crate::layout::{KEY_COPY_WORDS, KeyRegion};
use crate::robust::{self, OWNER_DIED, Patience, RobustGuard};
use crate::secret::SecretBytes;
use crate::session::{Expiry, now_secs};
use crate::step::kill_point;
use crate::sys::process::uptime_ms;
use crate::ticket_key::{KeyError, KeySet, MAX_KEYS, TicketCipher, TicketKey};
use crate::words::{self, WORD};

/// Where a ring came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeySource {
    /// A caller of the API.
    Api,
    /// A key file.
    File,
    /// Automatic rotation.
    Rotation,
    /// Another machine.
    Remote,
}

/// A private copy of a ring.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) epoch: u64,
    pub(crate) keys: KeySet,
    pub(crate) source: KeySource,
    pub(crate) published_secs: u32,
    pub(crate) published_uptime_ms: u64,
    pub(crate) writer_pid: u32,
}

/// The epoch of the ring; 0 before there are any keys.
#[inline]
pub(crate) fn epoch(region: &KeyRegion) -> u64 {
    region.epoch.load(Acquire)
}

/// The epoch of the next update. 0 is none, so what wraps (no count of updates does) skips it, and
/// 1, whose copy is the one that counts.
fn epoch_after(epoch: u64) -> u64 {
    epoch.checked_add(1).unwrap_or(2)
}

/// The ring as it is now: `None` before there are any keys. Writes nothing.
///
/// `Err` if writers were too fast for us, or the bytes fail their check: keep what you have.
pub(crate) fn read(region: &KeyRegion, seed: u64) -> Result<Option<Ring>, Unreadable> {
    let backoff = Backoff::new();
    while !backoff.is_completed() {
        let epoch = epoch(region);
        if epoch == 0 {
            return Ok(None);
        }
        let bytes = copy_out(copy_of(region, epoch));
        fence(Acquire);
        if region.epoch.load(Relaxed) == epoch {
            return decode(&bytes, epoch, seed).map(Some).ok_or(Unreadable);
        }
        backoff.snooze();
    }
    Err(Unreadable)
}

/// A dead writer's retired keys must not stay until the next update: whoever uses the ring next
/// clears them away. If somebody else is at it already, that is not waited for: this is a
/// handshake.
#[inline]
pub(crate) fn settle_after_death(region: &KeyRegion, may_lock: impl FnOnce() -> bool) {
    if region.lock.load(Relaxed) & OWNER_DIED != 0 && may_lock() {
        drop(RingWriter::lock_within(region, Patience::NONE));
    }
}

/// The ring could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

/// The right to change the ring. While it is held no other process changes it.
pub(crate) struct RingWriter<'a> {
    region: &'a KeyRegion,
    /// Released when the writer is dropped.
    _guard: RobustGuard<'a>,
}

impl<'a> RingWriter<'a> {
    /// Takes the ring's lock, and clears up after a writer that died with it.
    pub(crate) fn lock(region: &'a KeyRegion) -> Result<Self, KeyError> {
        Self::lock_within(region, PATIENCE)
    }

    fn lock_within(region: &'a KeyRegion, patience: Patience) -> Result<Self, KeyError> {
        let acquired = robust::lock(&region.lock, patience).map_err(|_| KeyError::Busy)?;
        let writer = Self { region, _guard: acquired.guard };
        if acquired.death.is_some() {
            writer.wipe_other_copy();
        }
        Ok(writer)
    }

    pub(crate) fn epoch(&self) -> u64 {
        epoch(self.region)
    }

    /// Makes `keys` the ring, under the next epoch; `staged` was encoded for it.
    pub(crate) fn publish(self, staged: &Staged) -> Result<u64, KeyError> {
        let found = self.epoch();
        if staged.base != found {
            return Err(KeyError::Stale { found, expected: staged.base });
        }
        words::store(copy_of(self.region, staged.epoch), &staged.bytes);
        kill_point();
        self.region.epoch.store(staged.epoch, Release);
        // A reader that has copied a wiped word must see that the epoch has moved.
        fence(Release);
        kill_point();
        self.wipe_other_copy();
        Ok(staged.epoch)
    }

    /// The copy that does not count holds retired keys, or half of what a dead writer wrote.
    fn wipe_other_copy(&self) {
        words::wipe(copy_of(self.region, self.epoch().wrapping_add(1)));
    }
}

/// A ring in private memory, ready to be copied into the segment.
pub(crate) struct Staged {
    /// The epoch that the update is based on, and the one that it makes.
    base: u64,
    epoch: u64,
    bytes: SecretBytes,
}

impl Staged {
    /// The bytes of a ring for the epoch after `base`.
    pub(crate) fn new(base: u64, keys: &KeySet, source: KeySource, seed: u64) -> Self {
        let epoch = epoch_after(base);
        let mut bytes = SecretBytes::with_capacity(KEY_COPY_WORDS * WORD);
        let count = keys.keys().len() as u64 | u64::from(source_code(source)) << 32;
        let writer = u64::from(std::process::id());
        for word in [0, epoch, now_secs().into(), uptime_ms(), count, writer] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.resize(HEAD_WORDS * WORD, 0);
        for key in keys.keys() {
            bytes.extend_from_slice(&key.name);
            for part in [key.hmac_key(), key.aes_key()] {
                let end = bytes.len() + KEY_PART_BYTES;
                bytes.extend_from_slice(part);
                bytes.resize(end, 0);
            }
            let cipher = cipher_code(key.cipher);
            for word in [key.not_before.unix_secs(), key.not_after.unix_secs(), cipher] {
                bytes.extend_from_slice(&u64::from(word).to_ne_bytes());
            }
            bytes.extend_from_slice(&[0; KEY_SPARE_WORDS * WORD]);
        }
        bytes.resize(KEY_COPY_WORDS * WORD, 0);
        let check = hash::wide_check(seed, &bytes[WORD..]);
        bytes[..WORD].copy_from_slice(&check.to_ne_bytes());
        Self { base, epoch, bytes }
    }
}

#[cfg(test)]
impl Staged {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn words(&self) -> Vec<u64> {
        self.bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
    }
}

fn copy_out(copy: &[AtomicU64]) -> SecretBytes {
    let mut bytes = SecretBytes::with_capacity(KEY_COPY_WORDS * WORD);
    words::append(&mut bytes, copy);
    bytes
}

fn copy_of(region: &KeyRegion, epoch: u64) -> &[AtomicU64; KEY_COPY_WORDS] {
    &region.copies[(epoch & 1) as usize]
}

/// `None` for bytes that no writer of this epoch made.
fn decode(bytes: &[u8], epoch: u64, seed: u64) -> Option<Ring> {
    let words = bytes.as_chunks::<WORD>().0;
    let word = |index: usize| words.get(index).map(|word| u64::from_ne_bytes(*word));
    if word(0)? != hash::wide_check(seed, &bytes[WORD..]) || word(1)? != epoch {
        return None;
    }
    let count = word(4)? as u32 as usize;
    if !(1..=MAX_KEYS).contains(&count) {
        return None;
    }
    let keys = bytes[HEAD_WORDS * WORD..].chunks_exact(KEY_WORDS * WORD).take(count);
    Some(Ring {
        epoch,
        keys: KeySet::trusted(keys.map(decode_key).collect::<Option<_>>()?),
        source: source_of((word(4)? >> 32) as u32)?,
        published_secs: word(2)? as u32,
        published_uptime_ms: word(3)?,
        writer_pid: word(5)? as u32,
    })
}

fn decode_key(bytes: &[u8]) -> Option<TicketKey> {
    let word = |index: usize| {
        bytes[index * WORD..].first_chunk().map(|word| u64::from_ne_bytes(*word) as u32)
    };
    let cipher = match word(12)? {
        1 => TicketCipher::Aes128,
        2 => TicketCipher::Aes256,
        _ => return None,
    };
    let len = cipher.key_len();
    let (name, hmac, aes) = (bytes.first_chunk()?, &bytes[16..][..len], &bytes[48..][..len]);
    let key = TicketKey::new(cipher, *name, hmac, aes).ok()?;
    Some(key.not_before(Expiry::from_unix(word(10)?)).not_after(Expiry::from_unix(word(11)?)))
}

fn cipher_code(cipher: TicketCipher) -> u32 {
    match cipher {
        TicketCipher::Aes128 => 1,
        TicketCipher::Aes256 => 2,
    }
}

fn source_code(source: KeySource) -> u32 {
    match source {
        KeySource::Api => 1,
        KeySource::File => 2,
        KeySource::Rotation => 3,
        KeySource::Remote => 4,
    }
}

fn source_of(code: u32) -> Option<KeySource> {
    [KeySource::Api, KeySource::File, KeySource::Rotation, KeySource::Remote]
        .into_iter()
        .find(|source| source_code(*source) == code)
}

const HEAD_WORDS: usize = 16;
const KEY_WORDS: usize = 16;
/// Room for an HMAC key, and for an AES key.
const KEY_PART_BYTES: usize = 32;
const KEY_SPARE_WORDS: usize = 3;
/// Updates are rare and short, and nobody waits for one in a handshake.
const PATIENCE: Patience =
    Patience { deadline: Duration::from_millis(500), slice: Duration::from_millis(10) };
const _: () = assert!(KEY_COPY_WORDS == HEAD_WORDS + MAX_KEYS * KEY_WORDS);

#[cfg(test)]
mod tests;
