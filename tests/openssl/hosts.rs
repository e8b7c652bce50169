//! CVE-2025-23419 and CVE-2025-23048: two hosts behind one address, one of which demands a client
//! certificate, and a client without one that resumes there what it got from the other. OpenSSL
//! compares neither the server name nor the verify mode, so the key of the cache has to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{
    ClientHelloResponse, NameType, SniError, Ssl, SslContext, SslContextBuilder, SslRef,
    SslSession, SslVerifyMode, SslVersion,
};
use openssl::x509::store::{X509Store, X509StoreBuilder};
use shmtls::Cache;
use shmtls::openssl::{Config, attach, context};

use crate::tls_lab::{
    CLIENT, Client, Identity, SERVER, TLS1_3, VERSIONS, cache, server, server_with, unattached,
};

const OPEN: &str = "open.example";
const GUARDED: &str = "guarded.example";
const GUARD: SslVerifyMode = SslVerifyMode::PEER.union(SslVerifyMode::FAIL_IF_NO_PEER_CERT);

/// Where the server learns of the name and switches to the host's context.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Switch {
    InClientHelloCallback,
    InServernameCallback,
}

/// One listener, which is the open host's, and the guarded host behind it. Both have the same
/// certificate, and their configurations the same name: nothing but the policy tells them apart.
fn listener(cache: &Cache, switch: Switch) -> SslContext {
    let mut guarded = unattached();
    guard(&mut guarded);
    attach(&mut guarded, cache, &Config::new("lab")).unwrap();
    let guarded = guarded.build();

    let mut open = unattached();
    let to_guarded = move |ssl: &mut SslRef| {
        ssl.set_ssl_context(&guarded).unwrap();
        ssl.set_verify(GUARD);
    };
    match switch {
        Switch::InClientHelloCallback => open.set_client_hello_callback(move |ssl, _| {
            // The name is somewhere in the raw hello; this server has no other use for it.
            if hello_names(ssl, GUARDED) {
                to_guarded(ssl);
            }
            Ok(ClientHelloResponse::SUCCESS)
        }),
        Switch::InServernameCallback => open.set_servername_callback(move |ssl, _| {
            if ssl.servername(NameType::HOST_NAME) == Some(GUARDED) {
                to_guarded(ssl);
            }
            Ok(())
        }),
    }
    attach(&mut open, cache, &Config::new("lab")).unwrap();
    open.build()
}

fn guard(builder: &mut SslContextBuilder) {
    builder.set_verify(GUARD);
    builder.cert_store_mut().add_cert(CLIENT.certificate.clone()).unwrap();
}

fn hello_names(ssl: &SslRef, name: &str) -> bool {
    use foreign_types::ForeignTypeRef;
    let (mut body, mut len) = (std::ptr::null(), 0);
    // SAFETY: the connection is live, and in its client-hello callback.
    let found =
        unsafe { openssl_sys::SSL_client_hello_get0_ext(ssl.as_ptr(), 0, &mut body, &mut len) };
    // SAFETY: the extension's body is valid during the callback.
    found == 1 && unsafe { std::slice::from_raw_parts(body, len) }.ends_with(name.as_bytes())
}

fn without_certificate(version: SslVersion, name: &'static str) -> Client {
    Client::new(version).server_name(name)
}

fn with_certificate(version: SslVersion, name: &'static str) -> Client {
    let mut client = Client::new(version).server_name(name);
    client.ctx.set_certificate(&CLIENT.certificate).unwrap();
    client.ctx.set_private_key(&CLIENT.key).unwrap();
    client
}

/// The guarded host is really guarded, so the tests below can fail.
fn refuses_strangers(listener: &SslContext, version: SslVersion) -> bool {
    without_certificate(version, GUARDED).try_visit(listener).is_err()
}

#[test]
fn a_session_of_the_open_host_never_resumes_at_the_guarded_one() {
    for version in VERSIONS {
        for switch in [Switch::InClientHelloCallback, Switch::InServernameCallback] {
            let cache = cache();
            let listener = listener(&cache, switch);
            assert!(refuses_strangers(&listener, version));

            let session = without_certificate(version, OPEN).visit(&listener).close();
            let hits = cache.stats().hits;
            let attack = without_certificate(version, GUARDED).session(&session);
            let outcome = attack.try_visit(&listener);
            assert!(outcome.is_err(), "{version:?} {switch:?}: in without a certificate");
            assert_eq!(cache.stats().hits, hits, "{version:?} {switch:?}");
            assert_eq!(cache.stats().misses_context, 1, "{version:?} {switch:?}: counted");

            // The failed attempt cost the open host nothing: the session was not even taken.
            let again = without_certificate(version, OPEN).session(&session).visit(&listener);
            assert!(again.reused, "{version:?} {switch:?}");
        }
    }
}

/// A switch that comes before the lookup resumes within each host.
#[test]
fn an_early_switch_resumes_at_both_hosts() {
    for version in VERSIONS {
        let cache = cache();
        let listener = listener(&cache, Switch::InClientHelloCallback);
        for name in [OPEN, GUARDED] {
            let session = with_certificate(version, name).visit(&listener).close();
            let visit = with_certificate(version, name).session(&session).visit(&listener);
            assert!(visit.reused, "{version:?} {name}");
            let certificate = visit.server.ssl().peer_certificate();
            assert_eq!(certificate.is_some(), name == GUARDED, "who the client is, is remembered");
        }
    }
}

/// A switch that comes after the lookup is a counted miss every time, and never anything worse.
#[test]
fn a_late_switch_is_a_miss() {
    for version in VERSIONS {
        let cache = cache();
        let listener = listener(&cache, Switch::InServernameCallback);
        let mut session = with_certificate(version, GUARDED).visit(&listener).close();
        for round in 1..=3 {
            let visit = with_certificate(version, GUARDED).session(&session).visit(&listener);
            assert!(!visit.reused, "{version:?}");
            assert_eq!(cache.stats().misses_context, round);
            session = visit.close();
        }
        assert_eq!(cache.stats().hits, 0);
    }
}

/// The routing changes between two visits: when the session was made the name belonged to the open
/// host, and when OpenSSL looks it up it still seems to.
#[test]
fn a_session_does_not_follow_a_name_that_moves_to_the_guarded_host() {
    for version in VERSIONS {
        for attached in [true, false] {
            let cache = cache();
            let moved = Arc::new(AtomicBool::new(false));
            let listener = rerouted(&cache, moved.clone(), attached);
            let session = without_certificate(version, OPEN).visit(&listener).close();
            moved.store(true, Ordering::Relaxed);

            let outcome = without_certificate(version, OPEN).session(&session).try_visit(&listener);
            assert!(outcome.is_err(), "{version:?}: resumed behind the guard");
            assert!(cache.is_empty(), "{version:?}: the session is gone");

            let friend = with_certificate(version, OPEN).session(&session).visit(&listener);
            assert!(!friend.reused, "{version:?}: those with a certificate get in");
        }
    }
}

/// `attached`: whether the guarded host uses the cache at all.
fn rerouted(cache: &Cache, moved: Arc<AtomicBool>, attached: bool) -> SslContext {
    let mut guarded = unattached();
    guard(&mut guarded);
    if attached {
        attach(&mut guarded, cache, &Config::new("lab")).unwrap();
    }
    let guarded = guarded.build();
    let mut open = unattached();
    open.set_servername_callback(move |ssl, _| {
        if moved.load(Ordering::Relaxed) {
            ssl.set_ssl_context(&guarded).map_err(|_| SniError::ALERT_FATAL)?;
            ssl.set_verify(GUARD);
        }
        Ok(())
    });
    attach(&mut open, cache, &Config::new("lab")).unwrap();
    open.build()
}

/// One context for all, and a policy by port: only the connection knows it.
#[test]
fn a_connection_with_a_stricter_verify_mode_resumes_no_other() {
    for version in VERSIONS {
        let cache = cache();
        let server = server(&cache);
        let session = Client::new(version).visit(&server).close();
        let mut strict = Ssl::new(&server).unwrap();
        strict.set_verify(GUARD);
        let outcome = Client::new(version).session(&session).start_at(strict).run();
        assert!(outcome.is_err(), "{version:?}: in without a certificate");
        assert!(Client::new(version).session(&session).visit(&server).reused);
    }
}

/// What a session is bound to, one thing after another.
#[test]
fn every_part_of_a_hosts_identity_separates() {
    let another = Identity::new("another");
    type Change = fn(&mut SslContextBuilder, &Identity);
    let changes: [(&str, Change); 7] = [
        ("certificate", |b, another| {
            b.set_certificate(&another.certificate).unwrap();
            b.set_private_key(&another.key).unwrap();
        }),
        ("second certificate", |b, _| {
            let rsa = rsa();
            b.set_certificate(&rsa.certificate).unwrap();
            b.set_private_key(&rsa.key).unwrap();
        }),
        ("verify mode", |b, _| b.set_verify(SslVerifyMode::PEER)),
        ("client CA names", |b, another| b.add_client_ca(&another.certificate).unwrap()),
        ("trusted certificate", |b, another| {
            b.cert_store_mut().add_cert(another.certificate.clone()).unwrap();
        }),
        ("trusted certificate of another store", |b, another| {
            b.set_verify_cert_store(store_of(another)).unwrap();
        }),
        ("nothing", |_, _| {}),
    ];
    let cache = cache();
    let plain = server(&cache);
    for (what, change) in changes {
        let mut builder = unattached();
        change(&mut builder, &another);
        attach(&mut builder, &cache, &Config::new("lab")).unwrap();
        let same = context(&builder.build(), None) == context(&plain, None);
        assert_eq!(same, what == "nothing", "{what}");
    }
    let rsa = rsa();
    let [one, other] = [&*SERVER, &another].map(|second| {
        let mut builder = unattached();
        builder.set_certificate(&second.certificate).unwrap();
        builder.set_private_key(&second.key).unwrap();
        builder.set_certificate(&rsa.certificate).unwrap();
        builder.set_private_key(&rsa.key).unwrap();
        attach(&mut builder, &cache, &Config::new("lab")).unwrap();
        context(&builder.build(), None)
    });
    assert_ne!(one, other, "one of two certificates");
    let renamed = server_with(&cache, &Config::new("other lab"));
    assert_ne!(context(&renamed, None), context(&plain, None));
    assert_eq!(context(&unattached().build(), None), None);
}

/// A store of their own is what client certificates are verified with, then. It was not looked at:
/// what a client of one authority had got resumed where only those of another are let in.
#[test]
fn whom_another_store_trusts_is_part_of_a_hosts_identity() {
    let (cache, another) = (cache(), Identity::new("another"));
    let trusting = |authority: &Identity| {
        let mut builder = unattached();
        builder.set_verify(GUARD);
        builder.set_verify_cert_store(store_of(authority)).unwrap();
        attach(&mut builder, &cache, &Config::new("lab")).unwrap();
        builder.build()
    };
    let (ours, others) = (trusting(&CLIENT), trusting(&another));
    for version in VERSIONS {
        let client = || with_certificate(version, OPEN);
        assert!(client().try_visit(&others).is_err(), "{version:?}: they do not know us");
        let session = client().visit(&ours).close();
        let outcome = client().session(&session).try_visit(&others);
        assert!(outcome.is_err(), "{version:?}: resumed where the certificate is not trusted");
        assert!(client().session(&session).visit(&ours).reused, "{version:?}");
    }
}

fn store_of(authority: &Identity) -> X509Store {
    let mut store = X509StoreBuilder::new().unwrap();
    store.add_cert(authority.certificate.clone()).unwrap();
    store.build()
}

/// Of another kind than [`SERVER`], so that a context can have both.
fn rsa() -> Identity {
    Identity::with_key("rsa", PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap())
}

/// To look at all certificates the adapter moves OpenSSL's pointer to the current one, and has to
/// put it back: the application may go on to add a chain to it.
#[test]
fn attach_leaves_the_current_certificate_current() {
    let cache = cache();
    let rsa = rsa();
    let mut builder = unattached();
    builder.set_certificate(&rsa.certificate).unwrap();
    builder.set_private_key(&rsa.key).unwrap();
    attach(&mut builder, &cache, &Config::new("lab")).unwrap();
    let current = builder.build().certificate().unwrap().to_der().unwrap();
    assert_eq!(current, rsa.certificate.to_der().unwrap());
}

/// Names are compared as DNS compares them, and a client without a name resumes nobody else's.
#[test]
fn the_server_name_is_part_of_the_key() {
    let cache = cache();
    let server = server(&cache);
    let resumes = |session: &SslSession, name| {
        let client = Client::new(TLS1_3).session(session);
        let client = match name {
            Some(name) => client.server_name(name),
            None => client,
        };
        client.visit(&server).reused
    };
    let session = || Client::new(TLS1_3).server_name("a.example").visit(&server).close();
    assert!(resumes(&session(), Some("a.example")));
    assert!(resumes(&session(), Some("A.EXAMPLE")));
    assert!(!resumes(&session(), Some("b.example")));
    assert!(!resumes(&session(), None));
    let nameless = Client::new(TLS1_3).visit(&server).close();
    assert!(!resumes(&nameless, Some("a.example")));
    assert!(resumes(&nameless, None));
}
