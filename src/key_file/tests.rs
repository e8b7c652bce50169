//! Field orders and the formats' rules, by vectors written down by hand.

use std::time::{Duration, SystemTime};

use super::*;
use crate::session::now_secs;
use crate::ticket_key::KeySet;

/// The bytes `from..from + LEN`.
const fn count<const LEN: usize>(from: u8) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let mut i = 0;
    while i < LEN {
        bytes[i] = from + i as u8;
        i += 1;
    }
    bytes
}

const KEY48: [u8; 48] = count(0);
const KEY80: [u8; 80] = count(0);
/// The same in base64, as `base64` of coreutils says.
const KEY48_LINE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v";
const KEY80_LINE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\
                          MDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xNTk8=";

/// A HAProxy file of three keys of `len` bytes, one of them given.
fn lines(len: usize, at: usize, line: &str) -> String {
    let mut lines: Vec<String> = (1..=3).map(|n| STANDARD.encode(vec![0xc0 + n; len])).collect();
    lines[at] = line.into();
    lines.join("\n") + "\n"
}

/// nginx's 48 bytes read as Apache's give a key of the same name that decrypts nothing.
#[test]
fn every_format_has_its_own_order_of_fields() {
    type Row = (KeyFormat, Vec<u8>, TicketCipher, Vec<u8>, Vec<u8>);
    let c = |from, to| (from..to).collect::<Vec<u8>>();
    let (aes128, aes256) = (TicketCipher::Aes128, TicketCipher::Aes256);
    let rows: [Row; 6] = [
        (KeyFormat::Ats48, KEY48.into(), aes128, c(16, 32), c(32, 48)),
        (KeyFormat::Apache48, KEY48.into(), aes128, c(16, 32), c(32, 48)),
        (KeyFormat::Nginx48, KEY48.into(), aes128, c(32, 48), c(16, 32)),
        (KeyFormat::Nginx80, KEY80.into(), aes256, c(16, 48), c(48, 80)),
        (KeyFormat::Haproxy48, lines(48, 1, KEY48_LINE).into(), aes128, c(32, 48), c(16, 32)),
        (KeyFormat::Haproxy80, lines(80, 1, KEY80_LINE).into(), aes256, c(48, 80), c(16, 48)),
    ];
    for (format, file, cipher, hmac, aes) in rows {
        let keys = format.parse(&file).expect("a valid file");
        let key = keys.iter().find(|key| key.name == count(0)).expect("the key is there");
        assert_eq!(key.cipher, cipher, "{format:?}");
        assert_eq!((key.hmac_key(), key.aes_key()), (&hmac[..], &aes[..]), "{format:?}");
        assert_eq!(format.key_len(), 16 + hmac.len() + aes.len());
    }
}

/// The last line is the next machine's turn, not ours: whoever encrypts with it makes tickets
/// that a HAProxy with yesterday's file cannot read. Its manual has keys rotated by adding lines:
/// we once took all of them, and refused a file from its 33rd day on.
#[test]
fn haproxy_encrypts_with_the_last_line_but_one_and_forgets_all_but_three() {
    for (format, len) in [(KeyFormat::Haproxy48, 48), (KeyFormat::Haproxy80, 80)] {
        for count in [3, 4, 5, 32, 33, 200] {
            let line = |n: u8| STANDARD.encode(vec![n; len]) + "\n";
            let file: String = (1..=count).map(line).collect();
            let keys = format.parse(file.as_bytes()).expect("a valid file");
            let order: Vec<u8> = keys.iter().map(|key| key.name[0]).collect();
            assert_eq!(order, [count, count - 1, count - 2]);
            let set = KeySet::new(keys).expect("a ring");
            let much_later = now_secs() + 50 * 365 * 24 * 3600;
            for now in [now_secs(), much_later] {
                let encrypts = set.encrypting(now).map(|key| key.name[0]);
                assert_eq!(encrypts, Some(count - 1), "{count} lines");
                let decrypts = |n: &u8| set.decrypting(&[*n; 16], now).is_some();
                assert_eq!((1..=count).filter(decrypts).count(), 3, "{count} lines");
            }
        }
    }
}

/// A file that was too long was cut, and then said to have a line that is no base64.
#[test]
fn a_file_that_is_too_long_is_refused_as_such() {
    let path = std::env::temp_dir().join(format!("shmtls-long-keys-{}", std::process::id()));
    let line = STANDARD.encode([7; 80]) + "\n";
    for (lines, fits) in [(FILE_MAX / line.len(), true), (FILE_MAX / line.len() + 1, false)] {
        std::fs::write(&path, line.repeat(lines)).expect("a file");
        let read = KeyFiles::new(KeyFormat::Haproxy80, [&path]).read();
        match read {
            Ok(keys) => assert!(fits && keys.len() == 3),
            Err(error) => assert!(!fits && error_chain(&error).contains("more than 65536 bytes")),
        }
    }
    std::fs::remove_file(&path).expect("it is ours");
    assert!(KeyFiles::new(KeyFormat::Ats48, ["/dev/zero"]).read().is_err());
}

fn error_chain(error: &dyn std::error::Error) -> String {
    format!("{error} {:?}", error.source().map(ToString::to_string))
}

#[test]
fn in_all_other_formats_the_first_key_encrypts() {
    let two = [[7; 48], KEY48].concat();
    let keys = KeyFormat::Ats48.parse(&two).expect("two keys");
    assert_eq!(keys.iter().map(|key| key.name[1]).collect::<Vec<u8>>(), [7, 1]);
    let set = KeySet::new(keys).expect("a ring");
    assert_eq!(set.encrypting(now_secs()).map(|key| key.name), Some([7; 16]));
}

/// Six programs, and no two lengths that tell all of them apart: what does not fit exactly is
/// refused whole, never cut or padded.
#[test]
fn a_wrong_length_is_refused() {
    for (_, format) in KeyFormat::ALL {
        let unit = format.key_len();
        for len in [0, 1, 16, 32, unit - 1, unit + 1, 2 * unit - 1, 2 * unit + 1] {
            if matches!(format, KeyFormat::Haproxy48 | KeyFormat::Haproxy80) {
                let line = if len == 0 { "AA==".into() } else { STANDARD.encode(vec![7; len]) };
                let refused = format.parse(lines(unit, 1, &line).as_bytes());
                let Err(KeyError::Format { line: 2, found, .. }) = refused else {
                    panic!("{format:?}, {len} bytes: {refused:?}");
                };
                assert_eq!(found, format!("{} bytes", len.max(1)));
            } else {
                let refused = format.parse(&vec![7; len]);
                let Err(KeyError::Length { found, unit: told }) = refused else {
                    panic!("{format:?}, {len} bytes: {refused:?}");
                };
                assert_eq!((found, told), (len, unit));
            }
        }
    }
}

/// One file, one key: nginx would ignore the rest, and so would half of a ring be lost unseen.
#[test]
fn only_traffic_server_has_several_keys_in_a_file() {
    let several = [[1; 48], [2; 48], [3; 48]].concat();
    assert_eq!(KeyFormat::Ats48.parse(&several).map(|keys| keys.len()).ok(), Some(3));
    for format in [KeyFormat::Apache48, KeyFormat::Nginx48] {
        assert!(matches!(format.parse(&several), Err(KeyError::Length { found: 144, unit: 48 })));
    }
    let two = [[1; 80], [2; 80]].concat();
    assert!(matches!(KeyFormat::Nginx80.parse(&two), Err(KeyError::Length { found: 160, .. })));
}

/// Editors, `echo` and Windows all leave their marks in text files; none of them is a key.
#[test]
fn line_ends_and_blank_lines_do_not_matter() {
    let file = lines(80, 1, KEY80_LINE);
    let plain = KeyFormat::Haproxy80.parse(file.as_bytes()).expect("a valid file");
    for (what, text) in [
        ("no final newline", file.trim_end().to_owned()),
        ("CRLF", file.replace('\n', "\r\n")),
        ("blank lines", format!("\n\n{}\n \n", file.replace('\n', "\n\n"))),
        ("spaces around", file.replace('\n', " \t\n  ")),
    ] {
        let keys = KeyFormat::Haproxy80.parse(text.as_bytes()).expect(what);
        assert_eq!(keys.len(), 3, "{what}");
        for (found, expected) in keys.iter().zip(&plain) {
            assert_eq!((found.name, found.aes_key()), (expected.name, expected.aes_key()));
        }
    }
}

/// HAProxy knows no comments in these files either, and a key that is skipped without a word is
/// one that other machines encrypt with.
#[test]
fn a_line_that_is_no_key_is_refused_by_its_number() {
    let key = KEY48_LINE;
    for (what, line, number) in [
        ("a comment", "# rotated by cron".to_owned(), 2),
        ("base64 with a hole", key.replacen('A', "!", 1), 2),
        ("base64 of the URL alphabet", STANDARD.encode([0xff; 48]).replace('/', "_"), 2),
        ("base64 cut short", key[..key.len() - 1].to_owned(), 2),
        ("padding amid", format!("{}=={}", &key[..22], &key[24..]), 2),
        ("two keys in a line", format!("{key} {key}"), 2),
        ("bytes that are no text", "\u{fffd}".repeat(20), 2),
    ] {
        let file = lines(48, 0, key).replacen(&STANDARD.encode([0xc2; 48]), &line, 1);
        let refused = KeyFormat::Haproxy48.parse(file.as_bytes());
        let Err(error @ KeyError::Format { line: told, .. }) = refused else {
            panic!("{what}: {refused:?}");
        };
        assert_eq!(told, number, "{what}");
        assert!(!format!("{error} {error:?}").contains(&line), "{what}: the line is repeated");
    }
}

#[test]
fn fewer_lines_than_haproxy_demands_are_refused() {
    let file = lines(48, 1, KEY48_LINE);
    for count in 0..3 {
        let some: String = file.lines().take(count).map(|line| format!("{line}\n")).collect();
        let refused = KeyFormat::Haproxy48.parse(some.as_bytes());
        let Err(KeyError::Format { found, .. }) = refused else { panic!("{count} lines") };
        assert_eq!(found, format!("{count} keys"));
    }
}

/// Keys of zeroes were found in the wild (USENIX Security 2023): anybody can decrypt.
#[test]
fn zeroes_are_refused_in_every_field_of_every_format() {
    for (_, format) in KeyFormat::ALL {
        let half = format.cipher().key_len();
        let orders = if format.is_hmac_first() {
            ["name", "HMAC key", "AES key"]
        } else {
            ["name", "AES key", "HMAC key"]
        };
        let fields = [0..16, 16..16 + half, 16 + half..16 + 2 * half];
        for (range, expected) in fields.into_iter().zip(orders) {
            let mut bytes = vec![0x11; format.key_len()];
            bytes[range.clone()].fill(0);
            let file = match format {
                KeyFormat::Haproxy48 | KeyFormat::Haproxy80 => {
                    lines(format.key_len(), 2, &STANDARD.encode(&bytes)).into_bytes()
                }
                _ => bytes.clone(),
            };
            let refused = format.parse(&file);
            let Err(KeyError::AllZero { part }) = refused else {
                panic!("{format:?} {range:?}: {refused:?}");
            };
            assert_eq!(part, expected, "{format:?}");
            // One bit is enough to be a key: we judge no randomness.
            bytes[range.start] = 1;
            assert!(format.key(&bytes).is_ok());
        }
    }
}

#[test]
fn a_format_is_named_exactly_or_refused_with_all_names() {
    for (name, format) in KeyFormat::ALL {
        assert_eq!(name.parse(), Ok(format));
    }
    for name in ["", "nginx", "NGINX80", "nginx80 ", "haproxy", "48", "auto", "ats80"] {
        let error = name.parse::<KeyFormat>().expect_err(name);
        let text = error.to_string();
        assert!(KeyFormat::ALL.iter().all(|(known, _)| text.contains(known)), "{text}");
        assert_eq!(error.name, name);
    }
}

// ---- files -------------------------------------------------------------------------------------

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn the_keys_of_several_files_come_in_their_order() {
    let dir = dir();
    let paths = [1_u8, 2, 3].map(|n| dir.path().join(format!("{n}.key")));
    for (n, path) in (1..).zip(&paths) {
        fs::write(path, [n; 80]).expect("written");
    }
    let keys = KeyFiles::new(KeyFormat::Nginx80, &paths).read().expect("read");
    assert_eq!(keys.iter().map(|key| key.name[0]).collect::<Vec<u8>>(), [1, 2, 3]);
}

#[test]
fn files_have_changed_until_they_are_read_and_when_they_are_written() {
    let dir = dir();
    let path = dir.path().join("a.key");
    let mut files = KeyFiles::new(KeyFormat::Nginx48, [&path]);
    assert!(matches!(files.read(), Err(KeyError::Io { path: told, .. }) if told == path));
    fs::write(&path, [1; 48]).expect("written");
    assert!(files.have_changed());
    files.read().expect("read");
    assert!(!files.have_changed());
    fs::write(&path, [2; 80]).expect("written");
    assert!(files.have_changed());
    files.read().expect_err("80 bytes are no nginx48");
    assert!(files.have_changed(), "what could not be read has not been seen");
    fs::remove_file(&path).expect("removed");
    assert!(files.have_changed());
}

/// Keys are made at one place and copied with their times (`cp -p`, `rsync -t`), and all have one
/// length: time and length of the new file were those of the old one.
#[test]
fn a_file_put_in_place_of_one_of_the_same_time_and_length_has_changed() {
    let dir = dir();
    let (old, new) = (dir.path().join("a.key"), dir.path().join("a.key.new"));
    let write = |path: &Path, n: u8| {
        fs::write(path, [n; 48]).expect("written");
        let file = fs::File::options().write(true).open(path).expect("there");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("times");
    };
    write(&old, 1);
    let mut files = KeyFiles::new(KeyFormat::Nginx48, [&old]);
    files.read().expect("read");
    write(&new, 2);
    fs::rename(&new, &old).expect("renamed");
    assert!(files.have_changed());
}
