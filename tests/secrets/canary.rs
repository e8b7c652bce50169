//! Canaries, and the search for them.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use shmtls::{Cache, TicketKey};
use zeroize::Zeroizing;

use super::payload::Rng;

/// Bytes that are searched for as one: so many do not come about by chance. Records and keys lie in
/// whole words, and a wipe that is not whole leaves whole words.
pub(crate) const WORD: usize = 8;
/// The same in a whole process, where a word alone may lie about in a register.
pub(crate) const PIECE: usize = 16;

/// A secret that is nowhere but where it is made: a process that knows it has a number only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Canary {
    seed: u64,
    len: usize,
}

impl Canary {
    /// As long as the secrets of a ticket key.
    pub(crate) const KEY_LEN: usize = 64;

    /// A secret that nobody has had yet.
    pub(crate) fn new(len: usize) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Relaxed) + 1;
        Self { seed: number << 32, len }
    }

    /// The secret of a key.
    pub(crate) fn of_key() -> Self {
        Self::new(Self::KEY_LEN)
    }

    /// Lends the secret; it is wiped after. Each byte is made alone, so that no eight of them are
    /// ever a number in a register.
    pub(crate) fn with<R>(self, work: impl FnOnce(&[u8]) -> R) -> R {
        let mut bytes = Zeroizing::new(vec![0; self.len]);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (Rng::new(self.seed + at as u64).next() >> 56) as u8;
        }
        work(&bytes)
    }

    /// The ticket key of this secret. Its name is no secret.
    pub(crate) fn key(self) -> TicketKey {
        self.with(|bytes| {
            let (hmac, aes) = bytes.split_at(Self::KEY_LEN / 2);
            let (hmac, aes) = (hmac.first_chunk().expect("32"), aes.first_chunk().expect("32"));
            TicketKey::aes256(self.name(), hmac, aes).expect("no zeroes")
        })
    }

    pub(crate) fn name(self) -> [u8; 16] {
        let mut name = *b"canary: ........";
        name[8..].copy_from_slice(&(self.seed >> 32).to_le_bytes());
        name
    }

    /// Looks for every piece of `len` bytes.
    pub(crate) fn needles(self, len: usize) -> Needles {
        self.with(|bytes| Needles::of(bytes, len))
    }
}

/// What to look for: all pieces of one length that a secret has.
pub(crate) struct Needles {
    pieces: HashSet<Vec<u8>>,
    len: usize,
    /// Most places are none by their first two bytes already.
    beginnings: Vec<bool>,
}

impl Needles {
    pub(crate) fn of(secret: &[u8], len: usize) -> Self {
        let pieces: HashSet<Vec<u8>> = secret.windows(len).map(<[u8]>::to_vec).collect();
        let mut beginnings = vec![false; 1 << 16];
        pieces.iter().for_each(|piece| beginnings[beginning(piece, 0)] = true);
        Self { pieces, len, beginnings }
    }

    /// These and those.
    pub(crate) fn and(mut self, other: Self) -> Self {
        assert_eq!(self.len, other.len);
        self.pieces.extend(other.pieces);
        let begins = other.beginnings.into_iter();
        self.beginnings.iter_mut().zip(begins).for_each(|(here, there)| *here |= there);
        self
    }

    /// How many different pieces there are.
    pub(crate) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// How many of them `bytes` have, at any place.
    pub(crate) fn found_in(&self, bytes: &[u8]) -> usize {
        let found = self.places_in(bytes).into_iter().map(|(_, piece)| piece);
        found.collect::<HashSet<_>>().len()
    }

    /// Where in `bytes` there are some, and which.
    pub(crate) fn places_in(&self, bytes: &[u8]) -> Vec<(usize, &[u8])> {
        let mut places = Vec::new();
        for start in (0..bytes.len()).step_by(ZEROES.len()) {
            // With as much of the next page as a piece that begins here can reach into.
            let page = &bytes[start..bytes.len().min(start + ZEROES.len() + self.len - 1)];
            if ZEROES.starts_with(page.get(..ZEROES.len()).unwrap_or(page)) {
                continue;
            }
            // No iterator: it is millions of bytes, and tests are not optimised.
            let mut at = 0;
            while at + self.len <= page.len() {
                if self.beginnings[beginning(page, at)] {
                    let piece = self.pieces.get(&page[at..at + self.len]);
                    places.extend(piece.map(|piece| (start + at, piece.as_slice())));
                }
                at += 1;
            }
        }
        places
    }
}

#[inline(always)]
fn beginning(bytes: &[u8], at: usize) -> usize {
    bytes[at] as usize | (bytes[at + 1] as usize) << 8
}

/// Most of a dump is empty.
static ZEROES: [u8; 4096] = [0; 4096];

/// The whole segment, by its file and not by the mapping that the cache writes through.
pub(crate) fn segment_bytes(cache: &Cache) -> Vec<u8> {
    let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
    let mut bytes = vec![0; cache.segment_bytes() as usize];
    file.read_exact_at(&mut bytes, 0).expect("the whole segment");
    bytes
}
