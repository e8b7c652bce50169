//! What [`attach`](super::attach) refuses.

use std::time::Duration;

/// Why a `ServerConfig` cannot use the cache; nothing about it was changed.
///
/// Each error says what was found and what was expected; [`hint`](Self::hint) says what to do.
///
/// ```
/// use rustls::ServerConfig;
/// use rustls::server::ResolvesServerCertUsingSni;
/// use shmtls::rustls::{Config, ConfigError, Tickets, attach};
///
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// let certificates = std::sync::Arc::new(ResolvesServerCertUsingSni::new());
/// let mut config =
///     ServerConfig::builder().with_no_client_auth().with_cert_resolver(certificates);
/// let shared = Config::new("www").tickets(Tickets::SharedKeys);
/// let error = attach(&mut config, &cache, &shared).unwrap_err();
/// assert!(matches!(error, ConfigError::NoKeys));
/// assert!(error.hint().contains("rotate_keys"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The lifetime is out of range.
    #[error("found a lifetime of {found:?}, expected 1 s to {max:?}")]
    Lifetime {
        /// The lifetime asked for.
        found: Duration,
        /// The cache's own.
        max: Duration,
    },
    /// Early data could be replayed, so rustls would ignore it without a word.
    #[error(
        "found early data of up to {max_early_data} bytes with tickets under shared keys, \
         expected stateful tickets"
    )]
    EarlyData {
        /// `ServerConfig::max_early_data_size`, in bytes.
        max_early_data: u32,
    },
    /// The ring has no key that may encrypt now, so no client would get a ticket.
    #[error("found no ticket key that may encrypt now, expected at least one in the ring")]
    NoKeys,
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Lifetime { .. } => "raise Options::lifetime of the cache, or ask for less",
            Self::EarlyData { .. } => {
                "use Tickets::Stateful, or turn early data off (max_early_data_size = 0)"
            }
            Self::NoKeys => {
                "publish keys first: Cache::rotate_keys makes them, TicketKeys::load reads files"
            }
        }
    }
}
