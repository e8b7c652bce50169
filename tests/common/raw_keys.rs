//! The ring as the bytes of the segment's file have it, by shm-layout.md and src/keyring.rs, and
//! keys whose bytes all follow from their name.
#![allow(dead_code, reason = "each test crate uses its part")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use shmtls::{Cache, TicketKey};
use xxhash_rust::xxh3::xxh3_64_with_seed;

const SEED_AT: u64 = 80;
const REGION_AT: u64 = 4096;
const COPIES_AT: u64 = REGION_AT + 128;
const COPY_WORDS: usize = 528;
const COPY_BYTES: usize = COPY_WORDS * 8;
const HEAD_WORDS: usize = 16;
const KEY_WORDS: usize = 16;
const OWNER_DIED: u32 = 0x4000_0000;

/// A window to the ring that asks nothing of the library.
pub(crate) struct Raw {
    file: File,
    seed: u64,
}

/// One key as it stands in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawKey {
    pub(crate) name: [u8; 16],
    pub(crate) hmac: [u8; 32],
    pub(crate) aes: [u8; 32],
    pub(crate) cipher: u64,
}

/// A whole ring, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawRing {
    pub(crate) epoch: u64,
    /// Of all of its bytes.
    pub(crate) digest: u64,
    pub(crate) writer_pid: u32,
    pub(crate) keys: Vec<RawKey>,
}

impl Raw {
    pub(crate) fn of(cache: &Cache) -> Self {
        let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
        let seed = read_u64(&file, SEED_AT);
        Self { file, seed }
    }

    pub(crate) fn epoch(&self) -> u64 {
        read_u64(&self.file, REGION_AT)
    }

    /// Whether a process has died with the ring's lock, and nobody has noticed yet.
    pub(crate) fn owner_has_died(&self) -> bool {
        read_u64(&self.file, REGION_AT + 8) as u32 & OWNER_DIED != 0
    }

    /// All bytes of the region but its lock.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 128 + 2 * COPY_BYTES];
        self.file.read_exact_at(&mut bytes, REGION_AT).expect("the region");
        bytes[8..12].fill(0);
        bytes
    }

    /// The copy that does not count.
    pub(crate) fn other_copy(&self) -> Vec<u8> {
        self.copy(self.epoch() + 1)
    }

    /// The ring, unless it is changed while we look; `None` before there is one. Panics if it is
    /// not all of one piece.
    pub(crate) fn ring(&self) -> Option<RawRing> {
        loop {
            let epoch = self.epoch();
            let bytes = self.copy(epoch);
            if self.epoch() == epoch {
                return (epoch > 0).then(|| self.parse(epoch, &bytes));
            }
        }
    }

    /// Spoils a byte of the ring that counts.
    pub(crate) fn damage(&self, at: u64) {
        let at = copy_at(self.epoch()) + at;
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, at).expect("the byte");
        self.file.write_all_at(&[byte[0] ^ 0x10], at).expect("a memfd that may be written");
    }

    fn copy(&self, epoch: u64) -> Vec<u8> {
        let mut bytes = vec![0; COPY_BYTES];
        self.file.read_exact_at(&mut bytes, copy_at(epoch)).expect("the copy");
        bytes
    }

    fn parse(&self, epoch: u64, bytes: &[u8]) -> RawRing {
        let words: Vec<u64> =
            bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        assert_eq!(words[0], xxh3_64_with_seed(&bytes[8..], self.seed), "epoch {epoch}: torn");
        assert_eq!(words[1], epoch, "another epoch's copy");
        let (count, source) = (words[4] as u32 as usize, words[4] >> 32);
        assert!((1..=32).contains(&count) && (1..=4).contains(&source), "epoch {epoch}");
        let (keys, rest) = bytes[HEAD_WORDS * 8..].split_at(count * KEY_WORDS * 8);
        assert!(rest.iter().all(|byte| *byte == 0), "epoch {epoch}: bytes behind the last key");
        let keys = keys.chunks_exact(KEY_WORDS * 8).map(|bytes| RawKey {
            name: *bytes[..16].first_chunk().expect("16 bytes"),
            hmac: *bytes[16..48].first_chunk().expect("32 bytes"),
            aes: *bytes[48..80].first_chunk().expect("32 bytes"),
            cipher: u64::from_ne_bytes(*bytes[96..].first_chunk().expect("8 bytes")),
        });
        let keys: Vec<RawKey> = keys.collect();
        keys.iter().for_each(RawKey::check);
        let digest = xxh3_64_with_seed(bytes, 1).max(1);
        RawRing { epoch, digest, writer_pid: words[5] as u32, keys }
    }
}

fn copy_at(epoch: u64) -> u64 {
    COPIES_AT + (epoch & 1) * COPY_BYTES as u64
}

fn read_u64(file: &File, at: u64) -> u64 {
    let mut word = [0; 8];
    file.read_exact_at(&mut word, at).expect("the segment's file");
    u64::from_ne_bytes(word)
}

// ---- keys that follow from their name ----------------------------------------------------------

/// Marks a name as one of ours; others are random.
const MARK: [u8; 8] = *b"derived:";

/// The name of derived key `n`.
pub(crate) fn name(n: u64) -> [u8; 16] {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&MARK);
    name[8..].copy_from_slice(&n.to_le_bytes());
    name
}

fn part(name: &[u8; 16], kind: u64) -> [u8; 32] {
    let mut part = [0; 32];
    for (at, bytes) in part.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *bytes = xxh3_64_with_seed(name, kind * 16 + at as u64).to_le_bytes();
    }
    part
}

pub(crate) fn hmac(name: &[u8; 16]) -> [u8; 32] {
    part(name, 1)
}

pub(crate) fn aes(name: &[u8; 16]) -> [u8; 32] {
    part(name, 2)
}

/// Derived key `n` with 256 bits.
pub(crate) fn key(n: u64) -> TicketKey {
    let name = name(n);
    TicketKey::aes256(name, &hmac(&name), &aes(&name)).expect("no zeroes")
}

/// Derived key `n` as 48 bytes: name, HMAC, AES.
pub(crate) fn bytes48(n: u64) -> Vec<u8> {
    let name = name(n);
    [&name[..], &hmac(&name)[..16], &aes(&name)[..16]].concat()
}

/// Derived key `n` as nginx's 80 bytes: name, HMAC, AES.
pub(crate) fn bytes80(n: u64) -> Vec<u8> {
    let name = name(n);
    [&name[..], &hmac(&name)[..], &aes(&name)[..]].concat()
}

impl RawKey {
    /// A key of two keys' bytes is one that nobody made.
    fn check(&self) {
        let len = match self.cipher {
            1 => 16,
            2 => 32,
            other => panic!("cipher {other}"),
        };
        let (hmac_rest, aes_rest) = (&self.hmac[len..], &self.aes[len..]);
        assert!(hmac_rest.iter().chain(aes_rest).all(|byte| *byte == 0), "a key too long");
        if self.name[..8] == MARK {
            let is_whole = self.hmac[..len] == hmac(&self.name)[..len]
                && self.aes[..len] == aes(&self.name)[..len];
            assert!(is_whole, "a key of several keys' bytes");
        }
    }

    pub(crate) fn is_derived(&self) -> bool {
        self.name[..8] == MARK
    }
}
