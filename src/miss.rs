//! The outcomes of cache operations. They are values, not failures: a TLS server must not fail a
//! handshake because its cache is sick.

/// Why a lookup gave nothing. Every reason has its counter in [`Stats`](crate::Stats).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Miss {
    /// There is no session of that ID: never stored, removed, taken, or evicted long ago.
    #[error("no such session")]
    Absent,
    /// There was a session of that ID, which had to go for others a short while ago. (A bucket
    /// remembers 38 such IDs, by 16 bits: one absent ID in 1,700 is taken for one of them.)
    #[error("the session was evicted")]
    Evicted,
    /// The session's lifetime is over; it was wiped.
    #[error("the session has expired")]
    Expired,
    /// The ID is there, under another context only.
    #[error("the session belongs to another context")]
    OtherContext,
    /// The bytes are another TLS library's; they stay where they are.
    #[error("the session belongs to another TLS library")]
    OtherLibrary,
    /// The bucket could not be had before the deadline.
    #[error("the bucket is busy")]
    Busy,
    /// The bytes fail their check; they were wiped.
    #[error("the session is damaged")]
    Damaged,
    /// The segment is sealed, and these bytes were not sealed for this entry by anybody who has the
    /// key. They stay until they expire or are replaced, but if the lookup was to remove what it
    /// found, as a take or the resumption of a single-use session, they are gone: they are removed
    /// before they are opened.
    #[error("the session is forged")]
    Forged,
    /// The TLS library cannot decode the bytes. Reported by adapters.
    #[error("the session cannot be decoded")]
    Undecodable,
    /// The ID is empty or longer than 32 bytes. Reported by adapters.
    #[error("the session ID is invalid")]
    InvalidId,
    /// The caller's buffer is too short; nothing was copied. The session is there.
    #[error("the session has {needed} bytes, more than the buffer")]
    ShortBuffer {
        /// Bytes of the session.
        needed: usize,
    },
}

/// What became of a session that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Inserted {
    /// It is there, under a new key.
    New,
    /// It is there, in place of an earlier one.
    Replaced,
    /// It was there already, byte for byte, until the same expiry. A sealed segment cannot tell,
    /// and says `Replaced`.
    Unchanged,
    /// It is there; so many live sessions had to go for it.
    Evicted(u16),
    /// It is larger than this segment takes.
    TooLarge {
        /// Bytes of the session.
        len: usize,
        /// The most that this segment takes.
        max: usize,
    },
    /// Its expiry has passed.
    Expired,
    /// The bucket could not be had before the deadline; the session was dropped.
    Busy,
    /// The kernel had no random bytes to seal it with; the session was dropped.
    Unsealed,
}

impl Inserted {
    /// Whether the session is in the cache now.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::New | Self::Replaced | Self::Unchanged | Self::Evicted(_))
    }
}

/// The bucket could not be had before the deadline: the session may still be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bucket is busy: the session may still be there")]
pub struct Busy;

/// What a walk over all buckets removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub struct Purged {
    /// Sessions removed.
    pub removed: usize,
    /// Buckets that could not be had before the deadline.
    pub busy: usize,
}
