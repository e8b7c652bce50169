//! Configurations that would be unsafe or would never resume are refused, and nothing is changed.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::version::TLS13;
use shmtls::rustls::{Config, ConfigError, Tickets, attach};
use shmtls::{Expiry, Options, TicketKey};

use crate::lab::{Client, cache, server, unattached};

fn refused(
    cache: &shmtls::Cache,
    config: &Config,
    set: impl FnOnce(&mut ServerConfig),
) -> ConfigError {
    let mut server = unattached();
    set(&mut server);
    let before = (server.session_storage.clone(), server.ticketer.clone());
    let error = attach(&mut server, cache, config).expect_err("to be refused");
    assert!(Arc::ptr_eq(&before.0, &server.session_storage), "nothing was changed");
    assert!(Arc::ptr_eq(&before.1, &server.ticketer), "nothing was changed");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn early_data_with_tickets_that_can_be_replayed() {
    let config = Config::new("lab").tickets(Tickets::SharedKeys);
    let error = refused(&cache(), &config, |server| server.max_early_data_size = 512);
    assert_eq!(error, ConfigError::EarlyData { max_early_data: 512 });
    assert_eq!(
        error.to_string(),
        "found early data of up to 512 bytes with tickets under shared keys, expected stateful \
         tickets"
    );
}

#[test]
fn shared_keys_where_there_are_none() {
    let config = Config::new("lab").tickets(Tickets::SharedKeys);
    let cache = Options::new().size(1 << 20).create_memfd().unwrap();
    assert_eq!(refused(&cache, &config, |_| ()), ConfigError::NoKeys);

    let soon = TicketKey::random().unwrap().not_after(Expiry::after(Duration::from_secs(2)));
    cache.keys().publish(vec![soon]).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(refused(&cache, &config, |_| ()), ConfigError::NoKeys);
}

#[test]
fn lifetimes_that_nothing_can_keep() {
    let (cache, max) = (cache(), Duration::from_secs(3600));
    let longer = max + Duration::from_secs(1);
    for found in [Duration::ZERO, Duration::from_millis(999), longer] {
        let error = refused(&cache, &Config::new("lab").lifetime(found), |_| ());
        assert_eq!(error, ConfigError::Lifetime { found, max });
    }
    attach(&mut unattached(), &cache, &Config::new("lab").lifetime(max)).unwrap();
}

/// An enabled ticketer would keep TLS 1.3 sessions out of the cache.
#[test]
fn a_ticketer_from_before_is_replaced() {
    let cache = cache();
    let mut config = unattached();
    config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    attach(&mut config, &cache, &Config::new("lab")).unwrap();
    let client = Client::new(&TLS13);
    client.visit(&Arc::new(config));
    assert!(client.visit(&server(&cache, Tickets::Stateful)));
}
