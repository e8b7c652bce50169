//! Sessions of one host in the shared cache: what a rustls server stores and finds, whatever the
//! version of rustls.

use std::time::Duration;

use super::{Config, ConfigError};
use crate::lookup::Want;
use crate::{Cache, Context, Expiry, Library, Miss, NewSession, Origin, Session, SessionId};

/// TLS 1.3, as on the wire.
pub(super) const TLS1_3: u16 = 0x0304;

/// One host's part of the cache.
#[derive(Debug)]
pub(super) struct SessionStore {
    cache: Cache,
    context: Context,
    lifetime: Duration,
}

impl SessionStore {
    pub(super) fn new(cache: &Cache, config: &Config, stack: &str) -> Result<Self, ConfigError> {
        let lifetime = config.checked_lifetime(cache)?;
        let cache = cache.with_origin(Origin::Handshake);
        Ok(Self { cache, context: config.context(stack), lifetime })
    }

    /// Says whether the session is in the cache now; if not, the client had better not hear of it.
    pub(super) fn store(&self, id: &[u8], value: &[u8], protocol: u16) -> bool {
        let Ok(id) = SessionId::new(id) else { return false };
        let new = NewSession::new(value, Expiry::after(self.lifetime))
            .single_use(protocol == TLS1_3)
            .library(Library::Rustls)
            .protocol(protocol);
        self.cache.store(&self.context, &id, &new).is_stored()
    }

    /// A copy; the session stays.
    pub(super) fn copy(&self, id: &[u8]) -> Option<Session> {
        self.look_up(id, Want::COPY)
    }

    /// Nobody else has it, now or later. `None` also where that cannot be made sure of in time.
    pub(super) fn take(&self, id: &[u8]) -> Option<Session> {
        self.look_up(id, Want::TAKE)
    }

    fn look_up(&self, id: &[u8], want: Want) -> Option<Session> {
        let Ok(id) = SessionId::new(id) else {
            // A TLS 1.3 client may send an identity of any length.
            self.cache.count_miss(Miss::InvalidId);
            return None;
        };
        self.cache.look_up(&self.context, &id, want.of(Library::Rustls)).ok()
    }
}
