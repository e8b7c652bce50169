//! What is stored and how it is found: [`SessionId`], [`Context`], [`Expiry`], and the session
//! bytes themselves, on their way in ([`NewSession`]) and out ([`Session`]).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64;

use crate::secret::SecretBytes;
use crate::sys::clock::Now;

/// A TLS session ID: 1 to 32 bytes (RFC 5246, section 7.4.1.2).
///
/// For a stateful TLS 1.3 ticket the ID *is* the ticket, so `Debug` shows its length only.
///
/// ```
/// let id = shmtls::SessionId::new(&[7; 32])?;
/// assert_eq!(id.as_bytes(), [7; 32]);
/// assert!(shmtls::SessionId::new(&[0; 33]).is_err());
/// # Ok::<(), shmtls::InvalidSessionId>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId {
    /// Zero-padded, so that equal IDs have equal bytes here.
    bytes: [u8; SessionId::MAX_LEN],
    len: u8,
}

impl SessionId {
    /// The longest session ID that TLS allows, in bytes.
    pub const MAX_LEN: usize = 32;

    /// Parses an ID; this is the one place where its length is checked.
    ///
    /// # Errors
    ///
    /// [`InvalidSessionId`] for an empty ID or one of more than 32 bytes. A TLS 1.3 client may send
    /// an identity of any length: an adapter counts it as a miss.
    pub fn new(id: &[u8]) -> Result<Self, InvalidSessionId> {
        let invalid = InvalidSessionId { len: id.len() };
        let mut bytes = [0; Self::MAX_LEN];
        bytes.get_mut(..id.len()).filter(|b| !b.is_empty()).ok_or(invalid)?.copy_from_slice(id);
        Ok(Self { bytes, len: id.len() as u8 })
    }

    /// The ID as the peer sent it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn padded(&self) -> &[u8; Self::MAX_LEN] {
        &self.bytes
    }

    /// An ID read back from a record; `len` comes from shared memory and is clamped.
    pub(crate) fn from_padded(bytes: [u8; Self::MAX_LEN], len: u8) -> Self {
        Self { bytes, len: len.clamp(1, Self::MAX_LEN as u8) }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({} bytes)", self.len)
    }
}

/// A session ID of no bytes, or of more than 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session ID has 1 to {} bytes, this one has {len}", SessionId::MAX_LEN)]
pub struct InvalidSessionId {
    /// The length found, in bytes.
    pub len: usize,
}

/// The trust domain that a session belongs to: a virtual host's certificate and client-auth
/// policy. Part of every key.
///
/// A session found under another context is a miss. Without this a session made at an open
/// virtual host can be resumed at one that demands a client certificate (CVE-2025-23419,
/// CVE-2025-23048).
///
/// ```
/// use shmtls::Context;
/// assert_ne!(Context::named("open.example.org"), Context::named("admin.example.org"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Context([u8; Context::LEN]);

impl Context {
    /// Bytes of a context.
    pub const LEN: usize = 8;

    /// A context from a name that the operator chose.
    ///
    /// The hash is not cryptographic: where others choose the name, use [`Context::from_digest`].
    pub fn named(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()).to_le_bytes())
    }

    /// A context from a cryptographic digest (SHA-256, say) of all that must agree between two
    /// handshakes. The first 8 bytes are used: who wants to meet one of another's tries 2^64 times,
    /// who may choose what goes into both of them 2^32 times.
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; Self::LEN];
        bytes.copy_from_slice(&digest[..Self::LEN]);
        Self(bytes)
    }

    /// The context's bytes. They are no secret.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// Its first four bytes, which tell one from the other for people.
    pub fn start(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }

    pub(crate) fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:08x})", self.start())
    }
}

/// When a session ends: a wall-clock time in whole seconds, as TLS libraries keep it.
///
/// ```
/// use std::time::Duration;
/// use shmtls::Expiry;
/// assert!(!Expiry::after(Duration::from_secs(300)).has_passed());
/// assert!(Expiry::after(Duration::ZERO).has_passed());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry(u32);

impl Expiry {
    /// `lifetime` from now, rounded down to whole seconds.
    pub fn after(lifetime: Duration) -> Self {
        Self::from_secs(u64::from(now_secs()).saturating_add(lifetime.as_secs()))
    }

    /// At `time`; a time before 1970 has passed, one after 2106 is cut to the year 2106.
    pub fn at(time: SystemTime) -> Self {
        Self::from_secs(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// Seconds since 1970.
    pub fn unix_secs(self) -> u32 {
        self.0
    }

    /// The time that is left; zero once the expiry has passed.
    pub fn remaining(self) -> Duration {
        Duration::from_secs(u64::from(self.0.saturating_sub(now_secs())))
    }

    /// Whether the session is dead: its last second has begun.
    pub fn has_passed(self) -> bool {
        self.passed_at(now_secs())
    }

    pub(crate) fn passed_at(self, now_secs: u32) -> bool {
        self.0 <= now_secs
    }

    pub(crate) fn from_unix(secs: u32) -> Self {
        Self(secs)
    }

    fn from_secs(secs: u64) -> Self {
        Self(u32::try_from(secs).unwrap_or(u32::MAX))
    }
}

/// Now, in seconds since 1970: the clock of every expiry in the segment.
pub(crate) fn now_secs() -> u32 {
    Now::read().secs()
}

/// Whose serialization the bytes are. One library's bytes never reach another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Library {
    /// The caller's own: opaque bytes.
    #[default]
    Raw,
    /// OpenSSL's `i2d_SSL_SESSION`.
    OpenSsl,
    /// rustls' server session value.
    Rustls,
}

/// A session on its way into the cache.
///
/// ```
/// use std::time::Duration;
/// use shmtls::{Expiry, NewSession};
/// let der = [0x30, 0x03, 1, 1, 0];
/// let session = NewSession::new(&der, Expiry::after(Duration::from_secs(300))).single_use(true);
/// ```
#[derive(Clone, Copy)]
pub struct NewSession<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) expiry: Expiry,
    pub(crate) single_use: bool,
    pub(crate) library: Library,
    pub(crate) protocol: u16,
}

impl<'a> NewSession<'a> {
    /// A reusable session of no known protocol, whose bytes are the caller's own.
    pub fn new(bytes: &'a [u8], expiry: Expiry) -> Self {
        Self { bytes, expiry, single_use: false, library: Library::Raw, protocol: 0 }
    }

    /// Whether the first resumption takes the session out of the cache (RFC 8446, section 8.1).
    pub fn single_use(self, single_use: bool) -> Self {
        Self { single_use, ..self }
    }

    /// Whose serialization the bytes are.
    pub fn library(self, library: Library) -> Self {
        Self { library, ..self }
    }

    /// The TLS version as on the wire: 0x0303 or 0x0304. For display only.
    pub fn protocol(self, protocol: u16) -> Self {
        Self { protocol, ..self }
    }
}

impl fmt::Debug for NewSession<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession")
            .field("len", &self.bytes.len())
            .field("expiry", &self.expiry)
            .field("single_use", &self.single_use)
            .finish_non_exhaustive()
    }
}

/// A private copy of a stored session. Its bytes are wiped when it is dropped.
///
/// ```
/// # use std::time::Duration;
/// # use shmtls::{Context, Expiry, Options, SessionId};
/// # let cache = Options::new().size(1 << 20).create_memfd()?;
/// # let (context, id) = (Context::named("doc"), SessionId::new(b"id")?);
/// let _ = cache.insert(&context, &id, b"session bytes", Expiry::after(Duration::from_secs(60)));
/// let session = cache.take(&context, &id)?;
/// assert_eq!(session.bytes(), b"session bytes");
/// assert!(!format!("{session:?}").contains("bytes\""));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Session {
    /// The whole record; the payload begins at `payload_at`.
    pub(crate) record: SecretBytes,
    pub(crate) payload_at: usize,
    pub(crate) payload_len: usize,
    pub(crate) expiry: Expiry,
    pub(crate) created_secs: u32,
    pub(crate) protocol: u16,
    pub(crate) library: Library,
    pub(crate) single_use: bool,
    pub(crate) foreign: bool,
    /// Nobody else gets it.
    pub(crate) taken: bool,
}

impl Session {
    /// The serialized session, as it was stored. Secret.
    pub fn bytes(&self) -> &[u8] {
        &self.record[self.payload_at..][..self.payload_len]
    }

    /// When the session ends.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// When the session was stored.
    pub fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::from(self.created_secs))
    }

    /// The TLS version as on the wire; 0 where the writer did not say.
    pub fn protocol(&self) -> u16 {
        self.protocol
    }

    /// Whose serialization the bytes are.
    pub fn library(&self) -> Library {
        self.library
    }

    /// Whether the first resumption takes it.
    pub fn is_single_use(&self) -> bool {
        self.single_use
    }

    /// Whether another process stored it: a full handshake that sharing saved.
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("len", &self.payload_len)
            .field("expiry", &self.expiry)
            .field("protocol", &format_args!("{:#06x}", self.protocol))
            .field("library", &self.library)
            .field("single_use", &self.single_use)
            .field("foreign", &self.foreign)
            .finish_non_exhaustive()
    }
}
