//! A TLS 1.3 ticket resumes once, however often it is asked for on the way.

use openssl::ssl::{Ssl, SslContext, SslStream};
use shmtls::Cache;
use shmtls::openssl::{Config, attach};

use crate::tls_lab::{Client, TLS1_2, TLS1_3, cache, server, server_with, unattached};

/// How the random of a HelloRetryRequest begins (RFC 8446, section 4.1.3).
const RETRY: [u8; 8] = [0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11];

#[test]
fn the_second_use_of_a_ticket_is_a_full_handshake() {
    let cache = cache();
    let workers = [server(&cache), server(&cache)];
    let session = Client::new(TLS1_3).visit(&workers[0]).close();
    assert!(Client::new(TLS1_3).session(&session).visit(&workers[1]).reused);
    for worker in &workers {
        assert!(!Client::new(TLS1_3).session(&session).visit(worker).reused);
    }
    assert_eq!(cache.stats().taken, 1);
}

#[test]
fn a_tls12_session_may_be_used_again() {
    let cache = cache();
    let server = server(&cache);
    let session = Client::new(TLS1_2).visit(&server).close();
    for _ in 0..3 {
        assert!(Client::new(TLS1_2).session(&session).visit(&server).reused);
    }
}

/// For clients that open several connections at once with the one ticket they have.
#[test]
fn a_host_may_let_tls13_tickets_be_used_again() {
    let cache = cache();
    let config = Config::new("lab").reuse_tls13(true);
    let workers = [server_with(&cache, &config), server_with(&cache, &config)];
    let session = Client::new(TLS1_3).visit(&workers[0]).close();
    for worker in workers.iter().cycle().take(4) {
        assert!(Client::new(TLS1_3).session(&session).visit(worker).reused);
    }
    assert_eq!(cache.stats().taken, 0);
}

/// The client guesses X25519 and the server wants P-384, so the client has to say everything again,
/// and OpenSSL looks the ticket up again, which the first lookup has taken.
#[test]
fn a_ticket_survives_a_hello_retry_request_and_no_more() {
    let cache = cache();
    let workers = [picky(&cache), picky(&cache)];
    let session = client().visit(&workers[0]).close();

    let before = cache.stats();
    let visit = client().session(&session).visit(&workers[1]);
    assert!(visit.reused);
    assert!(visit.wire.saw(&RETRY), "this handshake had no HelloRetryRequest");
    let after = cache.stats();
    assert_eq!((after.hits - before.hits, after.taken - before.taken), (1, 1));

    for worker in &workers {
        assert!(!client().session(&session).visit(worker).reused, "a second use");
    }
    let next = visit.close();
    assert!(client().session(&next).visit(&workers[0]).reused, "the chain goes on");
}

/// What was kept for the retry belongs to that connection alone, also before it has ended.
#[test]
fn nobody_else_can_use_a_ticket_during_a_retry() {
    let cache = cache();
    let server = picky(&cache);
    let session = client().visit(&server).close();

    let mut halfway = client().session(&session).start(&server);
    halfway.first_flights();
    assert_eq!(cache.stats().taken, 1);
    assert!(!client().session(&session).visit(&server).reused);
    halfway.run().unwrap();
    assert!(halfway.reused);
}

/// Nor can the same connection, once it is another: a server that clears its `SSL` objects to use
/// them again would let a replayed hello resume.
#[test]
fn a_cleared_connection_has_forgotten_the_ticket() {
    use foreign_types::ForeignTypeRef;
    unsafe extern "C" {
        fn SSL_clear(ssl: *mut openssl_sys::SSL) -> std::ffi::c_int;
    }

    let cache = cache();
    let server = server(&cache);
    let session = Client::new(TLS1_3).visit(&server).close();
    let (mut client, wire) = Client::new(TLS1_3).session(&session).stream();
    client.connect().unwrap_err(); // waits for an answer to its hello
    let hello = wire.to_server.borrow().clone();

    let mut connection = SslStream::new(Ssl::new(&server).unwrap(), wire.server_end()).unwrap();
    connection.accept().unwrap_err();
    assert!(connection.ssl().session_reused());
    // SAFETY: the connection is live, and idle.
    assert_eq!(unsafe { SSL_clear(connection.ssl().as_ptr()) }, 1);
    wire.to_server.borrow_mut().extend(&hello);
    connection.accept().unwrap_err();
    assert!(!connection.ssl().session_reused());
    assert_eq!(cache.stats().misses_absent, 1, "it was looked up, and is gone");
}

fn picky(cache: &Cache) -> SslContext {
    let mut builder = unattached();
    builder.set_groups_list("P-384").unwrap();
    attach(&mut builder, cache, &Config::new("lab")).unwrap();
    builder.build()
}

fn client() -> Client {
    let mut client = Client::new(TLS1_3);
    client.ctx.set_groups_list("X25519:P-384").unwrap();
    client
}
