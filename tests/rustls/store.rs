//! The store as rustls sees it, and what lies beside its sessions in the same segment.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::server::StoresServerSessions;
use shmtls::rustls::{Config, Tickets, context};
use shmtls::{Cache, Expiry, Library, NewSession, Options, SessionId};

use crate::lab::{cache, server_with};

const KEY: [u8; 32] = [7; 32];

fn store(cache: &Cache, config: &Config) -> Arc<dyn StoresServerSessions> {
    server_with(cache, config).session_storage.clone()
}

#[test]
fn what_one_store_puts_another_gets_and_takes_once() {
    let cache = cache();
    let [ours, theirs] = [(); 2].map(|()| store(&cache, &Config::new("lab")));
    assert!(ours.can_cache());
    assert!(ours.put(KEY.to_vec(), b"session".to_vec()));
    assert_eq!(theirs.get(&KEY).unwrap(), b"session");
    assert_eq!(theirs.take(&KEY).unwrap(), b"session");
    assert_eq!((ours.take(&KEY), ours.get(&KEY)), (None, None));
}

/// A TLS 1.3 client may offer anything as a ticket.
#[test]
fn a_key_that_is_no_session_id_is_a_counted_miss() {
    let cache = cache();
    let store = store(&cache, &Config::new("lab"));
    for key in [&[][..], &[1; 33], &[1; 200], &vec![1; 60_000]] {
        assert!(!store.put(key.to_vec(), b"session".to_vec()));
        assert_eq!((store.get(key), store.take(key)), (None, None));
    }
    assert_eq!((cache.stats().misses_invalid_id, cache.stats().stored_new), (8, 0));
}

#[test]
fn another_librarys_sessions_are_not_found_and_not_burnt() {
    let cache = cache();
    let config = Config::new("lab");
    let (store, context) = (store(&cache, &config), context(&config));
    let id = SessionId::new(&KEY).unwrap();
    let expiry = Expiry::after(Duration::from_secs(60));
    for library in [Library::OpenSsl, Library::Raw] {
        let theirs = NewSession::new(b"theirs", expiry).library(library).single_use(true);
        assert!(cache.store(&context, &id, &theirs).is_stored());
        assert_eq!((store.get(&KEY), store.take(&KEY)), (None, None));
        assert_eq!(cache.resume(&context, &id, library).unwrap().bytes(), b"theirs");
    }
    assert_eq!(cache.stats().misses_library, 4);

    assert!(store.put(KEY.to_vec(), b"ours".to_vec()));
    assert!(cache.resume(&context, &id, Library::OpenSsl).is_err());
    assert_eq!(store.take(&KEY).unwrap(), b"ours");
}

#[test]
fn a_session_is_over_when_its_lifetime_is() {
    let cache = cache();
    let config = Config::new("lab").lifetime(Duration::from_secs(3));
    let store = store(&cache, &config);
    for key in [[1; 32], [2; 32]] {
        assert!(store.put(key.to_vec(), b"session".to_vec()));
    }
    assert!(store.get(&[1; 32]).is_some(), "at least two seconds are left");
    thread::sleep(Duration::from_secs(3));
    assert_eq!((store.get(&[1; 32]), store.take(&[2; 32])), (None, None));
    assert_eq!(cache.stats().misses_expired, 2);
}

#[test]
fn a_lifetime_that_nobody_chose_is_the_caches() {
    let cache = Options::new().size(1 << 20).lifetime(Duration::from_secs(100));
    let cache = cache.create_memfd().unwrap();
    assert!(store(&cache, &Config::new("lab")).put(KEY.to_vec(), b"session".to_vec()));
    let id = SessionId::new(&KEY).unwrap();
    let session = cache.get_session(&context(&Config::new("lab")), &id).unwrap();
    let left = session.expiry().remaining().as_secs();
    assert!((98..=100).contains(&left), "{left} s");
}

/// rustls then sends no ticket, and the client does not offer what nobody has.
#[test]
fn what_is_too_large_is_not_stored() {
    let cache = cache();
    let store = store(&cache, &Config::new("lab"));
    let largest = vec![5; cache.max_session()];
    assert!(store.put(KEY.to_vec(), largest.clone()));
    assert!(!store.put([8; 32].to_vec(), [&largest[..], &[5]].concat()));
    assert_eq!((store.take(&KEY), store.take(&[8; 32])), (Some(largest), None));
}

#[test]
fn the_sessions_of_a_name_can_be_removed_together() {
    let cache = cache();
    let configs = ["old", "new"].map(Config::new);
    let stores = [store(&cache, &configs[0]), store(&cache, &configs[1])];
    for (key, store) in stores.iter().enumerate() {
        assert!(store.put(vec![key as u8; 32], b"session".to_vec()));
    }
    assert_eq!(cache.remove_context(&context(&configs[0])).removed, 1);
    assert!(stores[0].get(&[0; 32]).is_none() && stores[1].get(&[1; 32]).is_some());
}

#[test]
fn nothing_that_a_config_prints_is_secret() {
    let cache = cache();
    for tickets in [Tickets::Stateful, Tickets::SharedKeys] {
        let server = server_with(&cache, &Config::new("lab").tickets(tickets));
        server.session_storage.put(KEY.to_vec(), b"a secret".to_vec());
        let printed = format!("{:?} {:?}", server.session_storage, server.ticketer);
        assert!(!printed.contains("secret") && !printed.contains("7, 7"), "{printed}");
        assert!(!printed.contains("hmac") && !printed.contains("aes"), "{printed}");
    }
}
