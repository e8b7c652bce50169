//! Tickets that any worker can open: sessions of one host, sealed with the shared ring's keys.
//!
//! ```text
//! name 16 | nonce 12 | ChaCha20-Poly1305 of (session | time of issue 8) | tag 16
//! ```
//!
//! The layout and the cipher are those of rustls's own tickets, but for the time: it
//! is in seconds since 1970, big endian, and bounds the life of tickets under a key that stays.
//!
//! ```text
//! name = SHA-256("shmtls rustls ticket name 1" 0 | context 8 | name of the ring's key 16)[..16]
//! key  = HKDF-SHA-256(salt "shmtls rustls ticket 1", HMAC key | AES key, info name)
//! ```
//!
//! So a key serves one stack and one host: whoever misuses one learns nothing about the others, and
//! a ticket of another host is one of an unknown name. The name is associated data as well, as in
//! "Authenticated Encryption with Key Identification" (eprint 2022/1680). Nonces are random, which
//! is good for 2^32 tickets per key (NIST SP 800-38D, section 8.3): rotation comes long before.
//!
//! Keys are derived anew for each ticket (about 1 µs), so none outlives the call: the types of the
//! crate ring do not wipe themselves.

use std::time::Duration;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use super::{Config, ConfigError, sha256};
use crate::session::now_secs;
use crate::sys::random::fill_random;
use crate::{Cache, Context, TicketKey};

const NAME_LABEL: &[u8] = b"shmtls rustls ticket name 1\0";
const KEY_LABEL: &[u8] = b"shmtls rustls ticket 1";
const NAME: usize = 16;
const NONCE: usize = 12;
const TIME: usize = 8;
const TAG: usize = 16;
/// A ticket's length has two bytes (RFC 8446, section 4.6.1), and rustls would cut it to them.
const MAX_TICKET: usize = u16::MAX as usize;

type Name = [u8; NAME];

/// Seals and opens the tickets of one host.
#[derive(Debug)]
pub(super) struct TicketProducer {
    cache: Cache,
    context: Context,
    lifetime: Duration,
}

impl TicketProducer {
    /// Refuses a ring that would not encrypt.
    pub(super) fn new(cache: &Cache, config: &Config, stack: &str) -> Result<Self, ConfigError> {
        let lifetime = config.checked_lifetime(cache)?;
        let producer = Self { cache: cache.clone(), context: config.context(stack), lifetime };
        producer.encrypting(now_secs()).ok_or(ConfigError::NoKeys)?;
        Ok(producer)
    }

    /// How long a ticket that is issued now will open: its key may end before it does.
    pub(super) fn lifetime(&self) -> Duration {
        let key = self.encrypting(now_secs());
        key.map_or(Duration::ZERO, |key| self.lifetime.min(key.not_after.remaining()))
    }

    /// `None` if no key may encrypt, or the session is too long for a ticket.
    pub(super) fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        let now = now_secs();
        let key = self.encrypting(now)?;
        let name = self.name_of(&key);
        let mut nonce = [0; NONCE];
        fill_random(&mut nonce).ok()?;

        let len = NAME + NONCE + session.len() + TIME + TAG;
        if len > MAX_TICKET {
            return None;
        }
        // Wiped on the way out, but for the way on which it has become a ticket.
        let mut ticket = Zeroizing::new(Vec::with_capacity(len));
        ticket.extend_from_slice(&name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(session);
        ticket.extend_from_slice(&u64::from(now).to_be_bytes());
        let tag = derive(&key, &name)?.seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(name),
            &mut ticket[NAME + NONCE..],
        );
        ticket.extend_from_slice(tag.ok()?.as_ref());
        Some(std::mem::take(&mut *ticket))
    }

    /// `None` for whatever no worker has sealed, or sealed too long ago.
    pub(super) fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, ticket) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = ticket.split_first_chunk::<NONCE>()?;
        if sealed.len() < TIME + TAG {
            return None;
        }
        let now = now_secs();
        let key = self.decrypting(name, now)?;
        let mut session = Zeroizing::new(sealed.to_vec());
        let opened = derive(&key, name)?.open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            Aad::from(name),
            &mut session,
        );
        let (kept, issued) = opened.ok()?.split_last_chunk::<TIME>()?;
        let (len, issued) = (kept.len(), u64::from_be_bytes(*issued));
        // A clock that was set back makes tickets of the future: they are new.
        if u64::from(now).saturating_sub(issued) >= self.lifetime.as_secs() {
            return None;
        }
        session.truncate(len);
        Some(std::mem::take(&mut *session))
    }

    fn encrypting(&self, now: u32) -> Option<TicketKey> {
        self.cache.keys().current()?.keys.encrypting(now).cloned()
    }

    /// The ring's key behind a ticket's name. An unknown name is worth one more look: the ring may
    /// have been in motion.
    fn decrypting(&self, name: &Name, now: u32) -> Option<TicketKey> {
        let look = || {
            let ring = self.cache.keys().current()?;
            ring.keys.live(now).find(|key| self.name_of(key) == *name).cloned()
        };
        look().or_else(look)
    }

    /// The name that stands in tickets: another one than the ring's, which OpenSSL's tickets have.
    fn name_of(&self, key: &TicketKey) -> Name {
        let digest = sha256(&[NAME_LABEL, self.context.as_bytes(), key.name()]);
        *digest.first_chunk().expect("SHA-256 has 32 bytes")
    }
}

fn derive(key: &TicketKey, name: &Name) -> Option<LessSafeKey> {
    let mut secret = Zeroizing::new([0; 64]);
    let (hmac, aes) = (key.hmac_key(), key.aes_key());
    secret[..hmac.len()].copy_from_slice(hmac);
    secret[hmac.len()..][..aes.len()].copy_from_slice(aes);
    let secret = &secret[..hmac.len() + aes.len()];
    let prk = Salt::new(HKDF_SHA256, KEY_LABEL).extract(secret);
    let info = [name.as_slice()];
    let okm = prk.expand(&info, &CHACHA20_POLY1305).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(okm)))
}
