//! Bad input of every kind: refused by its name, with advice, and the ring is as it was.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use shmtls::{
    Cache, Expiry, KeyError, KeyFiles, KeyFormat, KeySource, MAX_KEYS, Published, TicketKey,
};

use super::raw::{Raw, bytes48, bytes80, key, name};
use super::segment;

type Attempt<'a> = Box<dyn Fn() -> Result<Published, KeyError> + 'a>;

/// Bytes that must be in no message.
const CANARY: [u8; 32] = *b"CANARY<secret>key-material\xfe\xed\xca\xfe\x99!";

fn canary(n: u64) -> TicketKey {
    TicketKey::aes256(name(n), &CANARY, &CANARY).expect("valid")
}

/// A file whose key material is the canary, of this length.
fn canary_file(len: usize) -> Vec<u8> {
    let mut bytes = name(7).to_vec();
    bytes.extend(CANARY.iter().cycle().take(len));
    bytes.truncate(len);
    bytes
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// So many seconds from now.
fn soon(secs: u64) -> Expiry {
    Expiry::after(Duration::from_secs(secs))
}

fn past(secs: u64) -> Expiry {
    Expiry::at(SystemTime::now() - Duration::from_secs(secs))
}

fn zeroed(range: std::ops::Range<usize>) -> Vec<u8> {
    let mut bytes = canary_file(48);
    bytes[range].fill(0);
    bytes
}

fn file_attempts<'a>(cache: &'a Cache, dir: &Path) -> Vec<(&'static str, Attempt<'a>)> {
    let mut attempts: Vec<(&'static str, Attempt<'a>)> = Vec::new();
    let mut number = 0;
    let mut file = |expected, format, contents: &[u8]| {
        number += 1;
        let path = dir.join(number.to_string());
        fs::write(&path, contents).expect("written");
        let load = move || cache.keys().load(&mut KeyFiles::new(format, [&path]));
        attempts.push((expected, Box::new(load)));
    };
    for format in [KeyFormat::Ats48, KeyFormat::Apache48, KeyFormat::Nginx48, KeyFormat::Nginx80] {
        for len in [0, 1, 47, 49, 79, 81] {
            file("Length", format, &canary_file(len));
        }
    }
    file("Length", KeyFormat::Nginx48, &canary_file(80));
    file("Length", KeyFormat::Nginx80, &canary_file(48));
    file("Length", KeyFormat::Nginx80, &canary_file(160));
    file("AllZero", KeyFormat::Nginx80, &[0; 80]);
    file("AllZero", KeyFormat::Nginx48, &zeroed(16..32));
    let line = base64(&canary_file(48));
    let short = base64(&canary_file(47));
    for contents in [
        String::new(),
        line.clone(),
        format!("{line}\n{line}\n"),
        format!("{line}\n{line}\n{short}\n"),
        format!("{line}\n{line}\n{}\n", base64(&canary_file(80))),
        format!("{line}\n{}\n{line}\n", line.replace('A', "*")),
        format!("{line}\nCANARY<secret>\n{line}\n"),
    ] {
        file("Format", KeyFormat::Haproxy48, contents.as_bytes());
    }
    file("Format", KeyFormat::Haproxy80, format!("{line}\n{line}\n{line}\n").as_bytes());
    file("RepeatedName", KeyFormat::Haproxy48, format!("{line}\n{line}\n{line}\n").as_bytes());
    let missing = dir.join("missing");
    let load = move || cache.keys().load(&mut KeyFiles::new(KeyFormat::Ats48, [&missing]));
    attempts.push(("Io", Box::new(load)));
    let a_directory = dir.to_owned();
    let load = move || cache.keys().load(&mut KeyFiles::new(KeyFormat::Ats48, [&a_directory]));
    attempts.push(("Io", Box::new(load)));
    let none: [&Path; 0] = [];
    let load = move || cache.keys().load(&mut KeyFiles::new(KeyFormat::Ats48, none));
    attempts.push(("Count", Box::new(load)));
    attempts
}

fn call_attempts(cache: &Cache) -> Vec<(&'static str, Attempt<'_>)> {
    let update = |bytes: Vec<u8>| -> Attempt<'_> {
        Box::new(move || cache.keys().ticket_key_update(&bytes))
    };
    let publish = |keys: Vec<TicketKey>| -> Attempt<'_> {
        Box::new(move || cache.keys().publish(keys.clone()))
    };
    let over = |epoch: u64| -> Attempt<'_> {
        Box::new(move || cache.keys().publish_over(epoch, vec![canary(9)], KeySource::Remote))
    };
    let many = (0..=MAX_KEYS as u64).map(canary).collect::<Vec<TicketKey>>();
    let many48 = (0..=MAX_KEYS as u64).flat_map(bytes48).collect();
    vec![
        ("Length", update(vec![])),
        ("Length", update(canary_file(47))),
        ("Length", update(canary_file(48 * 3 + 1))),
        ("AllZero", update(vec![0; 48])),
        ("AllZero", update([canary_file(48), vec![0; 48]].concat())),
        ("AllZero", update(zeroed(0..16))),
        ("AllZero", update(zeroed(16..32))),
        ("AllZero", update(zeroed(32..48))),
        ("RepeatedName", update([canary_file(48), bytes48(3), canary_file(48)].concat())),
        ("Count", update(many48)),
        ("Count", publish(vec![])),
        ("Count", publish(many)),
        ("RepeatedName", publish(vec![canary(1), canary(2), canary(1)])),
        ("Expired", publish(vec![canary(1), canary(2).not_after(soon(0))])),
        ("Expired", publish(vec![canary(1), canary(2).not_after(past(100_000))])),
        ("Expired", publish(vec![canary(1), canary(2).not_before(soon(500)).not_after(soon(400))])),
        ("NothingEncrypts", publish(vec![canary(1).not_before(soon(100))])),
        ("Stale", over(0)),
        ("Stale", over(1)),
        ("Stale", over(3)),
        ("Stale", over(u64::MAX)),
    ]
}

/// Updates come from files, scripts and networks: each of these has been seen, and a ring that is
/// half of one is worse than the old one.
#[test]
fn bad_keys_are_refused_by_name_and_change_nothing() {
    let cache = segment();
    let dir = tempfile::tempdir().expect("a directory");
    for n in 1..=2 {
        cache.keys().publish(vec![key(n)]).expect("valid");
    }
    let raw = Raw::of(&cache);
    let before = (raw.bytes(), cache.keys().status());
    let mut told: HashMap<&str, u32> = HashMap::new();
    let attempts = call_attempts(&cache).into_iter().chain(file_attempts(&cache, dir.path()));
    for (index, (expected, attempt)) in attempts.enumerate() {
        let error = attempt().expect_err("it is refused");
        let debug = format!("{error:?}");
        assert!(debug.starts_with(expected), "attempt {index}: expected {expected}, not {debug}");
        assert!(error.hint().len() > 5, "{debug}: no advice");
        assert_says_no_key(&format!("{error} {debug} {error:#?} {}", error.hint()));
        assert_eq!((raw.bytes(), cache.keys().status()), before, "attempt {index}: {debug}");
        *told.entry(expected).or_default() += 1;
    }
    let kinds = ["AllZero", "Count", "Expired", "Format", "Io", "Length", "NothingEncrypts"];
    assert!(kinds.iter().chain(&["RepeatedName", "Stale"]).all(|kind| told.contains_key(kind)));
    // Neither lock nor ring has taken harm.
    assert_eq!(cache.keys().publish(vec![key(3)]).map(|published| published.epoch).ok(), Some(3));
}

fn assert_says_no_key(text: &str) {
    for piece in CANARY.windows(4) {
        let decimal = piece.iter().map(u8::to_string).collect::<Vec<String>>().join(", ");
        let hex = piece.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let escaped = piece.escape_ascii().to_string();
        for shown in [&decimal, &hex, &hex.to_uppercase(), &escaped, &base64(piece)[..5].into()] {
            assert!(!text.contains(shown.as_str()), "{shown:?} in {text}");
        }
    }
}

/// The same file under the wrong name gives keys that decrypt nothing, so a name is never guessed.
#[test]
fn a_format_that_is_not_known_is_refused_with_the_names_of_those_that_are() {
    for name in ["", "nginx", "Nginx80", "raw", "pem", "haproxy64"] {
        let error = name.parse::<KeyFormat>().expect_err("unknown");
        let text = error.to_string();
        assert!(text.contains(&format!("{name:?}")), "{text}");
        assert!(KeyFormat::ALL.iter().all(|(known, _)| text.contains(known)), "{text}");
    }
}

/// What an operator can print shows whose keys they are, and no key.
#[test]
fn status_and_inspector_show_no_key() {
    let cache = segment();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("current");
    fs::write(&path, bytes80(1)).expect("written");
    let mut files = KeyFiles::new(KeyFormat::Nginx80, [&path]);
    cache.keys().load(&mut files).expect("valid");
    let published = cache.keys().publish(vec![canary(1), canary(2)]).expect("valid");
    let inspector = shmtls::Options::new()
        .inspect_fd(cache.fd().try_clone_to_owned().expect("a descriptor"))
        .expect("a segment");
    let said = format!(
        "{:#?} {published:?} {:#?} {:?} {:?} {files:?} {cache:?} {inspector:?} {:?}",
        cache.keys(),
        cache.keys().status(),
        inspector.keys(),
        published.warnings,
        [canary(1), canary(2)],
    );
    assert_says_no_key(&said);
    assert!(said.contains(&canary(1).fingerprint().to_string()), "{said}");
}
