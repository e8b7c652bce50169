//! Tickets by the book (RFC 5077, section 4): name, IV, AES-CBC, and HMAC-SHA-256 over all of it.
//! Nothing here is shared with the library.

use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::rand::rand_bytes;
use openssl::sign::Signer;
use openssl::ssl::SslSession;
use openssl::symm::{self, Cipher};
use shmtls::KeyRole;

use crate::raw_keys::RawKey;

const NAME: usize = 16;
const IV: usize = 16;
const MAC: usize = 32;

/// A ticket in a client's session.
pub(crate) struct Ticket {
    /// The session, as `i2d_SSL_SESSION` has it.
    session: Vec<u8>,
    /// Where in it the ticket is.
    place: std::ops::Range<usize>,
    /// The key of the ticket's name.
    pub(crate) key: RawKey,
    pub(crate) role: KeyRole,
}

impl Ticket {
    /// Panics if the ticket is of none of these keys.
    pub(crate) fn in_session(session: &SslSession, ring: &[(RawKey, KeyRole)]) -> Self {
        let session = session.to_der().expect("a session");
        let named = ring.iter().find_map(|(key, role)| {
            let at = session.windows(NAME).position(|bytes| bytes == key.name)?;
            Some((at, *key, *role))
        });
        let (at, key, role) = named.expect("a ticket that has the name of one of our keys");
        // An OCTET STRING: its tag and length stand before it.
        let len = match session[..at] {
            [.., 0x04, 0x82, high, low] => usize::from(high) << 8 | usize::from(low),
            [.., 0x04, 0x81, len] => usize::from(len),
            [.., 0x04, len] if len < 0x80 => usize::from(len),
            _ => panic!("no OCTET STRING"),
        };
        Self { session, place: at..at + len, key, role }
    }

    /// What the server wrote into it; `None` if the MAC is not of this key.
    pub(crate) fn open(&self, key: &RawKey) -> Option<Vec<u8>> {
        let ticket = &self.session[self.place.clone()];
        let (sealed, mac) = ticket.split_at(ticket.len() - MAC);
        let (iv, ciphertext) = sealed[NAME..].split_at(IV);
        memcmp::eq(&authenticate(key, sealed), mac)
            .then(|| symm::decrypt(cipher(key), aes(key), Some(iv), ciphertext).expect("padding"))
    }

    /// A ticket of the same length for the same state.
    pub(crate) fn seal(state: &[u8], key: &RawKey) -> Vec<u8> {
        let mut iv = [0; IV];
        rand_bytes(&mut iv).expect("random bytes");
        let ciphertext = symm::encrypt(cipher(key), aes(key), Some(&iv), state).expect("AES");
        let sealed = [&key.name[..], &iv, &ciphertext].concat();
        let mac = authenticate(key, &sealed);
        [sealed, mac].concat()
    }

    /// The session with this ticket in place of its own.
    pub(crate) fn put(&self, ticket: &[u8]) -> SslSession {
        let mut session = self.session.clone();
        session[self.place.clone()].copy_from_slice(ticket);
        SslSession::from_der(&session).expect("as valid as before")
    }
}

fn key_len(key: &RawKey) -> usize {
    if key.cipher == 1 { 16 } else { 32 }
}

fn cipher(key: &RawKey) -> Cipher {
    if key.cipher == 1 { Cipher::aes_128_cbc() } else { Cipher::aes_256_cbc() }
}

fn aes(key: &RawKey) -> &[u8] {
    &key.aes[..key_len(key)]
}

fn authenticate(key: &RawKey, bytes: &[u8]) -> Vec<u8> {
    let hmac = PKey::hmac(&key.hmac[..key_len(key)]).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha256(), &hmac).expect("HMAC-SHA-256");
    signer.sign_oneshot_to_vec(bytes).expect("a MAC")
}
