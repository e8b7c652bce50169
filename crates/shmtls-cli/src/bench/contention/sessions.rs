//! Sessions and their IDs, from a key. Any process can tell whether a session is one that some
//! process stored under its key.
//!
//! `crates/shmtls-bench-peers` compiles this file too, so that both measure with the same sessions.

/// Deterministic: xorshift64*.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed) | 1)
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    #[inline]
    pub(super) fn below(&mut self, n: u32) -> u32 {
        (((self.next() >> 32) * u64::from(n)) >> 32) as u32
    }
}

/// The sessions of all keys: their lengths and bytes.
#[derive(Debug)]
pub(super) struct Sessions {
    /// The length of all of them, or lengths as real ones have.
    fixed: Option<usize>,
    bytes: Vec<u8>,
}

impl Sessions {
    pub(super) fn new(fixed: Option<usize>) -> Self {
        Self { fixed, bytes: Vec::new() }
    }

    /// Bytes of the session of `key`, always the same.
    #[inline]
    pub(super) fn len(&self, key: u32) -> usize {
        if let Some(len) = self.fixed {
            return len;
        }
        let random = mix(u64::from(key) ^ 0x5e55_1011);
        let (class, place) = (random % 10, (random >> 32) as usize);
        match class {
            0..6 => 170 + place % 91,
            6..9 => 300 + place % 601,
            _ => 1500 + place % 2501,
        }
    }

    /// The first word is the nonce, and all others follow from it and the key.
    #[inline]
    pub(super) fn compose(&mut self, key: u32, nonce: u64) -> &[u8] {
        let len = self.len(key);
        self.bytes.resize(len, 0);
        let (words, rest) = self.bytes.as_chunks_mut::<8>();
        let mut word = nonce;
        let step = step_of(key);
        for bytes in words {
            *bytes = word.to_ne_bytes();
            word = word.wrapping_add(step);
        }
        rest.copy_from_slice(&word.to_ne_bytes()[..rest.len()]);
        &self.bytes
    }

    /// Whether `found` is a session that [`compose`](Self::compose) makes.
    #[inline]
    pub(super) fn is_right(&self, key: u32, found: &[u8]) -> bool {
        let (words, rest) = found.as_chunks::<8>();
        let Some(first) = words.first() else { return false };
        let mut word = u64::from_ne_bytes(*first);
        let step = step_of(key);
        let mut difference = found.len() ^ self.len(key);
        for bytes in words {
            difference |= (u64::from_ne_bytes(*bytes) ^ word) as usize;
            word = word.wrapping_add(step);
        }
        difference == 0 && *rest == word.to_ne_bytes()[..rest.len()]
    }
}

#[inline]
fn step_of(key: u32) -> u64 {
    mix(u64::from(key)) | 1
}

/// 32 bytes that look random.
#[inline]
pub(super) fn id(key: u32) -> [u8; 32] {
    let mut id = [0; 32];
    for (at, bytes) in id.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        *bytes = mix(u64::from(key) << 2 | at as u64).to_ne_bytes();
    }
    id
}

/// splitmix64's.
#[inline]
pub(super) fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_or_length_or_key_is_seen() {
        let mut sessions = Sessions::new(None);
        for key in 0..50 {
            let right = sessions.compose(key, 7).to_vec();
            assert!(sessions.is_right(key, &right));
            assert!(!sessions.is_right(key + 1, &right));
            assert!(!sessions.is_right(key, &right[1..]) && !sessions.is_right(key, &[]));
            for at in 0..right.len() {
                let mut wrong = right.clone();
                wrong[at] ^= 0x10;
                assert!(!sessions.is_right(key, &wrong), "byte {at} of key {key}");
            }
        }
    }

    #[test]
    fn sizes_are_as_those_of_real_sessions() {
        let mut sessions = Sessions::new(None);
        let sum: usize = (0..20_000).map(|key| sessions.compose(key, 1).len()).sum();
        assert!((550..620).contains(&(sum / 20_000)), "{}", sum / 20_000);
    }
}
