//! Stateless tickets under the ring's keys: any context resumes what any other issued, through
//! every rotation. With keys of its own per context 1/N of them did.

use std::time::Duration;

use openssl::ssl::{SslContext, SslSession, SslVersion};
use shmtls::openssl::{Config, ConfigError, Tickets, attach};
use shmtls::{Cache, Expiry, Rotation, TicketKey};

use crate::tls_lab::{Client, TLS1_2, TLS1_3, VERSIONS, cache, server_with, unattached};

fn config() -> Config {
    Config::new("lab").tickets(Tickets::SharedKeys)
}

fn key() -> TicketKey {
    TicketKey::random().expect("random bytes")
}

/// A cache with a ring of one key.
fn keyed_cache() -> (Cache, TicketKey) {
    let (cache, key) = (cache(), key());
    cache.keys().publish(vec![key.clone()]).expect("one key");
    (cache, key)
}

fn resumes(version: SslVersion, server: &SslContext, session: &SslSession) -> bool {
    Client::new(version).session(session).visit(server).reused
}

#[test]
fn a_ticket_of_any_context_resumes_at_any_other() {
    for version in VERSIONS {
        let (cache, _) = keyed_cache();
        let servers: Vec<_> = (0..4).map(|_| server_with(&cache, &config())).collect();
        let mut session = Client::new(version).visit(&servers[0]).close();
        for round in 0..12 {
            let visit = Client::new(version).session(&session).visit(&servers[round % 4]);
            assert!(visit.reused, "{version:?}, round {round}");
            session = visit.close();
        }
        assert!(cache.is_empty(), "nobody would look these up");
        let stats = cache.stats();
        assert_eq!((stats.tickets_current_key, stats.tickets_unknown_key), (12, 0));
    }
}

/// In TLS 1.3 a used ticket is always replaced: with OpenSSL's "accept" alone a client resumes
/// once per full handshake. In TLS 1.2 a ticket is replaced only when its key is an old one.
#[test]
fn a_client_gets_a_new_ticket_when_it_needs_one() {
    let (cache, old) = keyed_cache();
    let server = server_with(&cache, &config());
    let first = Client::new(TLS1_2).visit(&server).close();
    let visit = Client::new(TLS1_2).session(&first).visit(&server);
    let again = visit.close();
    assert_eq!(again.to_der().unwrap(), first.to_der().unwrap(), "the same ticket");

    cache.keys().publish(vec![key(), old]).expect("two keys");
    let visit = Client::new(TLS1_2).session(&first).visit(&server);
    assert!(visit.reused, "the old key decrypts");
    let renewed = visit.close();
    assert_ne!(renewed.to_der().unwrap(), first.to_der().unwrap(), "and the ticket is replaced");
    assert!(resumes(TLS1_2, &server, &renewed));

    let issued = cache.stats().tickets_issued;
    let first = Client::new(TLS1_3).visit(&server).close();
    let per_handshake = cache.stats().tickets_issued - issued;
    let visit = Client::new(TLS1_3).session(&first).visit(&server);
    assert!(visit.reused);
    assert_ne!(visit.close().to_der().unwrap(), first.to_der().unwrap());
    assert!(cache.stats().tickets_issued > issued + per_handshake);
}

#[test]
fn a_ticket_of_a_key_that_is_gone_is_a_counted_full_handshake() {
    for version in VERSIONS {
        let (cache, _) = keyed_cache();
        let server = server_with(&cache, &config());
        let session = Client::new(version).visit(&server).close();
        let published = cache.keys().publish(vec![key()]).expect("one key");
        assert!(!published.warnings.is_empty(), "clients lose their tickets");
        assert_eq!(cache.stats().keys_dropped, 1);
        let visit = Client::new(version).session(&session).visit(&server);
        assert!(!visit.reused);
        assert_eq!(cache.stats().tickets_unknown_key, 1);
        assert!(resumes(version, &server, &visit.close()), "it got a ticket under the new key");
    }
}

/// Keys that one process publishes are used by another's contexts from the next handshake on, and
/// a client that keeps coming never notices.
#[test]
fn two_hundred_rotations_lose_no_ticket_within_its_lifetime() {
    let cache = cache();
    let rotation = Rotation::every(Duration::from_millis(100))
        .activation_delay(Duration::from_secs(1))
        .ticket_lifetime(Duration::from_secs(1));
    cache.keys().rotate_if_due(&rotation).expect("the first key").expect("there was none");
    let config = config().lifetime(Duration::from_secs(3000));
    let servers: Vec<_> = (0..4).map(|_| server_with(&cache, &config)).collect();
    for version in VERSIONS {
        let mut session = Client::new(version).visit(&servers[0]).close();
        let mut visits = 0;
        let until = cache.keys().epoch() + 100;
        while cache.keys().epoch() < until {
            cache.keys().rotate_if_due(&rotation).expect("a key");
            visits += 1;
            let visit = Client::new(version).session(&session).visit(&servers[visits % 4]);
            assert!(visit.reused, "{version:?}, epoch {}", cache.keys().epoch());
            session = visit.close();
        }
        assert!(visits > 100);
    }
    assert!(cache.keys().epoch() > 200);
    assert_eq!(cache.stats().tickets_unknown_key, 0);
}

#[test]
fn a_key_whose_time_has_not_come_decrypts_already() {
    let (here, there) = (cache(), cache());
    let (current, next) = (key(), key());
    let later = next.clone().not_before(Expiry::after(Duration::from_secs(600)));
    here.keys().publish(vec![later, current]).expect("two keys");
    // Another machine, say, whose clock or operator is ahead.
    there.keys().publish(vec![next]).expect("one key");
    let (here_server, there_server) =
        (server_with(&here, &config()), server_with(&there, &config()));
    for version in VERSIONS {
        let session = Client::new(version).visit(&there_server).close();
        let visit = Client::new(version).session(&session).visit(&here_server);
        assert!(visit.reused);
        assert!(!resumes(version, &there_server, &visit.close()), "encrypted by the current one");
    }
}

#[test]
fn shared_keys_need_a_key_and_no_early_data() {
    let cache = cache();
    let refused = attach(&mut unattached(), &cache, &config()).unwrap_err();
    assert!(matches!(refused, ConfigError::NoTicketKeys));
    assert!(refused.hint().expect("a hint").contains("rotate_keys"));

    cache.keys().publish(vec![key()]).expect("one key");
    let mut early = unattached();
    early.set_max_early_data(1024).unwrap();
    let refused = attach(&mut early, &cache, &config()).unwrap_err();
    assert!(matches!(refused, ConfigError::EarlyData { max_early_data: 1024, .. }));
}
