//! Roles by time, what is refused, and that no output shows a key.

use super::*;

const NOW: u32 = 1_000_000;

fn key(n: u8) -> TicketKey {
    TicketKey::aes256([n; 16], &[n; 32], &[n; 32]).expect("no zeroes")
}

fn at(secs: u32) -> Expiry {
    Expiry::from_unix(secs)
}

/// Roles of a ring at a time, in its order.
fn roles(set: &KeySet, now: u32) -> Vec<KeyRole> {
    set.roles(now).map(|(_, role)| role).collect()
}

/// The life of a key, second by second around its turns.
#[test]
fn a_key_is_next_then_current_then_previous_then_expired() {
    use KeyRole::{Current, Expired, Next, Previous};
    let set = KeySet::trusted(vec![
        key(3).not_before(at(NOW + 10)),
        key(2).not_before(at(NOW)).not_after(at(NOW + 30)),
        key(1).not_after(at(NOW + 20)),
    ]);
    for (now, expected, encrypts) in [
        (NOW - 1, [Next, Next, Current], 1),
        (NOW, [Next, Current, Previous], 2),
        (NOW + 9, [Next, Current, Previous], 2),
        (NOW + 10, [Current, Previous, Previous], 3),
        (NOW + 19, [Current, Previous, Previous], 3),
        (NOW + 20, [Current, Previous, Expired], 3),
        (NOW + 30, [Current, Expired, Expired], 3),
        (u32::MAX - 1, [Current, Expired, Expired], 3),
    ] {
        assert_eq!(roles(&set, now), expected, "at {now}");
        assert_eq!(set.encrypting(now).map(|key| key.name[0]), Some(encrypts), "at {now}");
        for (key, role) in set.roles(now) {
            let decrypts = set.decrypting(&key.name, now).is_some();
            assert_eq!(decrypts, role != Expired, "key {} at {now}", key.name[0]);
        }
    }
}

/// A ring whose clock was set back still decrypts, and encrypts with what it has from before.
#[test]
fn exactly_one_key_is_current_while_any_may_encrypt() {
    for count in 1..=8_u8 {
        for seed in 0..200_u32 {
            let time =
                |salt: u32| NOW + seed.wrapping_mul(2_654_435_761).wrapping_add(salt * 40_503) % 50;
            let keys = (1..=count).map(|n| {
                let from = time(n.into());
                key(n).not_before(at(from)).not_after(at(from + 1 + time(100 + u32::from(n)) % 20))
            });
            let set = KeySet::trusted(keys.collect());
            for now in NOW - 1..NOW + 80 {
                let current = roles(&set, now).iter().filter(|r| **r == KeyRole::Current).count();
                assert_eq!(current, usize::from(set.encrypting(now).is_some()), "at {now}");
                let newer = set.keys().iter().take_while(|key| {
                    Some(key.name) != set.encrypting(now).map(|found| found.name)
                });
                for key in newer {
                    assert!(!key.not_before.passed_at(now) || key.not_after.passed_at(now));
                }
            }
        }
    }
}

#[test]
fn an_unknown_name_decrypts_nothing() {
    let set = KeySet::new(vec![key(1), key(2)]).expect("a ring");
    let mut name = [2; 16];
    assert!(set.decrypting(&name, NOW).is_some());
    name[15] = 3;
    assert!(set.decrypting(&name, NOW).is_none());
}

/// Each rule with the smallest offence, and its neighbour that keeps it.
#[test]
fn a_set_that_cannot_be_a_ring_is_refused() {
    let now = now_secs();
    let numbered = |count: u8| (1..=count).map(key).collect::<Vec<TicketKey>>();
    assert!(matches!(KeySet::new(vec![]), Err(KeyError::Count { found: 0, max: MAX_KEYS })));
    assert!(KeySet::new(numbered(MAX_KEYS as u8)).is_ok());
    let many = KeySet::new(numbered(MAX_KEYS as u8 + 1));
    assert!(matches!(many, Err(KeyError::Count { found: 33, .. })));

    let twice = KeySet::new(vec![key(1), key(2), key(1)]);
    let Err(KeyError::RepeatedName { fingerprint }) = twice else { panic!("{twice:?}") };
    assert_eq!(fingerprint, key(1).fingerprint());

    for (from, to, is_valid) in [
        (0, now + 60, true),
        (0, now, false),
        (0, now - 1, false),
        (0, 0, false),
        (now + 60, now + 61, true),
        (now + 60, now + 60, false),
        (now + 60, now + 59, false),
    ] {
        let set = KeySet::new(vec![key(1), key(2).not_before(at(from)).not_after(at(to))]);
        match set {
            Ok(_) => assert!(is_valid, "{from} to {to}"),
            Err(KeyError::Expired { fingerprint }) => {
                assert!(!is_valid && fingerprint == key(2).fingerprint(), "{from} to {to}");
            }
            Err(other) => panic!("{from} to {to}: {other}"),
        }
    }

    let all_later = vec![key(1).not_before(at(now + 60)), key(2).not_before(at(now + 90))];
    assert!(matches!(KeySet::new(all_later), Err(KeyError::NothingEncrypts)));
}

#[test]
fn zeroes_are_no_key() {
    let (name, half) = ([1; 16], [1; 32]);
    for (key, expected) in [
        (TicketKey::aes256([0; 16], &half, &half), "name"),
        (TicketKey::aes256(name, &[0; 32], &half), "HMAC key"),
        (TicketKey::aes256(name, &half, &[0; 32]), "AES key"),
        (TicketKey::aes128([0; 16], &name, &name), "name"),
        (TicketKey::aes128(name, &[0; 16], &name), "HMAC key"),
        (TicketKey::aes128(name, &name, &[0; 16]), "AES key"),
    ] {
        assert!(matches!(key, Err(KeyError::AllZero { part }) if part == expected), "{expected}");
    }
    let mut nearly = [0; 32];
    nearly[31] = 1;
    assert!(TicketKey::aes256(name, &nearly, &nearly).is_ok());
}

#[test]
fn random_keys_differ_in_every_part() {
    let (one, other) = (TicketKey::random().expect("random"), TicketKey::random().expect("random"));
    assert_ne!(one.name, other.name);
    assert_ne!(one.hmac_key(), other.hmac_key());
    assert_ne!(one.aes_key(), other.aes_key());
    assert_ne!(one.hmac_key(), one.aes_key());
    assert_eq!(one.cipher, TicketCipher::Aes256);
}

/// The ways in which bytes get into a log.
fn notations(bytes: &[u8]) -> Vec<String> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    let hex = |separator: &str, upper: bool| {
        let digits = |byte: &u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        bytes.iter().map(digits).collect::<Vec<String>>().join(separator)
    };
    let list = bytes.iter().map(u8::to_string).collect::<Vec<String>>();
    vec![
        hex("", false),
        hex("", true),
        hex(":", false),
        hex(" ", true),
        hex(", 0x", false),
        list.join(", "),
        list.join(","),
        String::from_utf8_lossy(bytes).into_owned(),
        format!("{bytes:?}").trim_matches(['[', ']']).to_owned(),
        STANDARD.encode(bytes),
        URL_SAFE.encode(bytes),
        bytes.escape_ascii().to_string(),
    ]
}

/// A key was found in a crash report once, because somebody had derived `Debug`.
#[test]
fn no_output_shows_a_key() {
    let secrets = [*b"canary-hmac-0123456789-ABCDEFGH!", *b"canary-aes--0123456789-abcdefgh!"];
    let key = TicketKey::aes256(*b"the-name-is-open", &secrets[0], &secrets[1]).expect("valid");
    let short = TicketKey::aes128(
        *b"the-name-is-also",
        secrets[0].first_chunk().expect("16 bytes"),
        secrets[1].first_chunk().expect("16 bytes"),
    );
    let set = KeySet::new(vec![key.clone(), short.expect("valid")]).expect("a ring");
    let twice = KeySet::new(vec![key.clone(), key.clone()]).expect_err("one name");
    let expired = KeySet::new(vec![key.clone().not_after(at(1))]).expect_err("expired");
    let mut said = format!("{key:?} {key:#?} {set:?} {set:#?}");
    for error in [twice, expired] {
        said += &format!("{error} {error:?} {error:#?} {}", error.hint());
    }
    for secret in secrets {
        // Any four bytes in a row are a leak: even 32 bits make guessing easier.
        for piece in secret.windows(4) {
            for shown in notations(piece) {
                assert!(!said.contains(&shown), "{shown:?} is in {said}");
            }
        }
    }
    assert!(said.contains(&key.fingerprint().to_string()), "{said}");
}

/// A fingerprint is of the name, which is in every ticket; of the key it must tell nothing.
#[test]
fn a_fingerprint_depends_on_the_name_alone() {
    let one = TicketKey::aes256([1; 16], &[2; 32], &[3; 32]).expect("valid");
    let same = TicketKey::aes128([1; 16], &[4; 16], &[5; 16]).expect("valid");
    let other = TicketKey::aes256([2; 16], &[2; 32], &[3; 32]).expect("valid");
    assert_eq!(one.fingerprint(), same.fingerprint());
    assert_ne!(one.fingerprint(), other.fingerprint());
    let text = one.fingerprint().to_string();
    assert_eq!(text.len(), 11);
    assert!(text.split(':').all(|byte| u8::from_str_radix(byte, 16).is_ok() && byte.len() == 2));
}
