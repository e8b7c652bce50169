//! 0-RTT: whoever records a client's first flight can send it again, to any worker. OpenSSL's own
//! protection knows one process only. Here a flight is one captured from a real client, byte for
//! byte, and it may be accepted once.

use openssl::ssl::{Ssl, SslContext, SslSession, SslStream};
use shmtls::Cache;
use shmtls::openssl::{Config, attach};

use crate::tls_lab::{Client, TLS1_3, Wire, cache, server_with, unattached};

/// What the client says before it has heard anything.
const REQUEST: &[u8] = b"GET /once HTTP/1.0\r\n\r\n";

/// A worker that accepts early data.
pub(crate) fn eager(cache: &Cache) -> SslContext {
    let mut builder = unattached();
    builder.set_max_early_data(1024).unwrap();
    attach(&mut builder, cache, &Config::new("lab")).unwrap();
    builder.build()
}

/// A ticket's first flight, as an observer sees it.
pub(crate) fn capture(session: &SslSession) -> Vec<u8> {
    let (mut client, wire) = Client::new(TLS1_3).session(session).stream();
    assert_eq!(client.write_early_data(REQUEST).unwrap(), REQUEST.len());
    let flight: Vec<u8> = wire.to_server.borrow().iter().copied().collect();
    assert!(!wire.saw(REQUEST), "it is encrypted");
    flight
}

/// Whether a worker acts on the early data of a flight.
pub(crate) fn accepts(worker: &SslContext, flight: &[u8]) -> bool {
    let end = Wire::with_arrived(flight).server_end();
    let mut stream = SslStream::new(Ssl::new(worker).unwrap(), end).unwrap();
    let mut request = [0; 64];
    match stream.read_early_data(&mut request) {
        Ok(n) => n > 0 && request[..n] == *REQUEST,
        Err(_) => false,
    }
}

#[test]
fn a_replayed_flight_is_accepted_once_over_all_workers() {
    let cache = cache();
    let workers = [eager(&cache), eager(&cache), eager(&cache), eager(&cache)];
    // The first to get it is a worker that issued the ticket, and one that did not.
    for issuer in [0, 1] {
        let flight = capture(&Client::new(TLS1_3).visit(&workers[issuer]).close());
        let accepted: Vec<bool> = workers.iter().map(|worker| accepts(worker, &flight)).collect();
        assert_eq!(accepted, [true, false, false, false]);
        assert!(!accepts(&workers[0], &flight), "nor later");
    }
}

/// After the early data the connection goes on as a resumed one, and its new ticket works.
#[test]
fn a_connection_with_early_data_resumes_and_goes_on() {
    let cache = cache();
    let workers = [eager(&cache), eager(&cache)];
    let mut session = Client::new(TLS1_3).visit(&workers[0]).close();
    for worker in [&workers[1], &workers[0], &workers[1]] {
        let mut visit = Client::new(TLS1_3).session(&session).start(worker);
        visit.client.write_early_data(REQUEST).unwrap();
        let mut request = [0; 64];
        let n = visit.server.read_early_data(&mut request).unwrap();
        assert_eq!(&request[..n], REQUEST);
        visit.run().unwrap();
        assert!(visit.reused);
        session = visit.close();
    }
}

/// With early data set on the connection instead, or after `attach`, it is as safe.
#[test]
fn early_data_that_is_turned_on_later_is_accepted_once() {
    let cache = cache();
    let mut builder = unattached();
    attach(&mut builder, &cache, &Config::new("lab")).unwrap();
    builder.set_max_early_data(1024).unwrap();
    let late = builder.build();
    let flight = capture(&Client::new(TLS1_3).visit(&late).close());
    let accepted = [&late, &late, &eager(&cache)].map(|worker| accepts(worker, &flight));
    assert_eq!(accepted, [true, false, false]);
}

/// Reused tickets and early data are refused together; where a connection gets them anyway, from a
/// listener whose settings are other than its host's, its tickets are single-use again.
#[test]
fn a_host_that_reuses_tickets_makes_no_exception_for_early_data() {
    let cache = cache();
    let host = server_with(&cache, &Config::new("lab").reuse_tls13(true));
    let mut listener = unattached();
    listener.set_max_early_data(1024).unwrap();
    listener.set_client_hello_callback(move |ssl, _| {
        ssl.set_ssl_context(&host).unwrap();
        Ok(openssl::ssl::ClientHelloResponse::SUCCESS)
    });
    attach(&mut listener, &cache, &Config::new("lab")).unwrap();
    let listener = listener.build();
    let flight = capture(&Client::new(TLS1_3).visit(&listener).close());
    assert!(accepts(&listener, &flight));
    assert!(!accepts(&listener, &flight));
}
