//! What [`attach`](super::attach) refuses and [`session_insert`](super::session_insert) cannot
//! store. No variant holds a session ID or session bytes.

use std::time::Duration;

use openssl::error::ErrorStack;

use crate::InvalidSessionId;

/// Why a context cannot use the cache; nothing about the context was changed.
///
/// Each error says what was found and what was expected; [`hint`](Self::hint) says what to do.
///
/// ```
/// use openssl::ssl::{SslContext, SslMethod};
/// use shmtls::openssl::{Config, ConfigError, attach};
///
/// let cache = shmtls::Options::new().create_memfd()?;
/// let mut builder = SslContext::builder(SslMethod::tls_server())?;
/// let error = attach(&mut builder, &cache, &Config::new("www")).unwrap_err();
/// assert!(matches!(error, ConfigError::NoCertificate));
/// assert!(error.hint().unwrap().contains("attach last"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Sessions cannot be bound to a certificate that is not there yet.
    #[error("found no certificate with a private key, expected at least one")]
    NoCertificate,
    /// The lifetime is out of range.
    #[error("found a lifetime of {found:?}, expected 1 s to {max:?}")]
    Lifetime {
        /// The lifetime asked for.
        found: Duration,
        /// The cache's own limit, and never more than seven days (RFC 8446, section 4.6.1).
        max: Duration,
    },
    /// Another session cache is installed: its callback would be lost.
    #[error("found a {callback} session callback, expected none")]
    CallbackTaken {
        /// `new`, `get` or `remove`.
        callback: &'static str,
    },
    /// Early data could be replayed, or with OpenSSL's own protection no ticket would ever resume.
    #[error(
        "found early data of up to {max_early_data} bytes with {tickets}, \
         expected stateful single-use tickets"
    )]
    EarlyData {
        /// What `SSL_CTX_set_max_early_data` allows, in bytes.
        max_early_data: u32,
        /// The kind of tickets asked for.
        tickets: &'static str,
    },
    /// Early data is off, but could be replayed as soon as someone turns it on.
    #[error("found SSL_OP_NO_ANTI_REPLAY with {tickets}, expected stateful single-use tickets")]
    AntiReplayOff {
        /// The kind of tickets asked for.
        tickets: &'static str,
    },
    /// Tickets under shared keys are wanted, and there is no key.
    #[error("found no ticket keys in the segment, expected at least one")]
    NoTicketKeys,
    /// Stateless tickets are wanted, and forbidden.
    #[error("found SSL_OP_NO_TICKET with stateless tickets, expected one or the other")]
    TicketsForbidden,
    /// OpenSSL refused a setting.
    #[error("OpenSSL refused a setting: {0}")]
    OpenSsl(#[from] ErrorStack),
}

impl ConfigError {
    /// What to do about it, if there is one thing to do.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoCertificate => {
                "call attach last: after the certificate, its private key, and the policy for \
                 client certificates, because sessions are bound to all of them"
            }
            Self::Lifetime { .. } => "raise Options::lifetime of the cache, or ask for less",
            Self::CallbackTaken { .. } => {
                "a context has one session cache: leave OpenSSL's session callbacks unset and \
                 watch sessions with Cache::hook"
            }
            Self::EarlyData { .. } => {
                "use Tickets::Stateful without reuse_tls13, or turn early data off \
                 (set_max_early_data(0))"
            }
            Self::AntiReplayOff { .. } => {
                "leave SSL_OP_NO_ANTI_REPLAY to attach, which sets it where replays cannot happen"
            }
            Self::NoTicketKeys => {
                "publish keys before workers attach: Cache::rotate_keys, or TicketKeys::publish, \
                 load or ticket_key_update"
            }
            Self::TicketsForbidden => "use Tickets::Stateful, or clear SSL_OP_NO_TICKET",
            Self::OpenSsl(_) => return None,
        })
    }
}

/// Why [`session_insert`](super::session_insert) could not even try to store a session.
///
/// ```
/// use shmtls::openssl::InsertError;
///
/// let error = InsertError::from(shmtls::SessionId::new(&[]).unwrap_err());
/// assert!(matches!(error, InsertError::InvalidId(_)));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The session has no usable ID: a session of a stateless TLS 1.2 ticket, for example.
    #[error(transparent)]
    InvalidId(#[from] InvalidSessionId),
    /// OpenSSL could not encode the session.
    #[error("OpenSSL could not encode the session: {0}")]
    Encoding(#[from] ErrorStack),
}
