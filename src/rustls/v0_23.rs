//! rustls 0.23: its traits, and the one call.

use std::sync::Arc;

use ::rustls::ServerConfig;
use ::rustls::server::{ProducesTickets, StoresServerSessions};
use zeroize::Zeroizing;

use super::store::{SessionStore, TLS1_3};
use super::ticket::TicketProducer;
use super::{Config, ConfigError, Tickets};
use crate::{Cache, Context};

/// Part of every context: what other versions write is not for this one.
const STACK: &str = "rustls 0.23";

/// Makes connections of this `ServerConfig` store their sessions in the cache and resume from it,
/// or share their tickets' keys.
///
/// Sets `session_storage` and `ticketer`, and nothing else. Set `max_early_data_size` before, so
/// that it can be checked. The config keeps a handle of the cache.
///
/// # Errors
///
/// [`ConfigError`] for what would be unsafe or would never resume. The config is as it was then.
pub fn attach(
    server: &mut ServerConfig,
    cache: &Cache,
    config: &Config,
) -> Result<(), ConfigError> {
    let max_early_data = server.max_early_data_size;
    if config.tickets == Tickets::SharedKeys && max_early_data > 0 {
        return Err(ConfigError::EarlyData { max_early_data });
    }
    let store = SessionStore::new(cache, config, STACK)?;
    server.ticketer = match config.tickets {
        Tickets::SharedKeys => Arc::new(TicketProducer::new(cache, config, STACK)?),
        // An enabled one, left over, would keep TLS 1.3 sessions out of the store.
        Tickets::Stateful => Arc::new(NoTickets),
    };
    server.session_storage = Arc::new(store);
    Ok(())
}

/// The context under which [`attach`] stores the sessions of this config's name: for
/// [`Cache::remove_context`], when the certificate or the policy has changed, and for hooks.
pub fn context(config: &Config) -> Context {
    config.context(STACK)
}

/// rustls asks `get` for TLS 1.2 session IDs, and `take` for TLS 1.3 tickets.
impl StoresServerSessions for SessionStore {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let (key, value) = (Zeroizing::new(key), Zeroizing::new(value));
        self.store(&key, &value, protocol(&value))
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.copy(key).map(|session| session.bytes().to_vec())
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        SessionStore::take(self, key).map(|session| session.bytes().to_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl ProducesTickets for TicketProducer {
    /// Always, also when every key has expired: where this is false rustls accepts early data.
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(TicketProducer::lifetime(self).as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher)
    }
}

/// What a `ServerConfig` has by default; rustls keeps its own to itself.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The TLS version in a stored value: after the server name, if it has one. 0 if it does not say.
///
/// That is how all of 0.23 writes it, and for people who look into the segment. Nothing depends
/// on it: what is taken is what rustls takes.
fn protocol(value: &[u8]) -> u16 {
    let after_name = match value {
        [0, rest @ ..] => Some(rest),
        [1, len, rest @ ..] => rest.get(usize::from(*len)..),
        _ => None,
    };
    match after_name {
        Some([3, 3, ..]) => 0x0303,
        Some([3, 4, ..]) => TLS1_3,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::protocol;

    #[test]
    fn the_version_is_found_behind_any_server_name() {
        assert_eq!(protocol(&[0, 3, 4, 0x13, 0x01]), 0x0304);
        assert_eq!(protocol(&[1, 2, b'a', b'b', 3, 3, 0xc0]), 0x0303);
        assert_eq!(protocol(&[1, 0, 3, 3]), 0x0303);
        let unknown: [&[u8]; 6] = [&[], &[0], &[1], &[1, 9, 3, 4], &[0, 3, 5], &[2, 3, 4]];
        assert_eq!(unknown.map(protocol), [0; 6]);
    }
}
