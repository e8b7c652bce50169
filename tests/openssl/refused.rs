//! Configurations that would be unsafe, or would never resume, are refused when they are made: each
//! was seen to fail silently with OpenSSL (replayed 0-RTT, or no resumption at all).

use std::time::Duration;

use openssl::ssl::{SslContext, SslContextBuilder, SslMethod, SslOptions};
use shmtls::openssl::{Config, ConfigError, Tickets, attach};

use crate::tls_lab::{Client, SERVER, TLS1_3, cache, server, unattached};

const NO_ANTI_REPLAY: SslOptions = SslOptions::from_bits_retain(1 << 24);

/// Prepares a context, attaches, and returns the error with its text.
fn refusal(config: Config, prepare: impl FnOnce(&mut SslContextBuilder)) -> (ConfigError, String) {
    let cache = cache();
    let mut builder = unattached();
    prepare(&mut builder);
    let error = attach(&mut builder, &cache, &config).unwrap_err();
    assert!(error.hint().is_some(), "{error}: no hint");
    let text = error.to_string();
    assert!(text.contains("found") && text.contains("expected"), "{text}");
    (error, text)
}

fn lab() -> Config {
    Config::new("lab")
}

#[test]
fn a_context_without_a_certificate() {
    let cache = cache();
    let config = Config::new("lab");
    let mut builder = SslContext::builder(SslMethod::tls_server()).unwrap();
    let error = attach(&mut builder, &cache, &config).unwrap_err();
    assert!(matches!(error, ConfigError::NoCertificate));
    assert!(error.hint().unwrap().contains("call attach last"));

    builder.set_certificate(&SERVER.certificate).unwrap();
    let error = attach(&mut builder, &cache, &config).unwrap_err();
    assert!(matches!(error, ConfigError::NoCertificate), "a certificate without its key");

    builder.set_private_key(&SERVER.key).unwrap();
    attach(&mut builder, &cache, &config).unwrap();
}

#[test]
fn early_data_that_could_be_replayed() {
    for config in [lab().tickets(Tickets::Stateless), lab().reuse_tls13(true)] {
        let (error, text) = refusal(config, |builder| builder.set_max_early_data(16_384).unwrap());
        assert!(matches!(error, ConfigError::EarlyData { max_early_data: 16_384, .. }));
        assert!(text.contains("16384 bytes"), "{text}");
    }
}

#[test]
fn an_anti_replay_option_that_takes_effect_later() {
    for config in [lab().tickets(Tickets::Stateless), lab().reuse_tls13(true)] {
        let (error, _) = refusal(config, |builder| {
            builder.set_options(NO_ANTI_REPLAY);
        });
        assert!(matches!(error, ConfigError::AntiReplayOff { .. }));
    }
}

#[test]
fn stateless_tickets_that_are_forbidden() {
    let (error, _) = refusal(lab().tickets(Tickets::Stateless), |builder| {
        builder.set_options(SslOptions::NO_TICKET);
    });
    assert!(matches!(error, ConfigError::TicketsForbidden));
}

#[test]
fn a_second_session_cache() {
    let (error, _) = refusal(lab(), |b| b.set_new_session_callback(|_, _| {}));
    assert!(matches!(error, ConfigError::CallbackTaken { callback: "new" }));
    let (error, _) = refusal(lab(), |b| b.set_remove_session_callback(|_, _| {}));
    assert!(matches!(error, ConfigError::CallbackTaken { callback: "remove" }));
    let (error, _) = refusal(lab(), |b| {
        // SAFETY: it returns no session.
        unsafe { b.set_get_session_callback(|_, _| None) };
    });
    assert!(matches!(error, ConfigError::CallbackTaken { callback: "get" }));
}

#[test]
fn a_lifetime_out_of_range() {
    let hour = Duration::from_secs(3600); // what the cache allows
    for lifetime in [Duration::ZERO, Duration::from_millis(999), hour + Duration::from_nanos(1)] {
        let (error, _) = refusal(lab().lifetime(lifetime), |_| {});
        let ConfigError::Lifetime { found, max } = error else { panic!("{error}") };
        assert_eq!((found, max), (lifetime, hour));
    }
    for lifetime in [Duration::from_secs(1), hour] {
        let cache = cache();
        attach(&mut unattached(), &cache, &Config::new("lab").lifetime(lifetime)).unwrap();
    }
}

/// What was refused has changed nothing: the context goes on as one without a cache.
#[test]
fn a_refused_context_is_as_it_was() {
    let cache = cache();
    let mut builder = unattached();
    builder.set_max_early_data(1024).unwrap();
    let before = builder.options();
    attach(&mut builder, &cache, &Config::new("lab").reuse_tls13(true)).unwrap_err();
    assert_eq!(builder.options(), before);
    let _ = Client::new(TLS1_3).visit(&builder.build()).close();
    assert!(cache.is_empty());
}

/// To attach once more is to say it anew, after a certificate was added for example.
#[test]
fn attaching_twice_is_no_second_cache() {
    let (cache, other) = (cache(), cache());
    let mut builder = unattached();
    attach(&mut builder, &other, &Config::new("other")).unwrap();
    attach(&mut builder, &cache, &Config::new("lab")).unwrap();
    let twice = builder.build();
    let session = Client::new(TLS1_3).visit(&twice).close();
    assert!(Client::new(TLS1_3).session(&session).visit(&server(&cache)).reused);
    assert!(other.is_empty());
}
