//! The calls of Apache Traffic Server's `TSSslSession*` family, on real `SSL_SESSION` objects.
//!
//! They see what handshakes see, count like them, and fire the same hooks with the cache's own
//! [`Origin`](crate::Origin). None of them blocks for longer than the lock's deadline.

use openssl::ssl::{SslSession, SslSessionRef};

use super::der::{self, TLS1_3};
use super::error::InsertError;
use super::ffi;
use crate::{Busy, Cache, Context, Inserted, Library, Miss, NewSession, SessionId};

/// A copy of a session, as an object of its own. It stays in the cache, also if it is single-use:
/// to resume from what this returns is to use it a second time.
///
/// `None` is a miss: nothing there, expired, an ID of no or of more than 32 bytes, another
/// library's session, or bytes that this OpenSSL cannot decode. The cache counts which.
pub fn session_get(cache: &Cache, ctx: &Context, id: &[u8]) -> Option<SslSession> {
    let id = session_id(cache, id).ok()?;
    let stored = cache.get_session(ctx, &id).ok()?;
    let session = match stored.library() {
        Library::OpenSsl => der::decode(&stored, &id),
        _ => None,
    };
    if session.is_none() {
        cache.count_miss(Miss::Undecodable);
    }
    session
}

/// The DER form of a session (`i2d_SSL_SESSION(3)`), whole or not at all.
///
/// Returns the stored length in bytes. With `None` or an empty buffer that is all: a size query,
/// which copies nothing. Otherwise the session is in the first that many bytes of `buffer`, and
/// the rest of `buffer` is untouched.
///
/// The bytes hold the session's secret: whoever asked for them has to wipe them.
///
/// ```
/// use std::time::Duration;
/// use shmtls::openssl::session_get_buffer;
/// use shmtls::{Context, Expiry, Miss, Options, SessionId};
///
/// let cache = Options::new().size(1 << 20).create_memfd()?;
/// let (ctx, id) = (Context::named("www"), [7; 32]);
/// let expiry = Expiry::after(Duration::from_secs(300));
/// assert!(cache.insert(&ctx, &SessionId::new(&id)?, b"session", expiry).is_stored());
///
/// let len = session_get_buffer(&cache, &ctx, &id, None)?;
/// let mut buffer = vec![0; len];
/// assert_eq!(session_get_buffer(&cache, &ctx, &id, Some(&mut buffer)), Ok(7));
/// assert_eq!(buffer, b"session");
/// let short = session_get_buffer(&cache, &ctx, &id, Some(&mut buffer[..6]));
/// assert_eq!(short, Err(Miss::ShortBuffer { needed: 7 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`Miss::ShortBuffer`] tells the length needed, and then `buffer` is untouched; any other
/// [`Miss`] is one.
pub fn session_get_buffer(
    cache: &Cache,
    ctx: &Context,
    id: &[u8],
    buffer: Option<&mut [u8]>,
) -> Result<usize, Miss> {
    let id = session_id(cache, id)?;
    match buffer.filter(|buffer| !buffer.is_empty()) {
        Some(buffer) => cache.get(ctx, &id, buffer),
        None => cache.size_of(ctx, &id),
    }
}

/// Stores a session under its own ID, until its own timeout or the cache's lifetime, whichever
/// comes first. A TLS 1.3 session is stored as single-use.
///
/// As with `SSL_CTX_add_session(3)`, the identical session again changes nothing and says so
/// ([`Inserted::Unchanged`]), and another one of the same ID replaces it.
///
/// OpenSSL resumes it only on a context of the same session ID context, that is, where
/// [`attach`](super::attach) was given the same name, certificates and policy; use
/// [`context`](super::context) for `ctx`.
///
/// # Errors
///
/// [`InsertError`] if the session has no ID or cannot be encoded. That it was not stored for want
/// of space or time is not an error, but an [`Inserted`].
pub fn session_insert(
    cache: &Cache,
    ctx: &Context,
    session: &SslSessionRef,
) -> Result<Inserted, InsertError> {
    let id = SessionId::new(session.id())?;
    let bytes = der::encode(session)?;
    let protocol = ffi::protocol(session);
    let new = NewSession::new(&bytes, der::expiry(session))
        .single_use(protocol == TLS1_3)
        .library(Library::OpenSsl)
        .protocol(protocol);
    Ok(cache.store(ctx, &id, &new))
}

/// Removes a session, and says whether it was there. `SSL_CTX_remove_session(3)` would answer for
/// one process's internal cache only.
///
/// # Errors
///
/// [`Busy`] if the bucket could not be had before the deadline: the session may still be there.
pub fn session_remove(cache: &Cache, ctx: &Context, id: &[u8]) -> Result<bool, Busy> {
    match SessionId::new(id) {
        Ok(id) => cache.remove(ctx, &id),
        Err(_) => Ok(false),
    }
}

fn session_id(cache: &Cache, id: &[u8]) -> Result<SessionId, Miss> {
    SessionId::new(id).map_err(|_| {
        cache.count_miss(Miss::InvalidId);
        Miss::InvalidId
    })
}
