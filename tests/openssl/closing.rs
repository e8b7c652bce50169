//! How a connection ends decides whether its sessions live on: a fatal alert removes them
//! (RFC 5246, section 7.2.2), anything else does not. OpenSSL's remove callback would remove them
//! after every connection that ends without close_notify, and the next visits would all be full
//! handshakes: 0 of 19 instead of 19 of 19.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use openssl::ssl::SslVersion;

use crate::tls_lab::{Client, TLS1_2, TLS1_3, VERSIONS, Visit, cache, server};

#[test]
fn an_unclean_close_keeps_the_session() {
    for version in VERSIONS {
        let cache = cache();
        let workers = [server(&cache), server(&cache)];
        let mut session = Client::new(version).visit(&workers[0]).session();
        let mut resumed = 0;
        for worker in workers.iter().cycle().take(19) {
            let visit = Client::new(version).session(&session).visit(worker);
            resumed += usize::from(visit.reused);
            session = visit.session();
            drop(visit); // no close_notify from either end
        }
        assert_eq!(resumed, 19, "{version:?}");
        assert_eq!(cache.stats().removed, 0);
    }
}

/// The end of a worker frees its contexts; with an internal cache that is the end of its sessions.
#[test]
fn a_worker_that_exits_keeps_its_sessions() {
    for version in VERSIONS {
        let cache = cache();
        let worker = server(&cache);
        let session = Client::new(version).visit(&worker).close();
        drop(worker);
        assert!(Client::new(version).session(&session).visit(&server(&cache)).reused);
    }
}

#[test]
fn a_fatal_alert_that_is_sent_removes_the_session() {
    for version in VERSIONS {
        after_a_fatal_alert(version, |visit| {
            visit.client.write_all(b"spoil me").unwrap();
            *visit.wire.to_server.borrow_mut().back_mut().unwrap() ^= 1;
            visit.server.read_exact(&mut [0]).expect_err("a record with a bad MAC");
        });
    }
}

#[test]
fn a_fatal_alert_that_is_received_removes_the_session() {
    for version in VERSIONS {
        after_a_fatal_alert(version, |visit| {
            visit.server.write_all(b"spoil me").unwrap();
            *visit.wire.to_client.borrow_mut().back_mut().unwrap() ^= 1;
            visit.client.read_exact(&mut [0]).expect_err("a record with a bad MAC");
            visit.server.read_exact(&mut [0]).expect_err("a fatal alert");
        });
    }
}

/// On a first and on a resumed connection: `go_wrong`, then a visit that must not resume.
fn after_a_fatal_alert(version: SslVersion, go_wrong: impl Fn(&mut Visit)) {
    let cache = cache();
    let workers = [server(&cache), server(&cache)];

    let mut visit = Client::new(version).visit(&workers[0]);
    let session = visit.session();
    go_wrong(&mut visit);
    assert!(cache.is_empty(), "{version:?}");
    assert!(!Client::new(version).session(&session).visit(&workers[1]).reused);

    let session = Client::new(version).visit(&workers[0]).close();
    let mut visit = Client::new(version).session(&session).visit(&workers[1]);
    assert!(visit.reused);
    let session = visit.session();
    assert_eq!(cache.len(), 2, "this one and the one above");
    go_wrong(&mut visit);
    assert_eq!(cache.len(), 1, "{version:?}, resumed");
    assert!(!Client::new(version).session(&session).visit(&workers[0]).reused);
}

/// Others' sessions are nobody's business but theirs.
#[test]
fn a_fatal_alert_removes_no_other_session() {
    let cache = cache();
    let server = server(&cache);
    let bystander = Client::new(TLS1_3).visit(&server).close();
    let mut visit = Client::new(TLS1_3).visit(&server);
    visit.client.write_all(b"spoil me").unwrap();
    *visit.wire.to_server.borrow_mut().back_mut().unwrap() ^= 1;
    visit.server.read_exact(&mut [0]).unwrap_err();
    assert_eq!(cache.stats().removed, 1);
    assert!(Client::new(TLS1_3).session(&bystander).visit(&server).reused);
}

/// A client that cannot verify the server says so after OpenSSL has found its TLS 1.2 session, in
/// the middle of the handshake.
#[test]
fn a_handshake_that_fails_after_the_lookup_removes_the_session() {
    let cache = cache();
    let server = server(&cache);
    let session = Client::new(TLS1_2).visit(&server).close();
    let mut visit = Client::new(TLS1_2).session(&session).start(&server);
    visit.first_flights();
    *visit.wire.to_client.borrow_mut().back_mut().unwrap() ^= 1; // the server's Finished
    visit.run().unwrap_err();
    let _ = visit.server.accept(); // reads the alert
    assert!(cache.is_empty());
    assert!(!Client::new(TLS1_2).session(&session).visit(&server).reused);
}

static ALERTS_SEEN: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

/// The adapter hears of alerts through the connection's info callback; an application that has one
/// itself, on the context or on the connection, goes on hearing everything.
#[test]
fn the_applications_own_info_callback_still_runs() {
    use foreign_types::ForeignTypeRef;
    use openssl_sys::{SSL, SSL_CTX};
    use std::ffi::c_int;

    type Info = extern "C" fn(*const SSL, c_int, c_int);
    unsafe extern "C" {
        fn SSL_CTX_set_info_callback(ctx: *mut SSL_CTX, callback: Info);
        fn SSL_set_info_callback(ssl: *mut SSL, callback: Info);
    }
    extern "C" fn seen<const WHO: usize>(_: *const SSL, kind: c_int, _: c_int) {
        if kind & 0x4000 != 0 {
            ALERTS_SEEN[WHO].fetch_add(1, Ordering::Relaxed);
        }
    }

    for version in VERSIONS {
        let cache = cache();
        let server = server(&cache);
        // SAFETY: the context is live, and no connection uses it yet.
        unsafe { SSL_CTX_set_info_callback(server.as_ptr(), seen::<0>) };

        for own in [false, true] {
            let before = ALERTS_SEEN.each_ref().map(|count| count.load(Ordering::Relaxed));
            let mut visit = Client::new(version).start(&server);
            if own {
                // SAFETY: the connection is live, and idle.
                unsafe { SSL_set_info_callback(visit.server.ssl().as_ptr(), seen::<1>) };
            }
            visit.run().unwrap();
            assert_eq!(cache.len(), 1);
            visit.client.write_all(b"spoil me").unwrap();
            *visit.wire.to_server.borrow_mut().back_mut().unwrap() ^= 1;
            visit.server.read_exact(&mut [0]).unwrap_err();
            assert!(cache.is_empty(), "the adapter heard of it");
            let after = ALERTS_SEEN.each_ref().map(|count| count.load(Ordering::Relaxed));
            assert_eq!(after[0] - before[0], usize::from(!own), "{version:?}");
            assert_eq!(after[1] - before[1], usize::from(own), "{version:?}");
        }
    }
}
