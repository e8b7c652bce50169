//! The two callbacks that `attach` gives to OpenSSL, called as OpenSSL calls them.
#![allow(unsafe_code)]

use std::ffi::c_int;

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::ssl::{SslRef, SslSession};
use openssl_sys::{SSL, SSL_CTX, SSL_SESSION};

type New = unsafe extern "C" fn(*mut SSL, *mut SSL_SESSION) -> c_int;
type Get = unsafe extern "C" fn(*mut SSL, *const u8, c_int, *mut c_int) -> *mut SSL_SESSION;

unsafe extern "C" {
    fn SSL_CTX_sess_get_new_cb(ctx: *mut SSL_CTX) -> Option<New>;
    fn SSL_CTX_sess_get_get_cb(ctx: *mut SSL_CTX) -> Option<Get>;
}

/// OpenSSL has made a session.
pub(crate) fn tell_new(ssl: &SslRef, session: &SslSession) {
    // SAFETY: the context of a live connection is live; this is a getter.
    let new = unsafe { SSL_CTX_sess_get_new_cb(ssl.ssl_context().as_ptr()) };
    let new = new.expect("attach has set it");
    let given = session.clone();
    // SAFETY: as OpenSSL calls it, with the live connection that nobody uses meanwhile, and with a
    // reference to the session that is the callback's when it returns 1.
    let kept = unsafe { new(ssl.as_ptr(), given.as_ptr()) };
    assert_eq!(kept, 1, "the callback of the openssl crate keeps the session");
    std::mem::forget(given);
}

/// A client wants to resume.
pub(crate) fn ask_for(ssl: &SslRef, id: &[u8]) -> Option<SslSession> {
    // SAFETY: the context of a live connection is live; this is a getter.
    let get = unsafe { SSL_CTX_sess_get_get_cb(ssl.ssl_context().as_ptr()) };
    let get = get.expect("attach has set it");
    let mut copy = 0;
    // SAFETY: as OpenSSL calls it, with the live connection that nobody uses meanwhile, and with as
    // many bytes as it says.
    let found = unsafe { get(ssl.as_ptr(), id.as_ptr(), id.len() as c_int, &mut copy) };
    assert_eq!(copy, 0, "the callback of the openssl crate gives its reference away");
    // SAFETY: with `copy` 0 a session that is not null belongs to whoever asked.
    (!found.is_null()).then(|| unsafe { SslSession::from_ptr(found) })
}
