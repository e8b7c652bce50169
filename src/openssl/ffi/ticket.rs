//! Tickets: the callbacks with which OpenSSL asks for keys, and about what a ticket is bound to.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtxRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslSessionRef};
use openssl_sys as sys;

use super::guarded;
use crate::{Context, TicketCipher};

/// `SSL_CTX_set_tlsext_ticket_key_evp_cb(3)`.
type TicketKeyCallback = unsafe extern "C" fn(
    *mut sys::SSL,
    *mut u8,
    *mut u8,
    *mut sys::EVP_CIPHER_CTX,
    *mut sys::EVP_MAC_CTX,
    c_int,
) -> c_int;

/// `SSL_CTX_set_session_ticket_cb(3)`.
type TicketGenerateCallback = unsafe extern "C" fn(*mut sys::SSL, *mut c_void) -> c_int;
type TicketDecryptedCallback = unsafe extern "C" fn(
    *mut sys::SSL,
    *mut sys::SSL_SESSION,
    *const u8,
    usize,
    c_int,
    *mut c_void,
) -> c_int;

// From <openssl/ssl.h> of OpenSSL 3.0.
const SSL_TICKET_SUCCESS: c_int = 5;
const SSL_TICKET_SUCCESS_RENEW: c_int = 6;
const SSL_TICKET_RETURN_IGNORE_RENEW: c_int = 2;
const SSL_TICKET_RETURN_USE: c_int = 3;
const SSL_TICKET_RETURN_USE_RENEW: c_int = 4;

unsafe extern "C" {
    fn SSL_CTX_set_tlsext_ticket_key_evp_cb(
        ctx: *mut sys::SSL_CTX,
        callback: TicketKeyCallback,
    ) -> c_int;
    fn SSL_CTX_set_session_ticket_cb(
        ctx: *mut sys::SSL_CTX,
        generate: TicketGenerateCallback,
        decrypted: TicketDecryptedCallback,
        data: *mut c_void,
    ) -> c_int;
    fn SSL_SESSION_set1_ticket_appdata(
        session: *mut sys::SSL_SESSION,
        data: *const c_void,
        len: usize,
    ) -> c_int;
    fn SSL_SESSION_get0_ticket_appdata(
        session: *mut sys::SSL_SESSION,
        data: *mut *mut c_void,
        len: *mut usize,
    ) -> c_int;
    fn OSSL_PARAM_construct_utf8_string(
        key: *const c_char,
        value: *mut c_char,
        len: usize,
    ) -> sys::OSSL_PARAM;
}

/// What becomes of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::openssl) enum Decision {
    /// No ticket is made; or it is not accepted, and a full handshake follows.
    Refuse,
    Accept,
    /// The session resumes, and the client gets a new ticket.
    AcceptAndRenew,
}

/// Who has the ticket keys.
pub(in crate::openssl) trait TicketKeys {
    /// Writes the key's name and a fresh IV.
    fn encrypt(
        ssl: &mut SslRef,
        name: &mut [u8; 16],
        iv: &mut [u8; 16],
        crypto: TicketCrypto<'_>,
    ) -> Result<Decision, ErrorStack>;
    fn decrypt(
        ssl: &mut SslRef,
        name: &[u8; 16],
        iv: &[u8; 16],
        crypto: TicketCrypto<'_>,
    ) -> Result<Decision, ErrorStack>;
}

/// Who decides where a ticket resumes, whoever has its keys.
pub(in crate::openssl) trait TicketBinding {
    /// A ticket is about to be made: what it is bound to.
    fn binding(ssl: &mut SslRef) -> Option<Context>;
    /// Whether a ticket of that binding, which holds that session, may resume here.
    fn may_resume(ssl: &mut SslRef, session: &SslSessionRef, binding: &[u8]) -> bool;
}

/// The cipher and the MAC that OpenSSL is going to run over one ticket.
pub(in crate::openssl) struct TicketCrypto<'a> {
    cipher: &'a mut CipherCtxRef,
    mac: *mut sys::EVP_MAC_CTX,
}

impl TicketCrypto<'_> {
    pub(in crate::openssl) fn encrypt(
        &mut self,
        cipher: TicketCipher,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), ErrorStack> {
        self.cipher.encrypt_init(Some(cbc(cipher)), Some(key), Some(iv))
    }

    pub(in crate::openssl) fn decrypt(
        &mut self,
        cipher: TicketCipher,
        key: &[u8],
        iv: &[u8],
    ) -> Result<(), ErrorStack> {
        self.cipher.decrypt_init(Some(cbc(cipher)), Some(key), Some(iv))
    }

    /// HMAC-SHA-256 under `key`, which OpenSSL copies.
    pub(in crate::openssl) fn authenticate(&mut self, key: &[u8]) -> Result<(), ErrorStack> {
        let mut digest = *b"SHA256\0";
        // SAFETY: both strings end in NUL and outlive `params`; length 0 means strlen.
        let digest = unsafe {
            OSSL_PARAM_construct_utf8_string(c"digest".as_ptr(), digest.as_mut_ptr().cast(), 0)
        };
        // SAFETY: it has no arguments; the result marks the end of a list.
        let params = [digest, unsafe { sys::OSSL_PARAM_construct_end() }];
        // SAFETY: `mac` is the live HMAC context that OpenSSL gave to the callback we are in; the
        // key is a live slice, and the parameter list ends as it must.
        let done = unsafe { sys::EVP_MAC_init(self.mac, key.as_ptr(), key.len(), params.as_ptr()) };
        if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
    }
}

fn cbc(cipher: TicketCipher) -> &'static openssl::cipher::CipherRef {
    match cipher {
        TicketCipher::Aes128 => Cipher::aes_128_cbc(),
        TicketCipher::Aes256 => Cipher::aes_256_cbc(),
    }
}

/// Has `K` asked for the key of every ticket.
pub(in crate::openssl) fn set_ticket_keys<K: TicketKeys>(builder: &mut SslContextBuilder) {
    // SAFETY: the SSL_CTX is live and exclusively borrowed; `ticket_key` has the type of this
    // callback and outlives everything.
    unsafe { SSL_CTX_set_tlsext_ticket_key_evp_cb(builder.as_ptr(), ticket_key::<K>) };
}

/// Has `B` asked about every ticket.
pub(in crate::openssl) fn set_ticket_binding<B: TicketBinding>(builder: &mut SslContextBuilder) {
    let (made, shown) = (ticket_made::<B>, ticket_shown::<B>);
    // SAFETY: the SSL_CTX is live and exclusively borrowed; both have the types of these callbacks
    // and outlive everything, and they do not read their data, which is NULL.
    unsafe { SSL_CTX_set_session_ticket_cb(builder.as_ptr(), made, shown, ptr::null_mut()) };
}

/// Writes the binding into the session, and so into the ticket. Without one the ticket will not
/// resume.
unsafe extern "C" fn ticket_made<B: TicketBinding>(ssl: *mut sys::SSL, _: *mut c_void) -> c_int {
    // SAFETY: OpenSSL passes the live SSL that it is working on, on the thread that works on it.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    let binding = guarded(|| B::binding(ssl)).flatten();
    if let (Some(binding), Some(session)) = (binding, ssl.session()) {
        let bytes = binding.as_bytes();
        // SAFETY: the session is live and, as the manual has it, ours to write in this callback;
        // the bytes are copied.
        unsafe {
            SSL_SESSION_set1_ticket_appdata(session.as_ptr(), bytes.as_ptr().cast(), bytes.len())
        };
    }
    1
}

/// Decides about a ticket that was decrypted, or could not be.
unsafe extern "C" fn ticket_shown<B: TicketBinding>(
    ssl: *mut sys::SSL,
    session: *mut sys::SSL_SESSION,
    _name: *const u8,
    _name_len: usize,
    status: c_int,
    _: *mut c_void,
) -> c_int {
    let usable = match status {
        SSL_TICKET_SUCCESS => SSL_TICKET_RETURN_USE,
        SSL_TICKET_SUCCESS_RENEW => SSL_TICKET_RETURN_USE_RENEW,
        _ => return SSL_TICKET_RETURN_IGNORE_RENEW,
    };
    // SAFETY: OpenSSL passes the live SSL that it is working on, on the thread that works on it.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    let (mut data, mut len) = (ptr::null_mut(), 0);
    // SAFETY: with these statuses the session is live; both out-parameters are valid for writes.
    let found = unsafe { SSL_SESSION_get0_ticket_appdata(session, &mut data, &mut len) };
    if found != 1 || data.is_null() {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    // SAFETY: the session owns `len` bytes at `data`, and nobody changes it during this callback.
    let binding = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    // SAFETY: as above: it is live, and nobody changes it.
    let session = unsafe { SslSessionRef::from_ptr(session) };
    match guarded(|| B::may_resume(ssl, session, binding)) {
        Some(true) => usable,
        _ => SSL_TICKET_RETURN_IGNORE_RENEW,
    }
}

/// Never fails a handshake: what goes wrong is a full handshake, or no ticket.
unsafe extern "C" fn ticket_key<K: TicketKeys>(
    ssl: *mut sys::SSL,
    name: *mut u8,
    iv: *mut u8,
    cipher: *mut sys::EVP_CIPHER_CTX,
    mac: *mut sys::EVP_MAC_CTX,
    encrypt: c_int,
) -> c_int {
    // SAFETY: OpenSSL passes the live SSL that it is working on, on the thread that works on it.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    // SAFETY: the name has 16 bytes (the manual), which OpenSSL leaves to us until we return.
    let name = unsafe { &mut *name.cast::<[u8; 16]>() };
    // SAFETY: the IV has EVP_MAX_IV_LENGTH bytes (the manual), which is 16.
    let iv = unsafe { &mut *iv.cast::<[u8; 16]>() };
    // SAFETY: the cipher context is live and nobody else uses it until we return.
    let cipher = unsafe { CipherCtxRef::from_ptr_mut(cipher) };
    let crypto = TicketCrypto { cipher, mac };
    let decision = guarded(|| match encrypt {
        1 => K::encrypt(ssl, name, iv, crypto),
        _ => K::decrypt(ssl, name, iv, crypto),
    });
    match decision {
        Some(Ok(Decision::Accept)) => 1,
        Some(Ok(Decision::AcceptAndRenew)) => 2,
        Some(Ok(Decision::Refuse) | Err(_)) | None => 0,
    }
}
