//! 0-RTT: whoever records a client's first flight can send it again, to any worker. Here a flight
//! is one captured from a real client, byte for byte, and it may be accepted once.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection};
use shmtls::Cache;
use shmtls::rustls::{Config, Tickets, attach};

use crate::lab::{Client, cache, converse, receive, sent, to_server, unattached};

/// What the client says before it has heard anything.
const REQUEST: &[u8] = b"GET /once HTTP/1.0\r\n\r\n";

/// A worker that accepts early data.
pub(crate) fn eager(cache: &Cache) -> Arc<ServerConfig> {
    let mut server = unattached();
    server.max_early_data_size = 1024;
    attach(&mut server, cache, &Config::new("lab")).unwrap();
    Arc::new(server)
}

/// The first flight of a client that has been at a worker, as an observer sees it.
pub(crate) fn capture(issuer: &Arc<ServerConfig>) -> Vec<u8> {
    let client = Client::new(&TLS13);
    client.visit(issuer);
    let mut connection = client.connection();
    connection.early_data().expect("a ticket that allows it").write_all(REQUEST).unwrap();
    let flight = sent(&mut connection);
    assert!(!flight.windows(REQUEST.len()).any(|window| window == REQUEST), "it is encrypted");
    flight
}

/// Whether a worker acts on the early data of a flight.
pub(crate) fn accepts(worker: &Arc<ServerConfig>, flight: &[u8]) -> bool {
    let mut server = ServerConnection::new(worker.clone()).unwrap();
    receive(&mut server, flight).expect("a flight that is in order");
    early_request(&mut server) == REQUEST
}

fn early_request(server: &mut ServerConnection) -> Vec<u8> {
    let mut request = Vec::new();
    if let Some(mut early) = server.early_data() {
        early.read_to_end(&mut request).unwrap();
    }
    request
}

#[test]
fn a_replayed_flight_is_accepted_once_over_all_workers() {
    let cache = cache();
    let workers = [(); 4].map(|()| eager(&cache));
    // The first to get it is a worker that issued the ticket, and one that did not.
    for issuer in [0, 1] {
        let flight = capture(&workers[issuer]);
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
    let client = Client::new(&TLS13);
    client.visit(&workers[0]);
    for worker in [&workers[1], &workers[0], &workers[1]] {
        let mut connection = client.connection();
        connection.early_data().unwrap().write_all(REQUEST).unwrap();
        let mut server = ServerConnection::new(worker.clone()).unwrap();
        to_server(&mut connection, &mut server).unwrap();
        assert_eq!(early_request(&mut server), REQUEST);
        assert_eq!(converse(connection, server), Ok(true));
    }
}

/// `attach` has refused early data; here it is turned on behind its back.
#[test]
fn tickets_under_shared_keys_never_carry_early_data() {
    let cache = cache();
    let mut late = unattached();
    attach(&mut late, &cache, &Config::new("lab").tickets(Tickets::SharedKeys)).unwrap();
    late.max_early_data_size = 1024;
    let late = Arc::new(late);
    let client = Client::new(&TLS13);
    client.visit(&late);
    assert!(client.tickets() > 0);
    assert!(client.connection().early_data().is_none());
}
