//! Ticket keys: [`TicketKey`], and an ordered set of them. Secrets, wiped when dropped.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;
use zeroize::Zeroizing;

use crate::session::{Expiry, now_secs};
use crate::sys::hidden::Hidden;
use crate::sys::random::fill_random;

/// The most keys that a ring holds.
pub const MAX_KEYS: usize = 32;

/// One key for stateless session tickets (RFC 5077, section 4): a name that stands in every
/// ticket, a key for HMAC-SHA-256, and one for AES-CBC.
///
/// ```
/// use shmtls::TicketKey;
/// let key = TicketKey::random()?;
/// assert!(TicketKey::aes256([0; 16], &[1; 32], &[2; 32]).is_err());
/// println!("{key:?}"); // its fingerprint and times only
/// # Ok::<(), shmtls::KeyError>(())
/// ```
#[derive(Clone)]
pub struct TicketKey {
    pub(crate) name: [u8; 16],
    pub(crate) cipher: TicketCipher,
    /// The HMAC key and the AES key. Apart from the rest: a move of the key must not copy them, for
    /// nobody wipes the place that a value was moved from, and a core dump has the rest.
    secrets: Hidden,
    pub(crate) not_before: Expiry,
    pub(crate) not_after: Expiry,
}

/// The strength of a ticket key. Both use HMAC-SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TicketCipher {
    /// AES-128-CBC and a 16-byte HMAC key: the 48-byte form.
    Aes128,
    /// AES-256-CBC and a 32-byte HMAC key: the 80-byte form.
    Aes256,
}

impl TicketCipher {
    /// Bytes of the AES key, and of the HMAC key.
    pub fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes256 => 32,
        }
    }
}

impl TicketKey {
    /// An AES-128 key, valid from now on.
    ///
    /// # Errors
    ///
    /// [`KeyError::AllZero`] if the name or either key is all zeroes.
    pub fn aes128(name: [u8; 16], hmac: &[u8; 16], aes: &[u8; 16]) -> Result<Self, KeyError> {
        Self::new(TicketCipher::Aes128, name, hmac, aes)
    }

    /// An AES-256 key, valid from now on.
    ///
    /// # Errors
    ///
    /// [`KeyError::AllZero`] if the name or either key is all zeroes.
    pub fn aes256(name: [u8; 16], hmac: &[u8; 32], aes: &[u8; 32]) -> Result<Self, KeyError> {
        Self::new(TicketCipher::Aes256, name, hmac, aes)
    }

    /// A new AES-256 key from the kernel's random bytes.
    ///
    /// # Errors
    ///
    /// [`KeyError::Random`] if the kernel has none.
    pub fn random() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; 80]);
        fill_random(&mut bytes[..]).map_err(KeyError::Random)?;
        let (name, keys) = bytes.split_first_chunk().expect("80 bytes");
        Self::new(TicketCipher::Aes256, *name, &keys[..32], &keys[32..])
    }

    /// Encrypts tickets only from then on; decrypts at once.
    pub fn not_before(self, time: Expiry) -> Self {
        Self { not_before: time, ..self }
    }

    /// Decrypts until then.
    pub fn not_after(self, time: Expiry) -> Self {
        Self { not_after: time, ..self }
    }

    /// What identifies the key in output: a digest of its name.
    pub fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint((xxh3_64(&self.name) >> 32) as u32)
    }

    /// The name that stands in the tickets; no secret.
    pub fn name(&self) -> &[u8; 16] {
        &self.name
    }

    /// The key's strength.
    pub fn cipher(&self) -> TicketCipher {
        self.cipher
    }

    /// `hmac` and `aes` have the cipher's length.
    pub(crate) fn new(
        cipher: TicketCipher,
        name: [u8; 16],
        hmac: &[u8],
        aes: &[u8],
    ) -> Result<Self, KeyError> {
        for (part, bytes) in [("name", &name[..]), ("HMAC key", hmac), ("AES key", aes)] {
            if bytes.iter().all(|byte| *byte == 0) {
                return Err(KeyError::AllZero { part });
            }
        }
        let mut secrets = Hidden::zeroed(2 * cipher.key_len());
        let (hmac_place, aes_place) = secrets.bytes_mut().split_at_mut(cipher.key_len());
        hmac_place.copy_from_slice(hmac);
        aes_place.copy_from_slice(aes);
        let (not_before, not_after) = (Expiry::from_unix(0), Expiry::from_unix(u32::MAX));
        Ok(Self { name, cipher, secrets, not_before, not_after })
    }

    /// Whether a ticket of one can be decrypted with the other, times aside.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let open = |key: &Self| (key.name, key.cipher);
        open(self) == open(other) && self.secrets.bytes() == other.secrets.bytes()
    }

    /// Whether its time has come and is not over.
    pub(crate) fn encrypts_at(&self, now: u32) -> bool {
        self.not_before.passed_at(now) && !self.not_after.passed_at(now)
    }

    /// The HMAC key in use.
    pub(crate) fn hmac_key(&self) -> &[u8] {
        &self.secrets.bytes()[..self.cipher.key_len()]
    }

    /// The AES key in use.
    pub(crate) fn aes_key(&self) -> &[u8] {
        &self.secrets.bytes()[self.cipher.key_len()..]
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKey")
            .field("fingerprint", &format_args!("{}", self.fingerprint()))
            .field("cipher", &self.cipher)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Four bytes of a digest of a key's name, as `c4:51:0e:8a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyFingerprint(u32);

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

/// What a key is good for at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyRole {
    /// Decrypts already, encrypts later.
    Next,
    /// Encrypts, and decrypts.
    Current,
    /// Decrypts still.
    Previous,
    /// Neither: its time is over.
    Expired,
}

/// Keys in their order of preference: the first whose time has come encrypts, all decrypt.
#[derive(Debug, Clone)]
pub(crate) struct KeySet(Vec<TicketKey>);

impl KeySet {
    /// Checks that the keys can be a ring.
    pub(crate) fn new(keys: Vec<TicketKey>) -> Result<Self, KeyError> {
        if !(1..=MAX_KEYS).contains(&keys.len()) {
            return Err(KeyError::Count { found: keys.len(), max: MAX_KEYS });
        }
        for (index, key) in keys.iter().enumerate() {
            let fingerprint = key.fingerprint();
            if keys[..index].iter().any(|other| other.name == key.name) {
                return Err(KeyError::RepeatedName { fingerprint });
            }
            if key.not_after.has_passed() || key.not_after <= key.not_before {
                return Err(KeyError::Expired { fingerprint });
            }
        }
        let set = Self(keys);
        // A ring that cannot encrypt now would turn tickets off without anybody having said so.
        if set.encrypting(now_secs()).is_none() {
            return Err(KeyError::NothingEncrypts);
        }
        Ok(set)
    }

    /// Keys read back from a ring that was checked when it was published.
    pub(crate) fn trusted(keys: Vec<TicketKey>) -> Self {
        Self(keys)
    }

    pub(crate) fn keys(&self) -> &[TicketKey] {
        &self.0
    }

    /// The keys whose time is not over at `now`.
    pub(crate) fn live(&self, now: u32) -> impl Iterator<Item = &TicketKey> {
        self.0.iter().filter(move |key| !key.not_after.passed_at(now))
    }

    /// The key that encrypts at `now`.
    pub(crate) fn encrypting(&self, now: u32) -> Option<&TicketKey> {
        self.0.iter().find(|key| key.encrypts_at(now))
    }

    /// The key of that name, if it may decrypt at `now`.
    #[cfg_attr(not(feature = "openssl"), allow(dead_code))]
    pub(crate) fn decrypting(&self, name: &[u8; 16], now: u32) -> Option<&TicketKey> {
        self.0.iter().find(|key| key.name == *name && !key.not_after.passed_at(now))
    }

    /// What each key is good for at `now`, in the order of the ring.
    pub(crate) fn roles(&self, now: u32) -> impl Iterator<Item = (&TicketKey, KeyRole)> {
        let current = self.encrypting(now).map(|key| key.name);
        self.0.iter().map(move |key| {
            let role = if key.not_after.passed_at(now) {
                KeyRole::Expired
            } else if Some(key.name) == current {
                KeyRole::Current
            } else if !key.not_before.passed_at(now) {
                KeyRole::Next
            } else {
                KeyRole::Previous
            };
            (key, role)
        })
    }
}

/// Why keys were refused. The ring is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Key material of zeroes: an uninitialised buffer, as found in production (USENIX Security
    /// 2023).
    #[error("the {part} is all zeroes")]
    AllZero {
        /// `name`, `HMAC key` or `AES key`.
        part: &'static str,
    },
    /// No keys, or too many.
    #[error("found {found} keys, expected 1 to {max}")]
    Count {
        /// Keys given.
        found: usize,
        /// The most that a ring holds.
        max: usize,
    },
    /// Bytes that are not a whole number of keys.
    #[error("found {found} bytes, expected a multiple of {unit}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes of one key.
        unit: usize,
    },
    /// A key file that breaks its format's rules.
    #[error("line {line}: found {found}, expected {expected}")]
    Format {
        /// Line of the file, from 1.
        line: usize,
        /// What is there; never key material.
        found: String,
        /// What the format demands.
        expected: &'static str,
    },
    /// Two keys of one name: a ticket could not tell which.
    #[error("key {fingerprint} is there twice")]
    RepeatedName {
        /// Whose name it is.
        fingerprint: KeyFingerprint,
    },
    /// A key whose time is over, or never comes.
    #[error("key {fingerprint} has expired")]
    Expired {
        /// Which key.
        fingerprint: KeyFingerprint,
    },
    /// All keys start later: no ticket could be issued now.
    #[error("no key may encrypt now, expected at least one whose not-before has passed")]
    NothingEncrypts,
    /// Somebody else has published since.
    #[error("the ring is at epoch {found}, the update was made for epoch {expected}")]
    Stale {
        /// The ring's epoch.
        found: u64,
        /// The epoch that the update is based on.
        expected: u64,
    },
    /// The ring's lock could not be had before the deadline.
    #[error("the key ring is busy")]
    Busy,
    /// The kernel has no random bytes.
    #[error("cannot draw random bytes")]
    Random(#[source] std::io::Error),
    /// No thread could be started for the rotation.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// A key file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::AllZero { .. } => "make keys with `openssl rand 80` or `TicketKey::random`",
            Self::Count { .. } => "keep the newest keys; those whose tickets have expired may go",
            Self::Length { .. } | Self::Format { .. } => {
                "check which product's format the file has: equal lengths differ in field order"
            }
            Self::RepeatedName { .. } => "give every key its own random name",
            Self::Expired { .. } => "leave expired keys out",
            Self::NothingEncrypts => "add the key that encrypts until the next one's time comes",
            Self::Stale { .. } => "read the ring again and decide anew",
            Self::Busy => "try again",
            Self::Random(_) | Self::Thread(_) | Self::Io { .. } => "see the system's error",
        }
    }
}

#[cfg(test)]
mod tests;
