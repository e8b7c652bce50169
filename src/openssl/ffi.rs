//! The one unsafe room of the adapter: what the `openssl` crate does not offer, as safe functions
//! that do one thing each. Whatever calls in from C stops panics here.
#![allow(unsafe_code)]

pub mod client;
pub(super) mod ticket;

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::ssl::{
    SslContextBuilder, SslContextRef, SslOptions, SslRef, SslSession, SslSessionRef,
};
use openssl::stack::StackRef;
use openssl::x509::store::X509StoreRef;
use openssl::x509::{X509, X509Name};
use openssl_sys as sys;

/// `SSL_OP_NO_ANTI_REPLAY`, which the `openssl` crate has no name for.
pub(super) const NO_ANTI_REPLAY: SslOptions = SslOptions::from_bits_retain(1 << 24);

/// An application's info callback (`SSL_CTX_set_info_callback(3)`).
pub(super) type InfoCallback = unsafe extern "C" fn(*const sys::SSL, c_int, c_int);

// From <openssl/ssl.h> and <openssl/tls1.h> of OpenSSL 3.0.
const SSL_CTRL_SELECT_CURRENT_CERT: c_int = 116;
const SSL_CTRL_SET_CURRENT_CERT: c_int = 117;
const SSL_CTRL_GET_VERIFY_CERT_STORE: c_int = 137;
const SSL_CERT_SET_FIRST: c_long = 1;
const SSL_CERT_SET_NEXT: c_long = 2;
const SSL_CB_HANDSHAKE_START: c_int = 0x10;
const SSL_CB_HANDSHAKE_DONE: c_int = 0x20;
const SSL_CB_ACCEPT_LOOP: c_int = 0x2001;
const SSL_CB_READ_ALERT: c_int = 0x4004;
const SSL_CB_WRITE_ALERT: c_int = 0x4008;
const TLSEXT_TYPE_SERVER_NAME: c_uint = 0;

/// Declared only to be compared with NULL.
type AnyCallback = Option<unsafe extern "C" fn()>;

unsafe extern "C" {
    fn SSL_CTX_set_timeout(ctx: *mut sys::SSL_CTX, seconds: c_long) -> c_long;
    fn SSL_CTX_get_client_CA_list(ctx: *const sys::SSL_CTX) -> *mut sys::stack_st_X509_NAME;
    fn SSL_CTX_sess_get_new_cb(ctx: *mut sys::SSL_CTX) -> AnyCallback;
    fn SSL_CTX_sess_get_get_cb(ctx: *mut sys::SSL_CTX) -> AnyCallback;
    fn SSL_CTX_sess_get_remove_cb(ctx: *mut sys::SSL_CTX) -> AnyCallback;
    fn SSL_CTX_get_info_callback(ctx: *mut sys::SSL_CTX) -> Option<InfoCallback>;
    fn SSL_get_info_callback(ssl: *const sys::SSL) -> Option<InfoCallback>;
    fn SSL_set_info_callback(ssl: *mut sys::SSL, callback: Option<InfoCallback>);
    fn SSL_get_options(ssl: *const sys::SSL) -> u64;
    fn SSL_SESSION_set_timeout(session: *mut sys::SSL_SESSION, seconds: c_long) -> c_long;
}

/// A builder's `SSL_CTX`, with the getters that only a finished context has.
pub(super) fn context(builder: &SslContextBuilder) -> &SslContextRef {
    // SAFETY: the pointer is the builder's own live SSL_CTX, and the result borrows the builder,
    // which frees it no earlier than when it is dropped or built.
    unsafe { SslContextRef::from_ptr(builder.as_ptr()) }
}

/// Every certificate that has a private key; which one is current stays as it is.
pub(super) fn certificates(builder: &mut SslContextBuilder) -> Vec<X509> {
    let current = context(builder).certificate().map(ToOwned::to_owned);
    let mut found = Vec::new();
    let mut which = SSL_CERT_SET_FIRST;
    while control(builder, SSL_CTRL_SET_CURRENT_CERT, which, ptr::null_mut()) == 1 {
        found.extend(context(builder).certificate().map(ToOwned::to_owned));
        which = SSL_CERT_SET_NEXT;
    }
    if let Some(current) = current {
        // Fails only for a certificate without a key, which then was not current for signing.
        control(builder, SSL_CTRL_SELECT_CURRENT_CERT, 0, current.as_ptr().cast());
    }
    found
}

/// Only for the two commands above.
fn control(
    builder: &mut SslContextBuilder,
    command: c_int,
    number: c_long,
    pointer: *mut c_void,
) -> c_long {
    // SAFETY: the SSL_CTX is live and exclusively borrowed. SSL_CTRL_SET_CURRENT_CERT reads no
    // pointer; SSL_CTRL_SELECT_CURRENT_CERT reads `pointer` as the X509 that our caller owns, and
    // keeps no reference to it: it compares it and selects the context's own copy.
    unsafe { sys::SSL_CTX_ctrl(builder.as_ptr(), command, number, pointer) }
}

/// The names of the certificate authorities that are sent to clients.
pub(super) fn client_ca_names(builder: &SslContextBuilder) -> Option<&StackRef<X509Name>> {
    // SAFETY: the SSL_CTX is live; this is a getter.
    let names = unsafe { SSL_CTX_get_client_CA_list(builder.as_ptr()) };
    // SAFETY: a non-null list belongs to the SSL_CTX, whose builder the result borrows; setting
    // another list needs that builder exclusively.
    (!names.is_null()).then(|| unsafe { StackRef::from_ptr(names) })
}

/// The store that client certificates are verified with, where it is another than the context's.
pub(super) fn verify_store(builder: &SslContextBuilder) -> Option<&X509StoreRef> {
    let mut store: *mut sys::X509_STORE = ptr::null_mut();
    let found = (&raw mut store).cast();
    // SAFETY: the SSL_CTX is live; the command stores a pointer in `store`, and adds no reference.
    unsafe { sys::SSL_CTX_ctrl(builder.as_ptr(), SSL_CTRL_GET_VERIFY_CERT_STORE, 0, found) };
    // SAFETY: a non-null store belongs to the SSL_CTX, whose builder the result borrows; setting
    // another one needs that builder exclusively.
    (!store.is_null()).then(|| unsafe { X509StoreRef::from_ptr(store) })
}

/// The session callback that is set already, if any.
pub(super) fn session_callback(builder: &SslContextBuilder) -> Option<&'static str> {
    let ctx = builder.as_ptr();
    // SAFETY: the builder's SSL_CTX is live; this is a getter.
    let new = unsafe { SSL_CTX_sess_get_new_cb(ctx) };
    // SAFETY: as above.
    let get = unsafe { SSL_CTX_sess_get_get_cb(ctx) };
    // SAFETY: as above.
    let remove = unsafe { SSL_CTX_sess_get_remove_cb(ctx) };
    let named = [(new, "new"), (get, "get"), (remove, "remove")];
    named.into_iter().find_map(|(callback, name)| callback.map(|_| name))
}

/// `SSL_CTX_set_timeout(3)`: how long OpenSSL itself lets sessions resume.
pub(super) fn set_timeout(builder: &mut SslContextBuilder, seconds: u32) {
    // SAFETY: the SSL_CTX is live and exclusively borrowed; this stores a number.
    unsafe { SSL_CTX_set_timeout(builder.as_ptr(), c_long::from(seconds)) };
}

/// Installs the get callback; `get` must return a session that nothing else refers to.
pub(super) fn set_get_callback(
    builder: &mut SslContextBuilder,
    get: fn(&mut SslRef, &[u8]) -> Option<SslSession>,
) {
    let caught = move |ssl: &mut SslRef, id: &[u8]| guarded(|| get(ssl, id)).flatten();
    // SAFETY: the callback must not return a session of another SslContext. The only one given
    // here decodes a fresh SSL_SESSION for each call, which belongs to no context.
    unsafe { builder.set_get_session_callback(caught) };
}

/// Installs the new callback.
pub(super) fn set_new_callback(builder: &mut SslContextBuilder, new: fn(&mut SslRef, SslSession)) {
    builder.set_new_session_callback(move |ssl, session| {
        guarded(|| new(ssl, session));
    });
}

/// Runs what was called from C; a panic ends here, because it must not unwind into C.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    // Whatever a panic leaves half done belongs to one connection: it is at worst not cached.
    catch_unwind(AssertUnwindSafe(call)).ok()
}

/// The body of the ClientHello's server_name extension. Only inside the get callback, where
/// `SSL_get_servername` does not know the name yet.
pub(super) fn client_hello_server_name(ssl: &SslRef) -> Option<Vec<u8>> {
    let mut body = ptr::null();
    let mut len = 0;
    // SAFETY: the SSL is live. Outside of ClientHello processing the function returns 0; inside it
    // sets both out-parameters, which are valid for writes, and returns 1.
    let found = unsafe {
        sys::SSL_client_hello_get0_ext(ssl.as_ptr(), TLSEXT_TYPE_SERVER_NAME, &mut body, &mut len)
    };
    if found != 1 {
        return None;
    }
    if len == 0 {
        return Some(Vec::new());
    }
    // SAFETY: `body` points at `len` bytes of the ClientHello, which OpenSSL keeps unchanged until
    // the callback we are in has returned; they are copied before this function does.
    Some(unsafe { std::slice::from_raw_parts(body, len) }.to_vec())
}

/// The options of one connection (`SSL_get_options(3)`).
pub(super) fn options(ssl: &SslRef) -> SslOptions {
    // SAFETY: the SSL is live; this is a getter.
    SslOptions::from_bits_retain(unsafe { SSL_get_options(ssl.as_ptr()) })
}

/// The wire version of a session: 0x0303 for TLS 1.2, 0x0304 for TLS 1.3.
pub(super) fn protocol(session: &SslSessionRef) -> u16 {
    // SAFETY: the session is live; this is a getter.
    let version = unsafe { sys::SSL_SESSION_get_protocol_version(session.as_ptr()) };
    u16::try_from(version).unwrap_or_default()
}

/// Sets the lifetime of a session. Only for one that belongs to a single connection, which is in
/// its handshake: the next ticket inherits it.
pub(super) fn set_session_timeout(session: &SslSessionRef, seconds: u32) {
    // SAFETY: the session is live, and this stores a number. There is no internal cache that would
    // share it (`NO_INTERNAL`), and in a handshake OpenSSL itself still writes to it.
    unsafe { SSL_SESSION_set_timeout(session.as_ptr(), c_long::from(seconds)) };
}

/// Ends a connection as if both sides had closed it: its handshake fails at the next read.
pub(super) fn refuse(ssl: &mut SslRef) {
    let closed = sys::SSL_SENT_SHUTDOWN | sys::SSL_RECEIVED_SHUTDOWN;
    // SAFETY: the SSL is live and exclusively borrowed; this stores two bits.
    unsafe { sys::SSL_set_shutdown(ssl.as_ptr(), closed) };
}

/// What a watched connection reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    HandshakeStart,
    /// The server is about to read or write the next handshake message.
    Step,
    HandshakeDone,
    Alert {
        level: u8,
        description: u8,
    },
}

/// Who watches connections.
pub(super) trait Watch {
    fn progress(ssl: &mut SslRef, progress: Progress);
    /// The info callback that [`watch`] replaced on this connection.
    fn replaced(ssl: &SslRef) -> Option<InfoCallback>;
}

/// Has `W` told about the progress of one connection, from now on. Returns the connection's info
/// callback so far; that one, or else the context's, still runs after `W`.
pub(super) fn watch<W: Watch>(ssl: &mut SslRef) -> Option<InfoCallback> {
    // SAFETY: the SSL is live; this is a getter.
    let replaced = unsafe { SSL_get_info_callback(ssl.as_ptr()) };
    let ours: InfoCallback = info::<W>;
    // SAFETY: the SSL is live and exclusively borrowed; `info` has the type of an info callback
    // and outlives everything.
    unsafe { SSL_set_info_callback(ssl.as_ptr(), Some(ours)) };
    // SSL_dup copies it, and it must not run after itself.
    replaced.filter(|replaced| !ptr::fn_addr_eq(*replaced, ours))
}

extern "C" fn info<W: Watch>(raw: *const sys::SSL, kind: c_int, value: c_int) {
    // SAFETY: OpenSSL passes the live SSL that it is working on, on the thread that works on it,
    // and touches it only after this function has returned.
    let ssl = unsafe { SslRef::from_ptr_mut(raw.cast_mut()) };
    let progress = match kind {
        SSL_CB_HANDSHAKE_START => Some(Progress::HandshakeStart),
        SSL_CB_ACCEPT_LOOP => Some(Progress::Step),
        SSL_CB_HANDSHAKE_DONE => Some(Progress::HandshakeDone),
        SSL_CB_READ_ALERT | SSL_CB_WRITE_ALERT => {
            let [.., level, description] = value.to_be_bytes();
            Some(Progress::Alert { level, description })
        }
        _ => None,
    };
    if let Some(progress) = progress {
        guarded(|| W::progress(ssl, progress));
    }
    if let Some(next) = guarded(|| W::replaced(ssl)).flatten().or_else(|| context_info(ssl)) {
        // SAFETY: `next` was installed as an info callback by the application, and is called with
        // what OpenSSL passed.
        unsafe { next(raw, kind, value) };
    }
}

fn context_info(ssl: &SslRef) -> Option<InfoCallback> {
    // SAFETY: the SSL_CTX of a live SSL is live; this is a getter.
    unsafe { SSL_CTX_get_info_callback(ssl.ssl_context().as_ptr()) }
}
