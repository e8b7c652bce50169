//! Tickets that clients keep are bound to what a session in the cache is bound to, whoever has their
//! keys. Those under OpenSSL's own key once were not: a ticket of an open host resumed at one that
//! demands client certificates (CVE-2025-23419), and its chain never ended.

use std::thread::sleep;
use std::time::{Duration, Instant};

use openssl::ssl::{NameType, Ssl, SslContext, SslVerifyMode};
use shmtls::openssl::{Config, Tickets, attach};
use shmtls::{Cache, TicketKey};

use crate::tls_lab::{CLIENT, Client, VERSIONS, cache, server_with, unattached};

const GUARD: SslVerifyMode = SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);
const KINDS: [Tickets; 2] = [Tickets::SharedKeys, Tickets::Stateless];

fn keyed_cache() -> Cache {
    let cache = cache();
    cache.keys().publish(vec![TicketKey::random().unwrap()]).unwrap();
    cache
}

fn lab(tickets: Tickets) -> Config {
    Config::new("lab").tickets(tickets)
}

#[test]
fn a_ticket_resumes_under_its_server_name_only() {
    for (version, tickets) in VERSIONS.into_iter().flat_map(|v| KINDS.map(|kind| (v, kind))) {
        let cache = keyed_cache();
        let server = server_with(&cache, &lab(tickets));
        let client = |name| Client::new(version).server_name(name);
        let session = client("a.example").visit(&server).close();
        let others = [client("b.example"), Client::new(version)];
        for other in others.map(|client| client.session(&session)) {
            assert!(!other.visit(&server).reused, "{version:?} {tickets:?}");
        }
        assert_eq!(cache.stats().tickets_other_context, 2, "{version:?} {tickets:?}: counted");
        assert!(client("A.example").session(&session).visit(&server).reused);
    }
}

#[test]
fn a_ticket_of_a_lax_connection_does_not_resume_on_a_strict_one() {
    for (version, tickets) in VERSIONS.into_iter().flat_map(|v| KINDS.map(|kind| (v, kind))) {
        let server = server_with(&keyed_cache(), &lab(tickets));
        let session = Client::new(version).visit(&server).close();
        let mut strict = Ssl::new(&server).unwrap();
        strict.set_verify(GUARD);
        let outcome = Client::new(version).session(&session).start_at(strict).run();
        assert!(outcome.is_err(), "{version:?} {tickets:?}: in without a certificate");
        assert!(Client::new(version).session(&session).visit(&server).reused);
    }
}

#[test]
fn a_ticket_of_an_open_host_does_not_resume_at_a_guarded_one() {
    for (version, tickets) in VERSIONS.into_iter().flat_map(|v| KINDS.map(|kind| (v, kind))) {
        let listener = listener(&keyed_cache(), tickets);
        let guest = |name| Client::new(version).server_name(name);
        assert!(guest("guarded.example").try_visit(&listener).is_err(), "it is guarded");
        let session = guest("open.example").visit(&listener).close();
        let outcome = guest("guarded.example").session(&session).try_visit(&listener);
        assert!(outcome.is_err(), "{version:?} {tickets:?}: in without a certificate");
        assert!(guest("open.example").session(&session).visit(&listener).reused);
    }
}

/// Switches after the ticket was decrypted, where OpenSSL looks at nothing any more.
fn listener(cache: &Cache, tickets: Tickets) -> SslContext {
    let mut guarded = unattached();
    guarded.set_verify(GUARD);
    guarded.cert_store_mut().add_cert(CLIENT.certificate.clone()).unwrap();
    attach(&mut guarded, cache, &lab(tickets)).unwrap();
    let guarded = guarded.build();
    let mut open = unattached();
    open.set_servername_callback(move |ssl, _| {
        if ssl.servername(NameType::HOST_NAME) == Some("guarded.example") {
            ssl.set_ssl_context(&guarded).unwrap();
            ssl.set_verify(GUARD);
        }
        Ok(())
    });
    attach(&mut open, cache, &lab(tickets)).unwrap();
    open.build()
}

/// Also for a client that comes at least once a second.
#[test]
fn a_chain_of_tickets_ends_with_its_full_handshake() {
    let lifetime = Duration::from_secs(3);
    for (version, tickets) in VERSIONS.into_iter().flat_map(|v| KINDS.map(|kind| (v, kind))) {
        let server = server_with(&keyed_cache(), &lab(tickets).lifetime(lifetime));
        let begin = Instant::now();
        let mut session = Client::new(version).visit(&server).close();
        let mut visits = 0;
        loop {
            sleep(Duration::from_millis(250));
            let visit = Client::new(version).session(&session).visit(&server);
            if !visit.reused {
                break;
            }
            let lived = begin.elapsed();
            assert!(
                lived < lifetime + Duration::from_secs(2),
                "{version:?} {tickets:?}: {lived:?}"
            );
            visits += 1;
            session = visit.close();
        }
        assert!(visits >= 4, "{version:?} {tickets:?}: resumed only {visits} times");
    }
}

/// A client with a name lost its resumption at each rotation: the ticket that TLS 1.2 gave it for
/// the old one was bound to no name, and any client without one could have used it.
#[test]
fn a_renewed_ticket_is_bound_to_the_same_name() {
    for version in VERSIONS {
        let cache = cache();
        let keys: Vec<_> = (0..5).map(|_| TicketKey::random().unwrap()).collect();
        cache.keys().publish(vec![keys[0].clone()]).unwrap();
        let server = server_with(&cache, &lab(Tickets::SharedKeys));
        let client = || Client::new(version).server_name("a.example");
        let mut session = client().visit(&server).close();
        for pair in keys.windows(2) {
            cache.keys().publish(vec![pair[1].clone(), pair[0].clone()]).unwrap();
            let visit = client().session(&session).visit(&server);
            assert!(visit.reused, "{version:?}");
            session = visit.close();
        }
        assert_eq!(cache.stats().tickets_other_context, 0);
        assert!(!Client::new(version).session(&session).visit(&server).reused, "without a name");
    }
}
