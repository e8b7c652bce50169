//! One stored session as bytes: seven words of head, then the payload, zero-padded to a word.
//!
//! ```text
//! word 0            check (32 bits): hash of all that follows it, keyed with the segment's seed
//!                   expiry (32): seconds since 1970
//! word 1  shape     payload length (16 bits), ID length (6), flags (4), protocol (6),
//!                   span (16): how long before its expiry it was stored, writer (16)
//! word 2            context
//! words 3-6         session ID, zero-padded
//! words 7-          payload: the session, or in a sealed segment salt, sealed session, tag
//! ```
//!
//! A record is complete before it is published and is not changed afterwards.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::geometry::Geometry;
use crate::hash;
use crate::layout::{RECORD_HEAD_WORDS, SEAL_SALT, SEAL_TAG};
use crate::sealing::Seal;
use crate::secret::SecretBytes;
use crate::session::{Context, Expiry, Library, NewSession, SessionId};
use crate::words::{self, WORD, words_for};

mod protocol;

/// What a record is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) context: Context,
    pub(crate) id: SessionId,
}

/// What a record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    /// Bytes of the session, sealed or not.
    pub(crate) payload_len: usize,
    id_len: u8,
    flags: u8,
    protocol: protocol::Code,
    /// See [`Geometry::span_secs`].
    span: u16,
    pub(crate) writer: u16,
    pub(crate) expiry: Expiry,
}

/// Flag: the first resumption takes the session.
const SINGLE_USE: u8 = 1;
/// Flags: whose bytes the payload is, in two bits.
const LIBRARY_SHIFT: u8 = 1;
const LIBRARY_MASK: u8 = 0b11;
/// Flag: the payload is sealed.
pub(crate) const SEALED: u8 = 1 << 3;

/// A record in private memory: whole words, ready to be copied. Wiped when dropped.
pub(crate) struct Staged {
    pub(crate) head: Head,
    pub(crate) bytes: SecretBytes,
}

/// The record of `session`, sealed if there is a seal. `None`: it cannot be sealed now.
pub(crate) fn encode(
    geometry: &Geometry,
    key: &Key,
    session: &NewSession<'_>,
    writer: u16,
    now_secs: u32,
    seal: Option<Seal<'_>>,
) -> Option<Staged> {
    let life = session.expiry.unix_secs().saturating_sub(now_secs);
    let head = Head {
        payload_len: session.bytes.len(),
        id_len: key.id.as_bytes().len() as u8,
        flags: (u8::from(session.single_use) * SINGLE_USE)
            | (library_bits(session.library) << LIBRARY_SHIFT)
            | (u8::from(seal.is_some()) * SEALED),
        protocol: protocol::Code::of(session.protocol),
        span: u16::try_from(life / geometry.span_secs()).unwrap_or(u16::MAX),
        writer,
        expiry: session.expiry,
    };
    let len = head.words() * WORD;
    let mut record = SecretBytes::with_capacity(len);
    record.extend_from_slice(&[0; CHECK]);
    record.extend_from_slice(&head.and_key(key));
    record.resize(head.session_at(), 0);
    record.extend_from_slice(session.bytes);
    record.resize(len, 0);
    if let Some(seal) = seal {
        seal.close(&head.and_key(key), &mut record[PAYLOAD_AT..][..head.stored_len()])?;
    }
    let check = hash::check(geometry.seed, &record[CHECK..]);
    record[..CHECK].copy_from_slice(&check.to_ne_bytes());
    Some(Staged { head, bytes: record })
}

/// Opens the private copy of a whole record, if it is sealed; returns where the session begins.
///
/// Head and key are what the caller found the record by, and will believe: they are checked here,
/// not those in the copy. `None`: nobody who has the key has made this record for them.
pub(crate) fn open(
    record: &mut [u8],
    head: &Head,
    key: &Key,
    seal: Option<Seal<'_>>,
) -> Option<usize> {
    match (seal, head.flags & SEALED != 0) {
        (None, false) => {}
        (Some(seal), true) => {
            let (sealed, padding) = record[PAYLOAD_AT..].split_at_mut(head.stored_len());
            let is_padding = padding.iter().all(|byte| *byte == 0);
            is_padding.then(|| seal.open(&head.and_key(key), sealed))??;
        }
        (None, true) | (Some(_), false) => return None,
    }
    Some(head.session_at())
}

/// Whether a private copy of a record is as its writer made it.
pub(crate) fn is_whole(seed: u64, record: &[u8]) -> bool {
    record
        .split_first_chunk()
        .is_some_and(|(check, rest)| u32::from_ne_bytes(*check) == hash::check(seed, rest))
}

/// Whether a private copy of a record is the one that was found by `key`, with `head`. While a
/// damaged lock lets two into a bucket, another may lie in its place by the time of the copy.
pub(crate) fn is_of(record: &[u8], head: &Head, key: &Key) -> bool {
    record.get(CHECK..PAYLOAD_AT) == Some(&head.and_key(key)[..])
}

impl Head {
    /// The head of the record at word `at`, if a record can lie there: its length is loaded once
    /// and checked against the bucket before anybody uses it.
    pub(crate) fn load(records: &[AtomicU64], at: usize) -> Option<Self> {
        let words = records.get(at..)?.get(..RECORD_HEAD_WORDS)?;
        let (first, shape) = (words[0].load(Relaxed), words[1].load(Relaxed));
        let head = Self {
            payload_len: usize::from(shape as u16),
            id_len: (shape >> 16) as u8 & ID_LEN_MASK,
            flags: (shape >> 22) as u8 & FLAGS_MASK,
            protocol: protocol::Code::from_bits((shape >> 26) as u8),
            span: (shape >> 32) as u16,
            writer: (shape >> 48) as u16,
            expiry: Expiry::from_unix((first >> 32) as u32),
        };
        (head.words() <= records.len() - at).then_some(head)
    }

    /// Words of the whole record.
    pub(crate) fn words(&self) -> usize {
        RECORD_HEAD_WORDS + words_for(self.stored_len())
    }

    /// Bytes of the payload, with what seals it.
    fn stored_len(&self) -> usize {
        let seal = if self.flags & SEALED == 0 { 0 } else { SEAL_SALT + SEAL_TAG };
        self.payload_len + seal
    }

    /// Where the session begins in a private copy of the record.
    fn session_at(&self) -> usize {
        PAYLOAD_AT + if self.flags & SEALED == 0 { 0 } else { SEAL_SALT }
    }

    /// All of the head but the check, and the key.
    fn and_key(&self, key: &Key) -> [u8; HEAD_AND_KEY] {
        let mut bytes = [0; HEAD_AND_KEY];
        let at = |word| word * WORD - CHECK;
        bytes[..at(1)].copy_from_slice(&self.expiry.unix_secs().to_ne_bytes());
        bytes[at(1)..at(CONTEXT_AT)].copy_from_slice(&self.shape().to_ne_bytes());
        bytes[at(CONTEXT_AT)..at(ID_AT)].copy_from_slice(key.context.as_bytes());
        bytes[at(ID_AT)..].copy_from_slice(key.id.padded());
        bytes
    }

    /// When it was stored, in seconds since 1970, given the unit of its span.
    pub(crate) fn created_secs(&self, span_secs: u32) -> u32 {
        let span = u32::from(self.span) * span_secs;
        self.expiry.unix_secs().saturating_sub(span)
    }

    /// The TLS version as on the wire; 0 where it is not known.
    pub(crate) fn protocol(&self) -> u16 {
        self.protocol.version()
    }

    pub(crate) fn is_single_use(&self) -> bool {
        self.flags & SINGLE_USE != 0
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.flags & SEALED != 0
    }

    /// Whose bytes the payload is; `None` for a library that this build does not know.
    pub(crate) fn library(&self) -> Option<Library> {
        match self.flags >> LIBRARY_SHIFT & LIBRARY_MASK {
            0 => Some(Library::Raw),
            1 => Some(Library::OpenSsl),
            2 => Some(Library::Rustls),
            _ => None,
        }
    }

    fn shape(&self) -> u64 {
        self.payload_len as u64
            | u64::from(self.id_len) << 16
            | u64::from(self.flags) << 22
            | u64::from(self.protocol.bits()) << 26
            | u64::from(self.span) << 32
            | u64::from(self.writer) << 48
    }
}

/// How a record's key compares with the one that is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyMatch {
    Same,
    /// The ID, under another context.
    OtherContext,
    Other,
}

/// Compares the key of the record at word `at`, which has a head.
pub(crate) fn compare_key(records: &[AtomicU64], at: usize, head: &Head, key: &Key) -> KeyMatch {
    let context = &records[at + CONTEXT_AT..at + ID_AT];
    let id = &records[at + ID_AT..at + RECORD_HEAD_WORDS];
    if usize::from(head.id_len) != key.id.as_bytes().len() || !words::equal(id, key.id.padded()) {
        KeyMatch::Other
    } else if words::equal(context, key.context.as_bytes()) {
        KeyMatch::Same
    } else {
        KeyMatch::OtherContext
    }
}

/// The key of the record at word `at`, which has a head.
pub(crate) fn load_key(records: &[AtomicU64], at: usize, head: &Head) -> Key {
    let mut context = [0; Context::LEN];
    let mut id = [0; SessionId::MAX_LEN];
    words::load(&mut context, &records[at + CONTEXT_AT..at + ID_AT]);
    words::load(&mut id, &records[at + ID_AT..at + RECORD_HEAD_WORDS]);
    Key { context: Context::from_bytes(context), id: SessionId::from_padded(id, head.id_len) }
}

/// Whether the record at word `at` is `staged` but for who wrote it and when.
pub(crate) fn is_same_session(
    records: &[AtomicU64],
    at: usize,
    head: &Head,
    staged: &Staged,
) -> bool {
    let Head { writer, span, .. } = *head;
    *head == Head { writer, span, ..staged.head }
        && words::equal(
            &records[at + CONTEXT_AT..at + head.words()],
            &staged.bytes[CONTEXT_AT * WORD..],
        )
}

const CONTEXT_AT: usize = 2;
const ID_AT: usize = 3;
/// Bytes of the check.
const CHECK: usize = size_of::<u32>();
/// Bytes between the check and the payload.
pub(crate) const HEAD_AND_KEY: usize = PAYLOAD_AT - CHECK;
const ID_LEN_MASK: u8 = (1 << 6) - 1;
const FLAGS_MASK: u8 = (1 << 4) - 1;

fn library_bits(library: Library) -> u8 {
    match library {
        Library::Raw => 0,
        Library::OpenSsl => 1,
        Library::Rustls => 2,
    }
}

/// The payload of a record in private memory.
pub(crate) const PAYLOAD_AT: usize = RECORD_HEAD_WORDS * WORD;
