use std::collections::HashSet;
use std::fs;
use std::thread;

use super::*;

fn secret(byte: u8) -> Hidden {
    let mut secret = Hidden::zeroed(CELL_BYTES);
    secret.bytes_mut().fill(byte);
    secret
}

/// A cell that two values had would show one key under another's name.
#[test]
fn no_two_secrets_share_a_cell() {
    let threads: Vec<_> = (1..=8_u8)
        .map(|n| {
            thread::spawn(move || {
                for _ in 0..50 {
                    let secrets: Vec<Hidden> = (0..200).map(|_| secret(n)).collect();
                    let clones = secrets.clone();
                    drop(secrets);
                    assert!(clones.iter().all(|s| s.bytes() == [n; CELL_BYTES]));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("no secret was another's"));
}

/// Rotation makes new keys for ever.
#[test]
fn cells_are_used_again() {
    let mut addresses = HashSet::new();
    for _ in 0..100 {
        let secrets: Vec<Hidden> = (0..500).map(|_| Hidden::zeroed(CELL_BYTES)).collect();
        assert!(secrets.iter().all(|s| s.bytes() == [0; CELL_BYTES]), "it holds what it held");
        addresses.extend(secrets.iter().map(|s| s.bytes().as_ptr() as usize));
        secrets.into_iter().for_each(|mut secret| secret.bytes_mut().fill(9));
    }
    // Other tests use cells at the same time.
    assert!(addresses.len() < 10_000, "{} cells for 500 secrets", addresses.len());
}

/// The kernel's own word for it, for the page of this very secret.
#[test]
fn a_secret_is_in_no_core_dump() {
    let secret = secret(7);
    let address = secret.bytes().as_ptr() as u64;
    let smaps = fs::read_to_string("/proc/self/smaps").expect("our own maps");
    let mut inside = false;
    for line in smaps.lines() {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let hex = |number| u64::from_str_radix(number, 16).ok();
        if let Some((Some(from), Some(to))) = range.map(|(from, to)| (hex(from), hex(to))) {
            inside = (from..to).contains(&address);
        }
        if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
            assert!(flags.split(' ').any(|flag| flag == "dd"), "{flags}");
            return;
        }
    }
    panic!("no mapping has the secret");
}
