//! The other end of a connection: what a client needs that measures a server.
#![allow(unsafe_code)]

use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslSession, SslSessionRef};
use openssl_sys as sys;
use zeroize::Zeroizing;

unsafe extern "C" {
    fn SSL_SESSION_get0_ticket(
        session: *const sys::SSL_SESSION,
        ticket: *mut *const u8,
        len: *mut usize,
    );
}

/// Has a client's connection offer a copy of a session.
///
/// # Errors
///
/// What OpenSSL reports: no memory, or a session that has no DER form.
pub fn offer(ssl: &mut Ssl, session: &SslSessionRef) -> Result<(), ErrorStack> {
    let copy = SslSession::from_der(&Zeroizing::new(session.to_der()?))?;
    // SAFETY: a session must not be used with an SSL_CTX other than its own; this one was decoded
    // here, and no SSL_CTX has ever known it.
    unsafe { ssl.set_session(&copy) }
}

/// How long the ticket in a session is, in bytes; 0 if there is none.
#[must_use]
pub fn ticket_len(session: &SslSessionRef) -> usize {
    let mut len = 0;
    // SAFETY: the session is alive as long as its reference and is only read; OpenSSL writes no
    // ticket where the pointer for it is NULL, and the length goes to a local of the right type.
    unsafe { SSL_SESSION_get0_ticket(session.as_ptr(), ptr::null_mut(), &raw mut len) };
    len
}
