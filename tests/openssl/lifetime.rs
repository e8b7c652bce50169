//! Resumption does not extend a session's life: without this a client that returns often enough is
//! never authenticated again (nginx has a fix of its own for that).

use std::thread::sleep;
use std::time::{Duration, Instant};

use openssl::ssl::{ClientHelloResponse, SslSession, SslVersion};
use shmtls::openssl::{Config, Tickets, attach, context};
use shmtls::{Expiry, Library, NewSession, SessionId, TicketKey};

use crate::tls_lab::{
    Client, TLS1_2, TLS1_3, cache, cache_with_lifetime, server, server_with, unattached,
};

const LIFETIME: Duration = Duration::from_secs(3);

#[test]
fn a_tls12_session_dies_with_its_full_handshake() {
    dies_with_its_full_handshake(TLS1_2);
}

#[test]
fn a_chain_of_tls13_tickets_dies_with_its_full_handshake() {
    dies_with_its_full_handshake(TLS1_3);
}

/// Each visit is well within the lifetime of the session that it resumes, if that were to start
/// anew with each ticket.
fn dies_with_its_full_handshake(version: SslVersion) {
    let cache = cache();
    let server = server_with(&cache, &Config::new("lab").lifetime(LIFETIME));
    let begin = Instant::now();
    let mut session = Client::new(version).visit(&server).close();
    let mut visits = 0;
    // Expiry has whole seconds.
    while begin.elapsed() <= LIFETIME + Duration::from_secs(1) {
        sleep(Duration::from_millis(250));
        let visit = Client::new(version).session(&session).visit(&server);
        if !visit.reused {
            assert!(visits >= 4, "resumed only {visits} times");
            return;
        }
        visits += 1;
        session = visit.close();
    }
    panic!("resumed {visits} times, and after {:?} still", begin.elapsed());
}

/// What is left is also what a TLS 1.3 client is told, so that it does not offer the dead.
#[test]
fn a_ticket_tells_the_client_what_is_left_of_the_chain() {
    let cache = cache();
    let server = server_with(&cache, &Config::new("lab").lifetime(Duration::from_secs(100)));
    let first = Client::new(TLS1_3).visit(&server).close();
    assert_eq!(lifetime_hint(&first), 100);
    sleep(Duration::from_millis(2100));
    let visit = Client::new(TLS1_3).session(&first).visit(&server);
    assert!(visit.reused);
    let left = lifetime_hint(&visit.close());
    assert!((96..=98).contains(&left), "{left} s");
}

/// A full handshake in between begins a new chain.
#[test]
fn a_full_handshake_begins_a_new_chain() {
    let cache = cache();
    let server = server_with(&cache, &Config::new("lab").lifetime(Duration::from_secs(100)));
    let session = Client::new(TLS1_3).visit(&server).close();
    sleep(Duration::from_millis(2100));
    assert!(Client::new(TLS1_3).session(&session).visit(&server).reused);
    let visit = Client::new(TLS1_3).session(&session).visit(&server);
    assert!(!visit.reused, "a used ticket");
    assert_eq!(lifetime_hint(&visit.close()), 100);
}

/// Also on a connection that had found a session, which OpenSSL then would not have.
#[test]
fn a_session_that_openssl_refuses_shortens_nothing() {
    let cache = cache();
    let config = |seconds| Config::new("lab").lifetime(Duration::from_secs(seconds));
    let (short, long) = (server_with(&cache, &config(1)), server_with(&cache, &config(100)));
    let session = Client::new(TLS1_2).visit(&short).close();
    let id = SessionId::new(session.id()).unwrap();
    let ctx = context(&short, None).unwrap();
    let bytes = cache.get_session(&ctx, &id).unwrap().bytes().to_vec();
    let longer = NewSession::new(&bytes, Expiry::after(Duration::from_secs(30)));
    assert!(cache.store(&ctx, &id, &longer.library(Library::OpenSsl)).is_stored());

    sleep(Duration::from_millis(2100));
    let hits = cache.stats().hits;
    let visit = Client::new(TLS1_2).session(&session).visit(&long);
    assert!(!visit.reused);
    assert_eq!(cache.stats().hits, hits + 1, "the cache had it; OpenSSL found it too old");
    let id = SessionId::new(visit.close().id()).unwrap();
    let left = cache.get_session(&ctx, &id).unwrap().expiry().remaining().as_secs();
    assert!(left > 90, "{left} s");
}

/// OpenSSL gives a session the lifetime of the context that its connection was accepted with. So a
/// host that the client-hello callback switched to had the listener's: its sessions lived longer
/// than it allows, or OpenSSL refused what the cache still held, and a ticket was lost for nothing.
#[test]
fn a_session_lives_as_long_as_the_host_says_that_it_was_made_for() {
    for (version, tickets) in [
        (TLS1_2, Tickets::Stateful),
        (TLS1_3, Tickets::Stateful),
        (TLS1_2, Tickets::SharedKeys),
        (TLS1_3, Tickets::SharedKeys),
        (TLS1_3, Tickets::Stateless),
    ] {
        let cache = cache();
        cache.keys().publish(vec![TicketKey::random().unwrap()]).unwrap();
        let config = |name, seconds| {
            Config::new(name).tickets(tickets).lifetime(Duration::from_secs(seconds))
        };
        for (listener_secs, host_secs) in [(100, 1), (1, 100)] {
            let host = server_with(&cache, &config("host", host_secs));
            let mut listener = unattached();
            listener.set_client_hello_callback(move |ssl, _| {
                ssl.set_ssl_context(&host).unwrap();
                Ok(ClientHelloResponse::SUCCESS)
            });
            attach(&mut listener, &cache, &config("listener", listener_secs)).unwrap();
            let listener = listener.build();
            let session = Client::new(version).visit(&listener).close();
            if version == TLS1_3 {
                assert_eq!(lifetime_hint(&session), host_secs, "{tickets:?}");
            }
            sleep(Duration::from_millis(2100));
            let visit = Client::new(version).session(&session).visit(&listener);
            assert_eq!(visit.reused, host_secs == 100, "{version:?} {tickets:?} {host_secs} s");
        }
    }
}

#[test]
fn the_caches_lifetime_is_the_default() {
    let cache = cache_with_lifetime(Duration::from_secs(77));
    let session = Client::new(TLS1_3).visit(&server(&cache)).close();
    assert_eq!(lifetime_hint(&session), 77);
}

fn lifetime_hint(session: &SslSession) -> u64 {
    use foreign_types::ForeignTypeRef;
    unsafe extern "C" {
        fn SSL_SESSION_get_ticket_lifetime_hint(
            session: *const openssl_sys::SSL_SESSION,
        ) -> std::ffi::c_ulong;
    }
    // SAFETY: the session is live; this is a getter.
    unsafe { SSL_SESSION_get_ticket_lifetime_hint(session.as_ptr()) }
}
