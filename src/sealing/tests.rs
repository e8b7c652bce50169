//! What a seal is, byte by byte, and what it does not let pass.

use std::collections::HashSet;

use ring::{aead, hmac};

use super::*;

const SEED: u64 = 7;
const BUCKET: usize = 5;
const SESSION: &[u8] = b"a session that nobody else may read";

fn key(n: u8) -> SealingKey {
    SealingKey::from_bytes(&[n; 32])
}

fn sealer(n: u8, seed: u64) -> Sealer {
    Sealer::new(&key(n), seed).expect("a page")
}

fn head() -> [u8; HEAD] {
    std::array::from_fn(|i| i as u8)
}

fn closed(sealer: &Sealer, session: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; SEAL_SALT];
    sealed.extend_from_slice(session);
    sealed.resize(sealed.len() + SEAL_TAG, 0);
    sealer.of_bucket(BUCKET).close(&head(), &mut sealed).expect("random bytes");
    sealed
}

fn opens(sealer: &Sealer, bucket: usize, head: &[u8; HEAD], sealed: &[u8]) -> bool {
    let mut sealed = sealed.to_vec();
    let opened = sealer.of_bucket(bucket).open(head, &mut sealed);
    if opened.is_some() {
        assert_eq!(&sealed[SEAL_SALT..][..SESSION.len()], SESSION);
    }
    opened.is_some()
}

/// An entry under another ID, with another expiry, in another bucket or segment, or with one bit of
/// itself changed: each of them once was a session that somebody else had made.
#[test]
fn what_is_not_as_it_was_sealed_does_not_open() {
    let sealer = sealer(1, SEED);
    let sealed = closed(&sealer, SESSION);
    assert!(opens(&sealer, BUCKET, &head(), &sealed));
    for bit in 0..sealed.len() * 8 {
        let mut changed = sealed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&sealer, BUCKET, &head(), &changed), "bit {bit}");
    }
    for bit in 0..HEAD * 8 {
        let mut changed = head();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(!opens(&sealer, BUCKET, &changed, &sealed), "bit {bit} of the head");
    }
    for bit in 0..usize::BITS {
        assert!(!opens(&sealer, BUCKET ^ 1 << bit, &head(), &sealed), "another bucket");
    }
    assert!(!opens(&self::sealer(1, SEED ^ 1), BUCKET, &head(), &sealed), "another segment");
    assert!(!opens(&self::sealer(2, SEED), BUCKET, &head(), &sealed), "another key");
    for len in 0..sealed.len() {
        assert!(!opens(&sealer, BUCKET, &head(), &sealed[..len]), "cut to {len}");
    }
}

/// AES-GCM gives away what two messages have in common that one key and nonce have encrypted.
#[test]
fn no_two_stores_share_a_salt_or_a_byte_pattern() {
    let sealer = sealer(1, SEED);
    let (mut salts, mut beginnings) = (HashSet::new(), HashSet::new());
    for _ in 0..10_000 {
        let sealed = closed(&sealer, &[0; 16]);
        assert!(salts.insert(sealed[..SEAL_SALT].to_vec()), "a salt came twice");
        assert!(beginnings.insert(sealed[SEAL_SALT..][..16].to_vec()), "a key stream came twice");
    }
}

/// Two builds that derive keys in different ways would each take the other's sessions for forged.
#[test]
fn seals_are_those_of_the_document() {
    let hmac = |key: &[u8], parts: &[&[u8]]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &parts.concat())
    };
    let prk = hmac(&[b"shmtls sealing 1", &SEED.to_ne_bytes()[..]].concat(), &[&[3; 32]]);
    let segment_key = hmac(prk.as_ref(), &[b"segment key", &[1]]);
    let check = hmac(prk.as_ref(), &[b"check", &[1]]);
    let sealer = sealer(3, SEED);
    assert_eq!(sealer.check().to_ne_bytes(), check.as_ref()[..4]);

    let mut sealed = closed(&sealer, SESSION);
    let (salt, rest) = sealed.split_at_mut(16);
    let entry_key = hmac(segment_key.as_ref(), &[b"entry", salt, &[1]]);
    let aes = aead::UnboundKey::new(&aead::AES_256_GCM, entry_key.as_ref()).expect("32 bytes");
    let aad = [&head()[..], &(BUCKET as u64).to_ne_bytes()].concat();
    let nonce = aead::Nonce::assume_unique_for_key([0; 12]);
    let opened = aead::LessSafeKey::new(aes).open_in_place(nonce, aead::Aad::from(aad), rest);
    assert_eq!(opened.expect("the document's key"), SESSION);
}

/// The check lies in the segment: it must tell keys apart, and say nothing of a key elsewhere.
#[test]
fn the_check_in_the_header_differs_by_key_and_by_segment() {
    let checks: HashSet<u32> =
        (0..100).flat_map(|n| [sealer(n, 1).check(), sealer(n, 2).check()]).collect();
    assert_eq!(checks.len(), 200);
    assert!(!checks.contains(&0), "that would be a segment without seals");
    assert_eq!(sealer(9, 1).check(), sealer(9, 1).check());
}

#[test]
fn a_key_is_what_it_was_made_of_and_random_ones_differ() {
    assert_eq!(key(4).as_bytes(), &[4; 32]);
    let random: HashSet<[u8; 32]> =
        (0..100).map(|_| *SealingKey::random().expect("random bytes").as_bytes()).collect();
    assert_eq!(random.len(), 100);
}
