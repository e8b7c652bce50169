//! Every worker resumes what any other began, and no other server does.

use std::sync::Arc;

use rustls::ServerConnection;
use rustls::version::{TLS12, TLS13};
use shmtls::Library;
use shmtls::rustls::{Config, Tickets};

use crate::lab::{Client, MODES, VERSIONS, cache, converse, resumes, server, server_with};

#[test]
fn a_session_of_one_worker_resumes_at_the_others() {
    for (version, tickets) in VERSIONS.iter().flat_map(|v| MODES.map(|tickets| (*v, tickets))) {
        let cache = cache();
        let workers = [(); 4].map(|()| server(&cache, tickets));
        let client = Client::new(version);
        assert!(!client.visit(&workers[0]));
        for worker in workers.iter().cycle().skip(1).take(11) {
            assert!(client.visit(worker), "{version:?} {tickets:?}");
        }
        let hits = if tickets == Tickets::Stateful { 11 } else { 0 };
        assert_eq!(cache.stats().hits, hits, "{version:?} {tickets:?}");
    }
}

#[test]
fn a_tls12_session_resumes_as_often_as_the_client_likes() {
    let cache = cache();
    let worker = server(&cache, Tickets::Stateful);
    let client = Client::new(&TLS12);
    assert!(!client.visit(&worker));
    assert!((0..20).all(|_| client.visit(&worker)));
    assert_eq!((cache.stats().stored_new, cache.stats().taken), (1, 0));
}

#[test]
fn a_stateful_tls13_ticket_resumes_once() {
    let cache = cache();
    let workers = [(); 3].map(|()| server(&cache, Tickets::Stateful));
    let client = Client::new(&TLS13);
    assert!(!client.visit(&workers[0]));
    let hello = client.hello();
    let resumed: Vec<bool> = workers.iter().map(|worker| resumes(worker, &hello)).collect();
    assert_eq!(resumed, [true, false, false]);
    assert_eq!(cache.stats().taken, 1);
}

/// One `ServerConfig` lets anybody in, the other does not; rustls itself would not see that.
#[test]
fn a_session_of_another_host_is_a_miss() {
    for (version, tickets) in VERSIONS.iter().flat_map(|v| MODES.map(|tickets| (*v, tickets))) {
        let cache = cache();
        let [open, closed] =
            ["open", "closed"].map(|name| server_with(&cache, &Config::new(name).tickets(tickets)));
        let client = Client::new(version);
        assert!(!client.visit(&open));
        assert!(!client.visit(&closed), "{version:?} {tickets:?}");
        let missed = u64::from(tickets == Tickets::Stateful);
        assert_eq!(cache.stats().misses_context, missed, "{version:?} {tickets:?}");
    }
    // And it is not lost for that.
    let cache = cache();
    let [open, closed] = ["open", "closed"].map(|name| server_with(&cache, &Config::new(name)));
    let client = Client::new(&TLS13);
    client.visit(&open);
    let hello = client.hello();
    assert_eq!([&closed, &open].map(|host| resumes(host, &hello)), [false, true]);
}

/// That is rustls's own doing; the adapter relies on it.
#[test]
fn a_session_of_another_server_name_does_not_resume() {
    for (version, tickets) in VERSIONS.iter().flat_map(|v| MODES.map(|tickets| (*v, tickets))) {
        let worker = server(&cache(), tickets);
        let client = Client::new(version);
        assert!(!client.visit(&worker));
        let server = ServerConnection::new(Arc::clone(&worker)).unwrap();
        // An address is not sent as a server name.
        assert_eq!(converse(client.connection_to("127.0.0.1"), server), Ok(false), "{tickets:?}");
    }
}

#[test]
fn an_inspector_sees_whose_sessions_they_are() {
    for (version, wire, single_use) in [(&TLS12, 0x0303, false), (&TLS13, 0x0304, true)] {
        let cache = cache();
        Client::new(version).visit(&server(&cache, Tickets::Stateful));
        let mut seen = 0;
        let _ = cache.for_each(|entry, _| {
            assert_eq!(entry.library(), Some(Library::Rustls));
            assert_eq!((entry.protocol(), entry.is_single_use()), (wire, single_use));
            seen += 1;
        });
        assert_eq!(seen, if single_use { 2 } else { 1 }, "tickets of one handshake");
    }
}

/// Shared keys store nothing but what a TLS 1.2 client without tickets needs.
#[test]
fn sealed_tickets_are_not_stored() {
    let cache = cache();
    Client::new(&TLS13).visit(&server(&cache, Tickets::SharedKeys));
    assert_eq!(cache.stats().stored_new, 0);
}
