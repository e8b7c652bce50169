//! A client that comes back resumes, whichever worker it meets: every context here stands for a
//! worker, and all they have in common is the cache.

use openssl::ssl::{SslOptions, SslVersion};
use shmtls::openssl::{Config, Tickets};

use crate::tls_lab::{Client, TLS1_2, TLS1_3, VERSIONS, cache, server, server_with, unattached};

/// The same visits without the cache show that it is the cache that resumes.
#[test]
fn every_context_resumes_every_session() {
    for version in VERSIONS {
        let cache = cache();
        let workers = [server(&cache), server(&cache), server(&cache)];
        let mut session = Client::new(version).visit(&workers[0]).close();
        for worker in workers.iter().cycle().skip(1).take(9) {
            let visit = Client::new(version).session(&session).visit(worker);
            assert!(visit.reused, "{version:?}");
            session = visit.close();
        }
        assert_eq!(cache.stats().hits, 9);

        let own = unattached().build();
        assert!(!Client::new(version).session(&session).visit(&own).reused);
    }
}

/// One ticket for each handshake, because each one fills a place in the cache.
#[test]
fn a_tls13_handshake_stores_one_session() {
    let cache = cache();
    let server = server(&cache);
    let session = Client::new(TLS1_3).visit(&server).close();
    assert_eq!(cache.stats().stored_new, 1);
    Client::new(TLS1_3).session(&session).visit(&server).close();
    assert_eq!(cache.stats().stored_new, 2);
    assert_eq!(cache.len(), 1, "the first was taken");
}

/// OpenSSL announces the session of every stateless ticket, but nobody ever looks it up: httpd
/// fills its cache with them.
#[test]
fn stateless_tickets_are_not_stored() {
    let cache = cache();
    let server = server_with(&cache, &Config::new("lab").tickets(Tickets::Stateless));
    for version in VERSIONS {
        let session = Client::new(version).visit(&server).close();
        let visit = Client::new(version).session(&session).visit(&server);
        assert!(visit.reused, "{version:?}: by its ticket");
    }
    assert_eq!((cache.len(), cache.stats().stored_new), (0, 0));
}

/// The clients for which the cache is there when others use stateless tickets.
#[test]
fn a_tls12_client_without_tickets_uses_the_cache_in_any_mode() {
    for tickets in [Tickets::Stateful, Tickets::Stateless] {
        let cache = cache();
        let config = Config::new("lab").tickets(tickets);
        let workers = [server_with(&cache, &config), server_with(&cache, &config)];
        let session = without_tickets(TLS1_2).visit(&workers[0]).close();
        assert!(without_tickets(TLS1_2).session(&session).visit(&workers[1]).reused);
        assert_eq!(cache.stats().hits, 1, "{tickets:?}");
    }
}

fn without_tickets(version: SslVersion) -> Client {
    let mut client = Client::new(version);
    client.ctx.set_options(SslOptions::NO_TICKET);
    client
}
