//! Tickets that clients keep are bound to what a session in the cache is bound to, whoever has their
//! keys. Those under OpenSSL's own key once were not: a ticket of an open host resumed at one that
//! demands client certificates (CVE-2025-23419), and its chain never ended.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::sleep;
use std::time::{Duration, Instant};

use openssl::ssl::{ClientHelloResponse, Ssl, SslContext, SslRef, SslVerifyMode, SslVersion};
use shmtls::openssl::{Config, Tickets, attach};
use shmtls::{Cache, TicketKey};

use crate::tls_lab::{CLIENT, Client, VERSIONS, cache, server_with, unattached};

const GUARD: SslVerifyMode = SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);

fn versions_and_kinds() -> impl Iterator<Item = (SslVersion, Tickets)> {
    let kinds = [Tickets::SharedKeys, Tickets::Stateless];
    VERSIONS.into_iter().flat_map(move |version| kinds.map(|kind| (version, kind)))
}

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
    for (version, tickets) in versions_and_kinds() {
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
    for (version, tickets) in versions_and_kinds() {
        let server = server_with(&keyed_cache(), &lab(tickets));
        let session = Client::new(version).visit(&server).close();
        let mut strict = Ssl::new(&server).unwrap();
        strict.set_verify(GUARD);
        let outcome = Client::new(version).session(&session).start_at(strict).run();
        assert!(outcome.is_err(), "{version:?} {tickets:?}: in without a certificate");
        assert!(Client::new(version).session(&session).visit(&server).reused);
    }
}

/// A ticket is decrypted behind the client-hello callback and before the servername callback.
#[test]
fn a_ticket_of_an_open_host_does_not_resume_at_a_guarded_one() {
    for (version, tickets) in versions_and_kinds() {
        for early in [true, false] {
            let listener = listener(&keyed_cache(), tickets, early);
            let guest = || Client::new(version).server_name("example.org");
            let session = guest().visit(&listener).close();
            let outcome = guest().session(&session).try_visit(&listener);
            assert!(outcome.is_err(), "{version:?} {tickets:?} {early}: in without a certificate");
            assert!(guest().session(&session).visit(&listener).reused, "it is open again");
        }
    }
}

/// The second connection, though of the same name, is switched to a host that demands a
/// certificate.
fn listener(cache: &Cache, tickets: Tickets, switch_early: bool) -> SslContext {
    let mut guarded = unattached();
    guarded.set_verify(GUARD);
    guarded.cert_store_mut().add_cert(CLIENT.certificate.clone()).unwrap();
    attach(&mut guarded, cache, &lab(tickets)).unwrap();
    let guarded = guarded.build();

    let visits = AtomicUsize::new(0);
    let switch = move |ssl: &mut SslRef| {
        if visits.fetch_add(1, Relaxed) == 1 {
            ssl.set_ssl_context(&guarded).unwrap();
            ssl.set_verify(GUARD);
        }
    };
    let mut open = unattached();
    if switch_early {
        open.set_client_hello_callback(move |ssl, _| {
            switch(ssl);
            Ok(ClientHelloResponse::SUCCESS)
        });
    } else {
        open.set_servername_callback(move |ssl, _| {
            switch(ssl);
            Ok(())
        });
    }
    attach(&mut open, cache, &lab(tickets)).unwrap();
    open.build()
}

/// Also for a client that comes at least once a second.
#[test]
fn a_chain_of_tickets_ends_with_its_full_handshake() {
    let lifetime = Duration::from_secs(3);
    for (version, tickets) in versions_and_kinds() {
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
