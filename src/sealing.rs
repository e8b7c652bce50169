//! Sealing: sessions in the segment that only holders of a key can read or make.
//!
//! The key lies in private memory, never in the segment: forked workers inherit it, others are
//! handed it. So whoever has the segment without a process of it (a stolen descriptor, swap, an
//! image of the machine's memory file) has no session; and whoever writes to it can empty the
//! cache, but not make up a session, or let one pass for another.
//!
//! ```text
//! key (32 bytes) and the segment's seed -> HKDF-SHA-256 -> segment key, and its check (header)
//! segment key and the entry's salt      -> HKDF-SHA-256 -> entry key
//! entry key, session, associated data   -> AES-256-GCM  -> what the record holds
//! ```
//!
//! The associated data are the context, the ID, the bucket, and all that the record's head says
//! (lengths, flags, library, protocol, writer, times). A record that was moved, or whose head was
//! changed, does not open. What does open is an *old* record that somebody kept and put back into
//! the same segment: sealing says who made a session, not whether it is the latest, or was taken.
//!
//! # Why no key ever encrypts two messages
//!
//! AES-GCM is lost if one key and nonce encrypt two messages. Here every entry has a key of its
//! own, under which the nonce is 0 and is used once:
//!
//! 1. Entry keys are equal only where segment key and salt are (or where HMAC-SHA-256 collides).
//! 2. A salt is 128 bits from the kernel's generator, drawn for one call of [`Seal::close`]. The
//!    chance that any two of n are equal is below n^2 / 2^129: for 2^48 stores, a million a second
//!    for nine years, below 2^-33. NIST SP 800-38D asks for 2^-32.
//! 3. Nothing else enters: no counter, no process number. So there is nothing that a fork could
//!    copy, that processes have to agree on (one that found the process table full has no number),
//!    or that somebody who writes to the segment could set back.
//! 4. Nor can a fork copy a salt between draw and use, and have two messages encrypted with it: the
//!    message and its associated data are fixed before the draw, so parent and child would make
//!    the same bytes.
//!
//! Two machines restored from one snapshot rest on the kernel, which then seeds its generator anew
//! (vmgenid, Linux 5.18).

use std::fmt;
use std::io;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use zeroize::Zeroizing;

use crate::layout::{RECORD_HEAD_WORDS, SEAL_SALT, SEAL_TAG};
use crate::sys::hidden::Hidden;
use crate::sys::random::fill_random;
use crate::words::WORD;

/// Bytes of a record's head behind its check.
const HEAD: usize = RECORD_HEAD_WORDS * WORD - size_of::<u32>();

const SEGMENT_LABEL: &[u8] = b"shmtls sealing 1";
const KEY_LABEL: &[u8] = b"segment key";
const CHECK_LABEL: &[u8] = b"check";
const ENTRY_LABEL: &[u8] = b"entry";

/// The key of a sealed segment: see [`Options::sealed`](crate::Options::sealed).
///
/// It lies in memory that stays out of core dumps, and out of swap where RLIMIT_MEMLOCK allows.
/// Clones share it; the last one wipes it. A forked child inherits it.
///
/// ```
/// use shmtls::{Options, SealingKey};
///
/// let key = SealingKey::random()?;
/// let cache = Options::new().sealed(&key).create_memfd()?;
/// assert!(cache.is_sealed());
/// assert_eq!(format!("{key:?}"), "SealingKey(..)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SealingKey(Arc<Hidden>);

impl SealingKey {
    /// Bytes of a key.
    pub const LEN: usize = 32;

    /// A new key from the kernel's random bytes.
    ///
    /// # Errors
    ///
    /// The kernel has no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut key = Hidden::zeroed(Self::LEN);
        fill_random(key.bytes_mut())?;
        Ok(Self(Arc::new(key)))
    }

    /// A key that came another way than over `fork`: through a pipe, or from a file of mode 0600.
    /// The caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut key = Hidden::zeroed(Self::LEN);
        key.bytes_mut().copy_from_slice(bytes);
        Self(Arc::new(key))
    }

    /// The key itself, to be handed to a process that does not inherit it. Secret.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        self.0.bytes().first_chunk().expect("as long as it was made")
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey(..)")
    }
}

/// Seals and opens the entries of one segment.
pub(crate) struct Sealer {
    segment_key: Hidden,
    check: u32,
}

impl Sealer {
    /// For the segment of this seed.
    pub(crate) fn new(key: &SealingKey, seed: u64) -> io::Result<Self> {
        let salt = [SEGMENT_LABEL, &seed.to_ne_bytes()].concat();
        let prk = Salt::new(HKDF_SHA256, &salt).extract(key.as_bytes());
        let mut segment_key = Hidden::zeroed(SealingKey::LEN);
        expand(&prk, KEY_LABEL, segment_key.bytes_mut())?;
        let mut check = Zeroizing::new([0; SealingKey::LEN]);
        expand(&prk, CHECK_LABEL, &mut *check)?;
        let check = u32::from_ne_bytes(*check.first_chunk().expect("32 bytes"));
        Ok(Self { segment_key, check: check.max(1) })
    }

    /// What the header says of the key: it tells keys apart, and nothing else. Never 0.
    pub(crate) fn check(&self) -> u32 {
        self.check
    }

    /// For the entries of one bucket.
    pub(crate) fn of_bucket(&self, bucket: usize) -> Seal<'_> {
        Seal { segment_key: self.segment_key.bytes(), bucket: bucket as u64 }
    }
}

fn expand(prk: &Prk, label: &[u8], out: &mut [u8]) -> io::Result<()> {
    let info = [label];
    let filled = prk.expand(&info, HKDF_SHA256).and_then(|okm| okm.fill(out));
    filled.map_err(|_| io::Error::other("HKDF"))
}

/// Seals and opens the entries of one bucket.
#[derive(Clone, Copy)]
pub(crate) struct Seal<'a> {
    segment_key: &'a [u8],
    bucket: u64,
}

impl Seal<'_> {
    /// Seals what lies between the first [`SEAL_SALT`] and the last [`SEAL_TAG`] bytes, in place.
    /// `None` if the kernel has no random bytes.
    pub(crate) fn close(&self, head: &[u8; HEAD], sealed: &mut [u8]) -> Option<()> {
        let (salt, rest) = sealed.split_first_chunk_mut::<SEAL_SALT>()?;
        let (session, tag) = rest.split_last_chunk_mut::<SEAL_TAG>()?;
        let aad = self.associated(head);
        // The last that enters: see above, 4.
        fill_random(salt).ok()?;
        let made = self.entry_key(salt)?.seal_in_place_separate_tag(nonce(), aad, session).ok()?;
        tag.copy_from_slice(made.as_ref());
        Some(())
    }

    /// Opens what [`close`](Self::close) has sealed, in place: the session lies behind the salt.
    /// `None` if anything is not as it was then; the bytes mean nothing any more.
    pub(crate) fn open(&self, head: &[u8; HEAD], sealed: &mut [u8]) -> Option<()> {
        let (salt, rest) = sealed.split_first_chunk_mut::<SEAL_SALT>()?;
        let opened = self.entry_key(salt)?.open_in_place(nonce(), self.associated(head), rest);
        opened.ok().map(|_| ())
    }

    fn entry_key(&self, salt: &[u8; SEAL_SALT]) -> Option<LessSafeKey> {
        let prk = Prk::new_less_safe(HKDF_SHA256, self.segment_key);
        let info = [ENTRY_LABEL, salt];
        let okm = prk.expand(&info, &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }

    fn associated(&self, head: &[u8; HEAD]) -> Aad<[u8; HEAD + WORD]> {
        let mut data = [0; HEAD + WORD];
        let (to_head, to_bucket) = data.split_at_mut(HEAD);
        to_head.copy_from_slice(head);
        to_bucket.copy_from_slice(&self.bucket.to_ne_bytes());
        Aad::from(data)
    }
}

/// The one nonce of a key that is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests;
