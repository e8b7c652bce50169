//! Which keys follow which, over long times that pass in no time.

use std::time::SystemTime;

use super::*;
use crate::key_file::KeyFormat;
use crate::keyring::KeySource;
use crate::ticket_key::{KeyRole, KeySet};

fn ring(keys: Vec<TicketKey>) -> Ring {
    Ring {
        epoch: 1,
        keys: KeySet::trusted(keys),
        source: KeySource::Rotation,
        published_secs: now_secs(),
        published_uptime_ms: uptime_ms(),
        writer_pid: 1,
    }
}

fn key(n: u8) -> TicketKey {
    TicketKey::aes256([n; 16], &[n; 32], &[n; 32]).expect("no zeroes")
}

fn every_secs(secs: u64) -> Rotation {
    Rotation::every(Duration::from_secs(secs))
}

/// Half a second of delay was no delay at all, and a minute could be 59 seconds: whole seconds were
/// cut off the delay and off the time.
#[test]
fn a_new_key_is_known_for_the_whole_activation_delay_before_it_encrypts() {
    for millis in [1, 50, 500, 999, 1000, 1001, 59_999, 60_000] {
        let delay = Duration::from_millis(millis);
        let rotation = every_secs(3600).activation_delay(delay);
        let published = SystemTime::now();
        let keys = rotation.next_keys(Some(&ring(vec![key(1)])), now_secs()).expect("keys");
        let starts = Duration::from_secs(keys[0].not_before.unix_secs().into());
        let known = (SystemTime::UNIX_EPOCH + starts).duration_since(published).expect("later");
        assert!(known >= delay, "{millis} ms: {known:?}");
        assert!(known <= delay + Duration::from_millis(2100), "{millis} ms: {known:?}");
    }
}

#[test]
fn without_a_delay_a_new_key_encrypts_at_once() {
    let now = now_secs();
    let keys = every_secs(60).activation_delay(Duration::ZERO);
    let keys = keys.next_keys(Some(&ring(vec![key(1)])), now).expect("keys");
    assert_eq!(
        KeySet::trusted(keys).roles(now).next().map(|(_, role)| role),
        Some(KeyRole::Current)
    );
}

/// Every ticket resumes for its whole lifetime, whenever it was issued.
#[test]
fn a_key_outlives_the_last_ticket_that_it_has_encrypted() {
    let (interval, lifetime) = (50, 600);
    let rotation = every_secs(interval)
        .activation_delay(Duration::from_secs(20))
        .ticket_lifetime(Duration::from_secs(lifetime));
    let mut keys = rotation.next_keys(None, now_secs()).expect("keys");
    let start = now_secs();
    let mut last_use = std::collections::HashMap::new();
    for now in (start..).take(5000) {
        if u64::from(now - start) % interval == interval - 1 {
            keys = rotation.next_keys(Some(&ring(keys)), now).expect("keys");
        }
        let set = KeySet::trusted(keys.clone());
        last_use.insert(set.encrypting(now).expect("one encrypts").name, now);
        for (name, used) in &last_use {
            let ticket_is_alive = now <= used + lifetime as u32;
            let decrypts = set.decrypting(name, now).is_some();
            assert!(decrypts || !ticket_is_alive, "a ticket of {used} is lost at {now}");
            assert!(!decrypts || now < used + lifetime as u32 + 60, "a key of {used} at {now}");
        }
    }
    assert!(last_use.len() >= 95, "{} keys took their turn", last_use.len());
}

/// With the keys of a HAProxy file in the ring every rotation failed: its last line has yet to
/// start, and was given an end before that.
#[test]
fn the_keys_of_a_haproxy_file_can_be_rotated() {
    use base64::Engine;
    let line = |n: u8| base64::engine::general_purpose::STANDARD.encode([n; 48]) + "\n";
    let file: String = (1..=3).map(line).collect();
    let mut keys = KeyFormat::Haproxy48.parse(file.as_bytes()).expect("a valid file");
    for round in 0..5_u32 {
        let now = now_secs() + round * 600;
        keys = every_secs(600).next_keys(Some(&ring(keys)), now).expect("keys");
        let set = KeySet::new(keys.clone()).expect("a valid ring");
        assert!(set.decrypting(&[3; 16], now).is_some(), "other machines encrypt with it");
        assert!(set.decrypting(&[2; 16], now).is_some(), "its tickets are alive");
        assert_eq!(set.encrypting(now).map(|key| key.name == [2; 16]), Some(round == 0));
    }
}

/// The battery of a machine's clock was empty: at boot it was last year. All keys were yet to
/// start, so no ticket was issued, and no ring without a key that encrypts may be published.
#[test]
fn rotation_goes_on_after_the_clock_was_set_back() {
    let (now, year) = (now_secs(), 365 * 24 * 3600);
    let times = |n: u8, from: u32| key(n).not_before(Expiry::from_unix(from));
    let before = ring(vec![times(2, now + year), times(1, now + year - 600)]);
    let keys = every_secs(600).next_keys(Some(&before), now).expect("keys");
    let set = KeySet::new(keys).expect("a valid ring");
    assert_eq!(set.encrypting(now).map(|key| key.name), Some(set.keys()[0].name));
}

/// With a delay longer than the interval the ring filled with keys that had yet to start, and the
/// one that encrypted fell out of it.
#[test]
fn the_key_that_encrypts_stays_however_the_rotation_was_asked_for() {
    for (interval_ms, delay_ms) in [(100, 50), (100, 0), (1000, 60_000), (1000, 1000), (3000, 500)]
    {
        let interval = Duration::from_millis(interval_ms);
        let rotation = Rotation::every(interval).activation_delay(Duration::from_millis(delay_ms));
        let start = now_secs();
        let mut keys = rotation.next_keys(None, start).expect("keys");
        let mut encrypts = keys[0].name;
        for round in 1..500 {
            let now = start + (interval * round).as_secs() as u32;
            let set = KeySet::trusted(keys);
            encrypts = set.encrypting(now).map_or(encrypts, |key| key.name);
            keys = rotation.next_keys(Some(&ring(set.keys().to_vec())), now).expect("keys");
            assert!(keys.len() <= MAX_KEYS);
            let set = KeySet::trusted(keys.clone());
            let current = set.encrypting(now).map(|key| key.name);
            let is_at_once = delay_ms == 0 && current == Some(keys[0].name);
            assert!(is_at_once || current == Some(encrypts), "{interval:?}, round {round}");
        }
    }
}

/// As above, with a ring that somebody filled by hand.
#[test]
fn room_is_made_where_nobody_misses_it() {
    let now = now_secs();
    let later = |n: u8| key(n).not_before(Expiry::from_unix(now + 1000 + u32::from(n)));
    let mut keys: Vec<TicketKey> = (1..MAX_KEYS as u8).rev().map(later).collect();
    keys.push(key(99));
    let keys = every_secs(600).next_keys(Some(&ring(keys)), now).expect("keys");
    assert_eq!(keys.len(), MAX_KEYS);
    let set = KeySet::new(keys).expect("a valid ring");
    assert_eq!(set.encrypting(now).map(|key| key.name), Some([99; 16]));
}

/// A ticket key may be used for its lifetime even if somebody had given it less time than that.
#[test]
fn an_end_that_was_set_before_is_never_put_off() {
    let now = now_secs();
    let ends = Expiry::from_unix(now + 10);
    let keys = every_secs(600).next_keys(Some(&ring(vec![key(1).not_after(ends)])), now);
    let keys = keys.expect("keys");
    assert_eq!(keys[1].not_after, ends);
    let gone = every_secs(600).next_keys(Some(&ring(keys)), now + 10).expect("keys");
    assert!(gone.iter().all(|key| key.name != [1; 16]), "an expired key stays in the ring");
}

/// Whether a rotation is due is a matter of uptime.
#[test]
fn a_rotation_is_due_when_the_ring_is_as_old_as_the_interval() {
    let rotation = every_secs(600);
    assert_eq!(rotation.due_in(None), Duration::ZERO);
    let aged = |secs: u64, wall_secs: u32| Ring {
        published_uptime_ms: uptime_ms().saturating_sub(secs * 1000),
        published_secs: wall_secs,
        ..ring(vec![key(1)])
    };
    for wall_secs in [0, now_secs(), u32::MAX] {
        let left = rotation.due_in(Some(&aged(100, wall_secs)));
        assert!(left > Duration::from_secs(498) && left <= Duration::from_secs(500), "{left:?}");
        assert_eq!(rotation.due_in(Some(&aged(600, wall_secs))), Duration::ZERO);
    }
    let future = Ring { published_uptime_ms: u64::MAX, ..ring(vec![key(1)]) };
    assert_eq!(rotation.due_in(Some(&future)), Duration::from_secs(600));
}
