//! Whatever is wrong with what is in the cache, or with who listens to it, the handshake goes on:
//! as a full one if need be.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::SslContext;
use shmtls::openssl::{Config, attach};
use shmtls::{Cache, Context, EventKind, Expiry, Library, NewSession, Options, SessionId, Stored};

use crate::tls_lab::{CLIENT, Client, TLS1_2, TLS1_3, VERSIONS, cache, server, unattached};

/// The keys under which the cache stores from now on.
fn keys(cache: &Cache) -> Arc<Mutex<Vec<(Context, SessionId)>>> {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let seen = keys.clone();
    cache.hook(move |event| {
        if let EventKind::New(Stored::Stored) = event.kind {
            seen.lock().unwrap().push((*event.context, *event.id));
        }
    });
    keys
}

/// Another OpenSSL's session, half a session, another session, no session at all.
#[test]
fn bytes_that_do_not_decode_are_a_miss() {
    for version in VERSIONS {
        let cache = cache();
        let keys = keys(&cache);
        let server = server(&cache);
        let _ = Client::new(version).visit(&server).close();
        let (ctx, id) = keys.lock().unwrap()[0];
        let another = cache.get_session(&ctx, &id).unwrap().bytes().to_vec();

        let bad: [&[u8]; 4] = [b"garbage", &another[..another.len() / 2], &another, b""];
        for (round, bytes) in (1..).zip(bad) {
            let session = Client::new(version).visit(&server).close();
            let (ctx, id) = *keys.lock().unwrap().last().unwrap();
            let new = NewSession::new(bytes, Expiry::after(Duration::from_secs(60)));
            let new = new.library(Library::OpenSsl).protocol(0x0303);
            assert!(cache.store(&ctx, &id, &new).is_stored());

            let before = cache.stats();
            let visit = Client::new(version).session(&session).visit(&server);
            assert!(!visit.reused, "{version:?}: resumed {} wrong bytes", bytes.len());
            assert!(ErrorStack::get().errors().is_empty(), "OpenSSL's queue is clean");
            let after = cache.stats();
            assert_eq!(after.misses_undecodable, round);
            assert_eq!(after.hits, before.hits, "it is no hit");
        }
    }
}

/// A rustls server beside this one: its session stays its own.
#[test]
fn another_librarys_session_is_a_miss_and_is_not_taken() {
    let cache = cache();
    let keys = keys(&cache);
    let server = server(&cache);
    let session = Client::new(TLS1_3).visit(&server).close();
    let (ctx, id) = keys.lock().unwrap()[0];
    let theirs = NewSession::new(b"theirs", Expiry::after(Duration::from_secs(60)));
    let theirs = theirs.library(Library::Rustls).single_use(true);
    assert!(cache.store(&ctx, &id, &theirs).is_stored());

    assert!(!Client::new(TLS1_3).session(&session).visit(&server).reused);
    assert_eq!(cache.stats().misses_library, 1);
    assert_eq!(cache.take(&ctx, &id).unwrap().bytes(), b"theirs");
}

/// Hooks run inside OpenSSL's callbacks; a panic there must not reach C.
#[test]
fn a_hook_that_panics_harms_no_handshake() {
    for version in VERSIONS {
        let cache = cache();
        cache.hook(|_| panic!("a plugin's bug"));
        let server = server(&cache);
        let session = Client::new(version).visit(&server).close();
        let visit = Client::new(version).session(&session).visit(&server);
        assert!(visit.reused, "{version:?}");
        assert!(cache.stats().hook_panics >= 2, "it ran, and panicked");
    }
}

/// A hook may use the cache that it is told about, from within a handshake.
#[test]
fn a_hook_may_call_the_cache_in_a_handshake() {
    let cache = cache();
    let same = cache.clone();
    cache.hook(move |event| {
        if let EventKind::New(_) = event.kind {
            same.remove(event.context, event.id).unwrap();
        }
    });
    let server = server(&cache);
    let session = Client::new(TLS1_2).visit(&server).close();
    assert!(cache.is_empty());
    assert!(!Client::new(TLS1_2).session(&session).visit(&server).reused);
}

/// A client certificate makes a session larger than this cache takes.
#[test]
fn a_session_that_is_too_large_is_a_full_handshake_next_time() {
    let cache = Options::new().size(1 << 20).max_session(256).create_memfd().unwrap();
    let server = asking(&cache);
    for version in VERSIONS {
        let mut client = Client::new(version);
        client.ctx.set_certificate(&CLIENT.certificate).unwrap();
        client.ctx.set_private_key(&CLIENT.key).unwrap();
        let session = client.visit(&server).close();
        assert!(!Client::new(version).session(&session).visit(&server).reused);
    }
    assert!(cache.stats().refused_too_large >= 2);
}

fn asking(cache: &Cache) -> SslContext {
    let mut builder = unattached();
    builder.set_verify(openssl::ssl::SslVerifyMode::PEER);
    builder.cert_store_mut().add_cert(CLIENT.certificate.clone()).unwrap();
    attach(&mut builder, cache, &Config::new("lab")).unwrap();
    builder.build()
}
