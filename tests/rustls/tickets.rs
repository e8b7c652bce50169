//! Sealed tickets as rustls sees them: who opens them, until when, and what no bytes can do.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sha::sha256;
use openssl::sign::Signer;
use openssl::symm::{Cipher, decrypt_aead};
use proptest::collection::vec;
use proptest::prelude::*;
use rustls::server::ProducesTickets;
use rustls::version::TLS13;
use shmtls::rustls::{Config, Tickets, context};
use shmtls::{Cache, Expiry, TicketKey};

use crate::lab::{Client, VERSIONS, cache, server, server_with};

const SESSION: &[u8] = b"a session";
const LONG: Duration = Duration::from_secs(600);
/// Expiries are whole seconds, so this may be a second less.
const SOON: Duration = Duration::from_secs(3);

fn ticketer_of(cache: &Cache, config: Config) -> Arc<dyn ProducesTickets> {
    server_with(cache, &config.tickets(Tickets::SharedKeys)).ticketer.clone()
}

fn ticketer(cache: &Cache) -> Arc<dyn ProducesTickets> {
    ticketer_of(cache, Config::new("lab"))
}

fn key() -> TicketKey {
    TicketKey::random().unwrap()
}

#[test]
fn one_worker_opens_what_another_has_sealed() {
    let cache = cache();
    let [ours, theirs] = [(); 2].map(|()| ticketer(&cache));
    assert!(ours.enabled());
    for len in [0, 1, 81, 2000, 60_000] {
        let session = vec![9; len];
        let ticket = ours.encrypt(&session).unwrap();
        assert_eq!(ticket.len(), len + 52);
        assert_eq!(theirs.decrypt(&ticket).unwrap(), session);
        assert_eq!(theirs.decrypt(&ticket).unwrap(), session, "as often as it comes");
        assert_ne!(ours.encrypt(&session).unwrap(), ticket, "no nonce comes twice");
    }
    assert_eq!(ours.encrypt(&[9; 65_500]), None, "longer than a ticket can be");
}

#[test]
fn the_first_key_whose_time_has_come_seals_and_all_open() {
    let cache = cache();
    let tickets = ticketer(&cache);
    let [next, current, previous] = [key(), key(), key()];
    let publish = |keys: &[&TicketKey]| {
        cache.keys().publish(keys.iter().map(|key| (*key).clone()).collect()).unwrap();
    };
    publish(&[&previous]);
    let by_previous = tickets.encrypt(SESSION).unwrap();
    publish(&[&current, &previous]);
    let by_current = tickets.encrypt(SESSION).unwrap();
    publish(&[&next]);
    let by_next = tickets.encrypt(SESSION).unwrap();

    let later = next.clone().not_before(Expiry::after(LONG));
    publish(&[&later, &current, &previous]);
    for ticket in [&by_next, &by_current, &by_previous] {
        assert_eq!(tickets.decrypt(ticket).unwrap(), SESSION);
    }
    let name_of = |ticket: &[u8]| ticket[..16].to_vec();
    assert_eq!(name_of(&tickets.encrypt(SESSION).unwrap()), name_of(&by_current));

    publish(&[&next, &current]);
    assert_eq!(tickets.decrypt(&by_previous), None, "its key is gone");
    assert_eq!(tickets.decrypt(&by_current).unwrap(), SESSION);
}

/// Short keys, as ATS and nginx have them in their files.
#[test]
fn keys_of_either_strength_will_do() {
    let cache = cache();
    let tickets = ticketer(&cache);
    let keys = [
        TicketKey::aes128([1; 16], &[2; 16], &[3; 16]),
        TicketKey::aes256([1; 16], &[2; 32], &[3; 32]),
    ];
    let sealed = keys.map(|key| {
        cache.keys().publish(vec![key.unwrap()]).unwrap();
        let ticket = tickets.encrypt(SESSION).unwrap();
        assert_eq!(tickets.decrypt(&ticket).unwrap(), SESSION);
        ticket
    });
    assert_eq!(tickets.decrypt(&sealed[0]), None, "the same name, another key");
}

/// Under one ring OpenSSL's tickets carry the ring's own name.
#[test]
fn another_stack_and_another_host_have_other_names_and_keys() {
    let cache = cache();
    let key = key();
    cache.keys().publish(vec![key.clone()]).unwrap();
    let [open, closed] = ["open", "closed"].map(|name| ticketer_of(&cache, Config::new(name)));
    let [ticket, other] = [&open, &closed].map(|tickets| tickets.encrypt(SESSION).unwrap());
    assert_ne!(ticket[..16], key.name()[..]);
    assert_ne!(ticket[..16], other[..16]);
    assert_eq!((closed.decrypt(&ticket), open.decrypt(&other)), (None, None));
    let renamed = |name: &[u8], ticket: &[u8]| [name, &ticket[16..]].concat();
    assert_eq!(closed.decrypt(&renamed(&other[..16], &ticket)), None);
    assert_eq!(open.decrypt(&renamed(key.name(), &ticket)), None);
}

/// The bytes as `src/rustls/ticket.rs` documents them, opened by another implementation.
#[test]
fn a_ticket_has_the_documented_bytes() {
    let cache = cache();
    let key = TicketKey::aes256(*b"a name: 16 bytes", &[2; 32], &[3; 32]).unwrap();
    cache.keys().publish(vec![key.clone()]).unwrap();
    let ticket = ticketer(&cache).encrypt(SESSION).unwrap();
    let (name, ticket) = ticket.split_at(16);
    let (nonce, ticket) = ticket.split_at(12);
    let (sealed, tag) = ticket.split_at(ticket.len() - 16);

    let context = context(&Config::new("lab"));
    let label = b"shmtls rustls ticket name 1\0";
    let digest = sha256(&[&label[..], context.as_bytes(), key.name()].concat());
    assert_eq!(name, &digest[..16]);
    let prk = hmac(b"shmtls rustls ticket 1", &[[2; 32], [3; 32]].concat());
    let key = hmac(&prk, &[name, &[1]].concat());
    let cipher = Cipher::chacha20_poly1305();
    let plain = decrypt_aead(cipher, &key, Some(nonce), name, sealed, tag).unwrap();
    let (session, issued) = plain.split_last_chunk().unwrap();
    assert_eq!(session, SESSION);
    let now = Expiry::after(Duration::ZERO).unix_secs();
    assert!((now - 20..=now).contains(&(u64::from_be_bytes(*issued) as u32)));
}

fn hmac(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    signer.sign_oneshot_to_vec(bytes).unwrap()
}

#[test]
fn a_ticket_is_over_when_its_lifetime_is() {
    let cache = cache();
    let short = ticketer_of(&cache, Config::new("lab").lifetime(SOON));
    let long = ticketer_of(&cache, Config::new("lab").lifetime(LONG));
    assert_eq!((short.lifetime(), long.lifetime()), (3, 600));
    let ticket = long.encrypt(SESSION).unwrap();
    assert!(short.decrypt(&ticket).is_some());
    thread::sleep(SOON);
    assert_eq!(short.decrypt(&ticket), None, "by the settings of whoever opens it");
    assert_eq!(long.decrypt(&ticket).unwrap(), SESSION);
}

#[test]
fn a_ticket_is_over_when_its_key_is() {
    let cache = cache();
    let tickets = ticketer(&cache);
    let ends = key().not_after(Expiry::after(SOON));
    cache.keys().publish(vec![ends]).unwrap();
    assert!((1..=3).contains(&tickets.lifetime()), "what the client is told");
    let ticket = tickets.encrypt(SESSION).unwrap();
    assert!(tickets.decrypt(&ticket).is_some());
    thread::sleep(SOON);
    assert_eq!((tickets.decrypt(&ticket), tickets.encrypt(SESSION)), (None, None));
    assert_eq!(tickets.lifetime(), 0);
    assert!(tickets.enabled(), "or rustls would accept early data");
}

/// And the connection is a full handshake, without a ticket.
#[test]
fn without_a_live_key_clients_are_served_all_the_same() {
    for version in VERSIONS {
        let cache = cache();
        let worker = server(&cache, Tickets::SharedKeys);
        let client = Client::new(version);
        let ends = key().not_after(Expiry::after(SOON));
        cache.keys().publish(vec![ends]).unwrap();
        client.visit(&worker);
        thread::sleep(SOON);
        assert!(!client.visit(&worker));
        cache.keys().publish(vec![key()]).unwrap();
        assert!(!client.visit(&worker));
        assert!(client.visit(&worker), "{version:?}");
    }
}

#[test]
fn no_forged_ticket_opens() {
    let cache = cache();
    let tickets = ticketer(&cache);
    let ticket = tickets.encrypt(SESSION).unwrap();
    for at in 0..ticket.len() {
        for bit in 0..8 {
            let mut forged = ticket.clone();
            forged[at] ^= 1 << bit;
            assert_eq!(tickets.decrypt(&forged), None, "bit {bit} of byte {at}");
        }
        assert_eq!(tickets.decrypt(&ticket[..at]), None, "cut to {at} bytes");
    }
    assert_eq!(tickets.decrypt(&[&ticket[..], &[0]].concat()), None);
    assert_eq!(tickets.decrypt(&[ticket[..16].to_vec(), vec![0; 65_000]].concat()), None);
}

/// In a handshake it is the same: a client that offers nonsense gets a full handshake.
#[test]
fn a_client_with_nonsense_for_a_ticket_is_served() {
    let cache = cache();
    let client = Client::new(&TLS13);
    client.visit(&server(&cache, Tickets::Stateful)); // its ticket is an ID, and no sealed ticket
    assert!(!client.visit(&server(&cache, Tickets::SharedKeys)));
    let client = Client::new(&TLS13);
    client.visit(&server(&cache, Tickets::SharedKeys)); // longer than any ID
    assert!(!client.visit(&server(&cache, Tickets::Stateful)));
    assert_eq!(cache.stats().misses_invalid_id, 1);
}

proptest! {
    #[test]
    fn no_bytes_panic(tail in vec(any::<u8>(), 0..200), keep in 0_usize..80) {
        let cache = cache();
        let tickets = ticketer(&cache);
        let ticket = tickets.encrypt(SESSION).unwrap();
        let odd = [&ticket[..keep.min(ticket.len())], &tail].concat();
        let opened = tickets.decrypt(&odd);
        prop_assert_eq!(opened.is_some(), odd == ticket);
    }
}
