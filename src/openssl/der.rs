//! `SSL_SESSION` objects to bytes and back. Every copy made here is private and wiped.

use std::time::{Duration, UNIX_EPOCH};

use openssl::error::ErrorStack;
use openssl::ssl::{SslSession, SslSessionRef};
use zeroize::Zeroizing;

use crate::{Expiry, Session, SessionId};

/// TLS 1.3 on the wire.
pub(super) const TLS1_3: u16 = 0x0304;

pub(super) fn encode(session: &SslSessionRef) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    session.to_der().map(Zeroizing::new)
}

/// `None` if these bytes are no session of this ID: of another OpenSSL version, for example.
pub(super) fn decode(stored: &Session, id: &SessionId) -> Option<SslSession> {
    // An error takes OpenSSL's queued errors with it, so that no later call trips over them.
    let session = SslSession::from_der(stored.bytes()).ok()?;
    // OpenSSL itself would resume whatever it is given.
    (session.id() == id.as_bytes()).then_some(session)
}

/// When OpenSSL itself would refuse the session.
pub(super) fn expiry(session: &SslSessionRef) -> Expiry {
    let seconds = session.time().saturating_add(session.timeout());
    Expiry::at(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
}
