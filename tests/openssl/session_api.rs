//! The `TSSslSession*`-shaped calls, on sessions of real handshakes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::ssl::{SslContext, SslSession, SslVersion};
use shmtls::openssl::{
    InsertError, context, session_get, session_get_buffer, session_insert, session_remove,
};
use shmtls::{Cache, Context, EventKind, Inserted, Miss, Origin, Stored};

use crate::tls_lab::{Client, TLS1_2, TLS1_3, VERSIONS, cache, cache_with_lifetime, server};

/// A visit, and the ID under which the server stored its session.
fn visit(cache: &Cache, server: &SslContext, version: SslVersion) -> (SslSession, Vec<u8>) {
    let ids = Arc::new(Mutex::new(Vec::new()));
    let seen = ids.clone();
    let hook = cache.hook(move |event| {
        if let EventKind::New(Stored::Stored) = event.kind {
            seen.lock().unwrap().push(event.id.as_bytes().to_vec());
        }
    });
    let session = Client::new(version).visit(server).close();
    cache.unhook(hook);
    let id = ids.lock().unwrap().pop().expect("one session was stored");
    (session, id)
}

#[test]
fn get_gives_a_copy_and_takes_nothing() {
    for version in VERSIONS {
        let cache = cache();
        let server = server(&cache);
        let ctx = context(&server, None).unwrap();
        let (session, id) = visit(&cache, &server, version);
        for _ in 0..2 {
            let copy = session_get(&cache, &ctx, &id).expect("it is there");
            assert_eq!(copy.id(), id);
            assert_eq!(copy.protocol_version(), version);
        }
        assert!(Client::new(version).session(&session).visit(&server).reused, "still there");
    }
}

#[test]
fn get_misses_what_is_not_there() {
    let cache = cache();
    let server = server(&cache);
    let ctx = context(&server, None).unwrap();
    let (_, id) = visit(&cache, &server, TLS1_2);
    assert!(session_get(&cache, &ctx, &[7; 32]).is_none());
    assert!(session_get(&cache, &Context::named("other"), &id).is_none());
    for bad in [&[][..], &[7; 33]] {
        assert!(session_get(&cache, &ctx, bad).is_none());
        assert_eq!(session_get_buffer(&cache, &ctx, bad, None), Err(Miss::InvalidId));
    }
    let stats = cache.stats();
    assert_eq!((stats.misses_absent, stats.misses_context, stats.misses_invalid_id), (1, 1, 4));
}

/// Traffic Server's call copies as much as fits and has no size query.
#[test]
fn get_buffer_copies_all_or_nothing() {
    let cache = cache();
    let server = server(&cache);
    let ctx = context(&server, None).unwrap();
    let (_, id) = visit(&cache, &server, TLS1_2);
    let whole = session_get(&cache, &ctx, &id).unwrap().to_der().unwrap();
    let get = |buffer: Option<&mut [u8]>| session_get_buffer(&cache, &ctx, &id, buffer);

    assert_eq!(get(None), Ok(whole.len()));
    assert_eq!(get(Some(&mut [])), Ok(whole.len()));
    for short in [1, whole.len() - 1] {
        let mut buffer = vec![0xaa; short];
        assert_eq!(get(Some(&mut buffer)), Err(Miss::ShortBuffer { needed: whole.len() }));
        assert!(buffer.iter().all(|byte| *byte == 0xaa), "a part of the secret in {short} bytes");
    }
    for spare in [0, 9] {
        let mut buffer = vec![0xaa; whole.len() + spare];
        assert_eq!(get(Some(&mut buffer)), Ok(whole.len()));
        assert_eq!(buffer[..whole.len()], whole);
        assert_eq!(buffer[whole.len()..], vec![0xaa; spare], "an overrun");
    }
}

/// As `SSL_CTX_add_session` has it. The next handshake resumes what was inserted, as a plugin does
/// with sessions from another machine.
#[test]
fn insert_says_what_it_did_and_the_session_resumes() {
    for version in VERSIONS {
        let (cache, elsewhere) = (cache(), cache());
        let there = server(&elsewhere);
        let here = server(&cache);
        let ctx = context(&here, None).unwrap();
        let (session, id) = visit(&elsewhere, &there, version);
        let object = session_get(&elsewhere, &ctx, &id).expect("the same host everywhere");

        assert_eq!(session_insert(&cache, &ctx, &object).unwrap(), Inserted::New);
        assert_eq!(session_insert(&cache, &ctx, &object).unwrap(), Inserted::Unchanged);
        assert!(Client::new(version).session(&session).visit(&here).reused);
        let again = Client::new(version).session(&session).visit(&here).reused;
        assert_eq!(again, version == TLS1_2, "a TLS 1.3 session is single-use here too");
    }
}

#[test]
fn insert_replaces_another_object_of_the_same_id() {
    let cache = cache();
    let server = server(&cache);
    let ctx = context(&server, None).unwrap();
    let (_, id) = visit(&cache, &server, TLS1_2);
    let object = session_get(&cache, &ctx, &id).unwrap();
    let mut other = object.to_der().unwrap();
    *secret_in(&mut other, &object) ^= 1;
    let other = SslSession::from_der(&other).unwrap();
    assert_eq!(session_insert(&cache, &ctx, &other).unwrap(), Inserted::Replaced);
}

/// A byte of the master secret.
fn secret_in<'a>(der: &'a mut [u8], session: &SslSession) -> &'a mut u8 {
    let mut secret = vec![0; session.master_key_len()];
    session.master_key(&mut secret);
    let at = der.windows(secret.len()).position(|window| window == secret).unwrap();
    &mut der[at]
}

#[test]
fn insert_refuses_what_is_no_session_to_find() {
    let cache = cache();
    let ctx = Context::named("lab");
    // A client's session of a stateless TLS 1.2 ticket has an ID that the client made up, or none.
    let (session, _) = visit(&cache, &server(&cache), TLS1_2);
    let mut nameless = session.to_der().unwrap();
    remove_id(&mut nameless, session.id());
    let nameless = SslSession::from_der(&nameless).unwrap();
    assert!(nameless.id().is_empty());
    let error = session_insert(&cache, &ctx, &nameless).unwrap_err();
    assert!(matches!(error, InsertError::InvalidId(e) if e.len == 0));
}

/// Takes the ID out of a session's DER form, whose outer length has one or two bytes.
fn remove_id(der: &mut Vec<u8>, id: &[u8]) {
    let at = der.windows(id.len()).position(|window| window == id).unwrap();
    der.drain(at..at + id.len());
    der[at - 1] = 0;
    let gone = id.len() as u16;
    match der[1] {
        0x81 => der[2] -= gone as u8,
        0x82 => {
            let len = u16::from_be_bytes([der[2], der[3]]) - gone;
            der[2..4].copy_from_slice(&len.to_be_bytes());
        }
        short => der[1] = short - gone as u8,
    }
}

/// The entry lives no longer than OpenSSL would use the session.
#[test]
fn insert_takes_the_sessions_own_timeout() {
    let elsewhere = cache_with_lifetime(Duration::from_secs(50));
    let cache = cache();
    let ctx = context(&server(&cache), None).unwrap();
    let (_, id) = visit(&elsewhere, &server(&elsewhere), TLS1_3);
    let object = session_get(&elsewhere, &ctx, &id).unwrap();
    assert!(session_insert(&cache, &ctx, &object).unwrap().is_stored());
    let id = shmtls::SessionId::new(&id).unwrap();
    let left = cache.get_session(&ctx, &id).unwrap().expiry().remaining().as_secs();
    assert!((48..=50).contains(&left), "{left} s");
}

#[test]
fn remove_says_whether_it_was_there() {
    let cache = cache();
    let server = server(&cache);
    let ctx = context(&server, None).unwrap();
    let (session, id) = visit(&cache, &server, TLS1_2);
    assert_eq!(session_remove(&cache, &Context::named("other"), &id), Ok(false));
    assert_eq!(session_remove(&cache, &ctx, &id), Ok(true));
    assert_eq!(session_remove(&cache, &ctx, &id), Ok(false));
    assert_eq!(session_remove(&cache, &ctx, &[7; 33]), Ok(false));
    assert!(!Client::new(TLS1_2).session(&session).visit(&server).reused);
}

/// Hooks hear of both, and can tell a handshake from a plugin.
#[test]
fn hooks_know_the_origin() {
    let cache = cache();
    let origins = Arc::new(Mutex::new(Vec::new()));
    let seen = origins.clone();
    cache.hook(move |event| seen.lock().unwrap().push((event.origin, event.kind)));
    let server = server(&cache);
    let ctx = context(&server, None).unwrap();
    let (_, id) = visit(&cache, &server, TLS1_3);
    session_remove(&cache, &ctx, &id).unwrap();
    let origins = origins.lock().unwrap();
    assert_eq!(origins[0], (Origin::Handshake, EventKind::New(Stored::Stored)));
    assert_eq!(origins[1].0, Origin::Api);
    assert_eq!(origins.len(), 2);
}
