//! Where a key has been it leaves no trace: neither in the segment nor in a process's memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use shmtls::{Cache, TicketKey};

use super::procs::{alone, fork};
use super::raw::{aes, hmac, key, name};
use super::scoreboard::{Barrier, Shared, Zeroed};
use super::segment;

/// Words of a key's secret parts.
const WORDS: usize = 8;

/// What to look for, disguised: the search must not find itself.
struct Needles(Vec<u64>);

const DISGUISE: u64 = 0x5555_5555_5555_5555;

impl Needles {
    fn of(numbers: &[u64]) -> Self {
        let words = numbers.iter().flat_map(|n| {
            let name = name(*n);
            let (hmac, aes) = (hmac(&name), aes(&name));
            let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) ^ DISGUISE;
            let words = [hmac.as_chunks().0, aes.as_chunks().0].concat();
            words.iter().map(word).collect::<Vec<u64>>()
        });
        Self(words.collect())
    }

    /// How many of the words are in the pieces of memory that `pieces` shows, at any place.
    fn count_in(&self, pieces: impl FnOnce(&mut dyn FnMut(&[u8]))) -> usize {
        let mut found = vec![false; self.0.len()];
        // Most places are none by their first byte already.
        let mut begins_one = [false; 256];
        self.0.iter().for_each(|word| begins_one[usize::from((*word ^ DISGUISE) as u8)] = true);
        pieces(&mut |bytes| {
            for at in bytes.windows(8).filter(|at| begins_one[usize::from(at[0])]) {
                let word = u64::from_le_bytes(*at.first_chunk().expect("8 bytes")) ^ DISGUISE;
                if let Some(n) = self.0.iter().position(|needle| *needle == word) {
                    found[n] = true;
                }
            }
        });
        found.iter().filter(|found| **found).count()
    }
}

fn segment_bytes(cache: &Cache) -> Vec<u8> {
    let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
    let mut bytes = vec![0; cache.segment_bytes() as usize];
    file.read_exact_at(&mut bytes, 0).expect("the whole segment");
    bytes
}

/// A stolen key opens every session of its time: those of the past must be nowhere.
#[test]
fn no_key_that_has_left_the_ring_is_anywhere_in_the_segment() {
    let cache = segment();
    let keys = |numbers: std::ops::Range<u64>| numbers.map(key).collect::<Vec<TicketKey>>();
    let mut now = 0..0;
    for (round, next) in [0..1, 1..33, 10..12, 11..13, 40..41, 50..82].into_iter().enumerate() {
        cache.keys().publish(keys(next.clone())).expect("valid");
        let left: Vec<u64> = now.filter(|n| !next.contains(n)).collect();
        let bytes = segment_bytes(&cache);
        assert_eq!(Needles::of(&left).count_in(|look| look(&bytes)), 0, "round {round}");
        let live: Vec<u64> = next.clone().collect();
        assert_eq!(
            Needles::of(&live).count_in(|look| look(&bytes)),
            live.len() * WORDS,
            "the search works"
        );
        now = next;
    }
    // What is refused does not get there in the first place.
    let refused = cache.keys().publish_over(1, keys(200..210), shmtls::KeySource::Api);
    refused.expect_err("stale");
    let refused = [key(300), key(301), key(300)];
    cache.keys().publish(refused.into()).expect_err("a repeated name");
    let bytes = segment_bytes(&cache);
    assert_eq!(Needles::of(&[200, 209, 300, 301]).count_in(|look| look(&bytes)), 0);
}

/// All memory of this process that could hold a secret, in pieces that overlap.
fn own_memory(look: &mut dyn FnMut(&[u8])) {
    const PIECE: usize = 1 << 16;
    let mut piece = vec![0; PIECE];
    let own = piece.as_ptr() as u64..piece.as_ptr() as u64 + PIECE as u64;
    let memory = File::open("/proc/self/mem").expect("our own memory");
    let maps = fs::read_to_string("/proc/self/maps").expect("our own maps");
    // What is shared is the segment, or the tests' own.
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let (from, to) = line.split(' ').next().and_then(|r| r.split_once('-')).expect("a range");
        let address = |hex| u64::from_str_radix(hex, 16).expect("an address");
        let (mut at, end) = (address(from), address(to));
        while at + 8 < end {
            let len = (end - at).min(PIECE as u64) as usize;
            // The buffer itself is no news.
            let overlaps = at < own.end && own.start < at + len as u64;
            if overlaps && at >= own.start {
                at = own.end;
                continue;
            }
            let len = if overlaps { (own.start - at) as usize } else { len };
            if len >= 8 && memory.read_exact_at(&mut piece[..len], at).is_ok() {
                look(&piece[..len]);
            }
            at += (len as u64).saturating_sub(7).max(1);
            if len < PIECE && !overlaps {
                break;
            }
        }
    }
    piece.fill(0);
}

/// Keys that no other test of this process has.
const OLD: [u64; 11] = {
    let mut numbers = [70_000_000; 11];
    let mut i = 0;
    while i < numbers.len() {
        numbers[i] += i as u64;
        i += 1;
    }
    numbers
};

#[repr(C)]
#[derive(Debug)]
struct Board {
    barrier: Barrier,
    needles: [AtomicU64; OLD.len() * WORDS],
    found: [AtomicU64; 3],
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

/// Heartbleed read what lay about in the memory of a process. A key that has left the ring must
/// not lie about there.
#[test]
fn a_process_that_has_refreshed_has_forgotten_the_old_keys() {
    let _turn = alone();
    let (cache, board) = (segment(), Shared::<Board>::new());
    // In a process of its own, because to make the needles leaves the keys lying about.
    let tailor = fork(|| {
        for (to, from) in board.needles.iter().zip(Needles::of(&OLD).0) {
            to.store(from, SeqCst);
        }
    });
    tailor.join();
    // Forked before there was any key: what it knows it has from the segment.
    let reader = fork(|| {
        let needles = Needles(board.needles.iter().map(|word| word.load(SeqCst)).collect());
        board.found[0].store(needles.count_in(own_memory) as u64, SeqCst);
        board.barrier.wait(2);
        board.barrier.wait(2);
        assert_eq!(cache.keys().status().map(|status| status.keys.len()), Some(11));
        board.found[1].store(needles.count_in(own_memory) as u64, SeqCst);
        board.barrier.wait(2);
        board.barrier.wait(2);
        assert_eq!(cache.keys().status().map(|status| status.keys.len()), Some(1));
        board.found[2].store(needles.count_in(own_memory) as u64, SeqCst);
    });
    board.barrier.wait(2);
    cache.keys().publish(OLD.map(key).into()).expect("valid");
    board.barrier.wait(2);
    board.barrier.wait(2);
    cache.keys().publish(vec![key(1)]).expect("valid");
    board.barrier.wait(2);
    reader.join();
    let found = board.found.iter().map(|n| n.load(SeqCst)).collect::<Vec<u64>>();
    assert_eq!(found, [0, (OLD.len() * WORDS) as u64, 0], "before, with the keys, and after them");
}
