//! In core dumps: whoever has had ticket keys, from wherever, has them in none.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shmtls::{KeyFiles, KeyFormat, Rotation};

use super::canary::{Canary, Needles, PIECE, segment_bytes};
use super::play::Play;
use super::procs::{alone, fork};
use super::raw_keys::Raw;
use super::server::eventually;

/// Whoever brings the keys has them in files, in base64, or makes them.
#[test]
fn no_key_is_in_the_core_dump_of_who_published_it() {
    let _turn = alone();
    for (name, format) in KeyFormat::ALL {
        let play = Play::new("publisher");
        let file = play.morgue.file();
        let keys: [Canary; 3] = std::array::from_fn(|_| Canary::new(format.key_len()));
        fork(|| write_keys(&file, format, &keys)).join();
        let dumps = play.crash(name, || {
            let cache = play.create();
            let mut files = KeyFiles::new(format, [&file]);
            cache.keys().load(&mut files).expect("a key file");
            assert!(cache.keys().status().is_some());
            (cache, files)
        });
        let segment = segment_bytes(&play.attach());
        let keys = keys[..count(format)].iter().map(|key| key.with(secrets_of));
        let needles = keys.reduce(Needles::and).expect("a key");
        assert!(needles.found_in(&segment) > 0, "{name}: they were published");
        assert_eq!(dumps.count(&needles), [0, 0], "{name}");
    }
}

/// All but the name. In the segment the two are apart.
fn secrets_of(key: &[u8]) -> Needles {
    let (first, second) = key[16..].split_at((key.len() - 16) / 2);
    Needles::of(first, PIECE).and(Needles::of(second, PIECE))
}

/// Keys in a file of that format.
fn count(format: KeyFormat) -> usize {
    match format {
        KeyFormat::Apache48 | KeyFormat::Nginx48 | KeyFormat::Nginx80 => 1,
        _ => 3,
    }
}

fn write_keys(file: &Path, format: KeyFormat, keys: &[Canary]) {
    let mut bytes = Vec::new();
    for key in &keys[..count(format)] {
        key.with(|key| match format {
            KeyFormat::Haproxy48 | KeyFormat::Haproxy80 => {
                bytes.extend(STANDARD.encode(key).into_bytes());
                bytes.push(b'\n');
            }
            _ => bytes.extend_from_slice(key),
        });
    }
    fs::write(file, bytes).expect("our own directory");
}

/// A slip in the last letter of a line: what was read before it is a key all the same.
#[test]
fn no_key_is_in_the_core_dump_of_who_refused_its_file() {
    let _turn = alone();
    let play = Play::new("refuser");
    let file = play.morgue.file();
    fork(|| {
        write_keys(&file, KeyFormat::Haproxy80, &[play.key, Canary::new(80), Canary::new(80)]);
        let mut text = fs::read(&file).expect("our own file");
        let end = text.iter().position(|byte| *byte == b'\n').expect("a line");
        text[end - 1] = b'*';
        fs::write(&file, text).expect("our own file");
    })
    .join();
    let dumps = play.crash("refuser", || {
        let cache = play.create();
        let mut files = KeyFiles::new(KeyFormat::Haproxy80, [&file]);
        let error = cache.keys().load(&mut files).expect_err("no base64");
        (cache, error)
    });
    play.assert_clean("refuser", &dumps);
}

/// Keys that the library makes itself: nobody knows them, but the segment has them. An update wipes
/// its buffers when it ends, so nobody may be in one: on a full machine one that came each 100 ms was.
#[test]
fn no_key_is_in_the_core_dump_of_who_made_it() {
    let _turn = alone();
    let play = Play::new("rotator");
    let dumps = play.crash("rotator", || {
        let cache = play.create();
        let rotator = cache.rotate_keys(Rotation::every(Duration::from_secs(3600)));
        eventually("the thread's key", || (cache.keys().epoch() >= 1).then_some(()));
        let often = Rotation::every(Duration::from_millis(100));
        eventually("three rotations", || {
            cache.keys().rotate_if_due(&often).expect("a key");
            (cache.keys().epoch() >= 3).then_some(())
        });
        // The epoch counts a moment before the thread is done.
        thread::sleep(Duration::from_millis(500));
        (rotator.expect("a thread"), cache)
    });
    let ring = Raw::of(&play.attach()).ring().expect("a ring");
    assert!(ring.keys.len() >= 3);
    let parts = ring.keys.iter().flat_map(|key| [&key.hmac, &key.aes]);
    let needles = parts.map(|part| Needles::of(part, PIECE)).reduce(Needles::and);
    assert_eq!(dumps.count(&needles.expect("a key")), [0, 0]);
}
