//! The ring in private memory: a death at every step, torn and forged copies.

use std::collections::BTreeSet;

use super::*;
use crate::step::countdown::die_after;

const SEED: u64 = 42;

/// A ring's region that behaves as if it were shared.
struct Lab(Box<KeyRegion>);

impl Lab {
    /// Two updates old: keys 1 and 2 came first, then 3 and 2.
    fn new() -> Self {
        let zeroes = || [const { AtomicU64::new(0) }; KEY_COPY_WORDS];
        let lab = Self(Box::new(KeyRegion {
            epoch: 0.into(),
            lock: 0.into(),
            reserved_lock: 0.into(),
            reserved_epoch: [const { AtomicU64::new(0) }; 14],
            copies: [zeroes(), zeroes()],
            reserved: [const { AtomicU64::new(0) }; 464],
        }));
        assert_eq!(lab.publish(&[1, 2]).ok(), Some(1));
        assert_eq!(lab.publish(&[3, 2]).ok(), Some(2));
        lab
    }

    fn publish(&self, numbers: &[u8]) -> Result<u64, KeyError> {
        let staged = stage(epoch(&self.0) + 1, numbers);
        RingWriter::lock(&self.0)?.publish(&staged)
    }

    /// What the kernel does for a thread that died as the lock's owner. In these tests the dead
    /// thread goes on, and its guard has released the lock.
    fn mark_owner_dead(&self) {
        self.0.lock.store(OWNER_DIED, Relaxed);
    }

    /// What a process does that uses the ring.
    fn read(&self) -> Ring {
        settle_after_death(&self.0, || true);
        read(&self.0, SEED).expect("readable").expect("published")
    }

    /// Which keys have bytes anywhere in the region.
    fn keys_in_memory(&self) -> Vec<u8> {
        let words = self.0.copies.as_flattened();
        let owners = words.iter().filter_map(|word| owner(word.load(Relaxed).to_ne_bytes()));
        owners.collect::<BTreeSet<u8>>().into_iter().collect()
    }

    fn raw(&self) -> Vec<u64> {
        self.0.copies.as_flattened().iter().map(|word| word.load(Relaxed)).collect()
    }
}

/// A key of which every word tells whose it is.
fn key(n: u8) -> TicketKey {
    TicketKey::aes256(part(n, 1), &part(n, 2), &part(n, 3)).expect("no zeroes")
}

fn part<const LEN: usize>(n: u8, kind: u8) -> [u8; LEN] {
    std::array::from_fn(|i| [n, !n, kind, 0x50 | (i / WORD) as u8][i % 4])
}

/// Whose key a word is of.
fn owner(word: [u8; WORD]) -> Option<u8> {
    let [n, not_n, kind, at, ..] = word;
    let again = [n, !n, kind, at, n, !n, kind, at];
    (word == again && not_n == !n && (1..=3).contains(&kind) && at >> 4 == 5).then_some(n)
}

/// The ring of an epoch.
fn stage(epoch: u64, numbers: &[u8]) -> Staged {
    stage_over(epoch - 1, numbers)
}

fn stage_over(base: u64, numbers: &[u8]) -> Staged {
    let keys = KeySet::new(numbers.iter().map(|n| key(*n)).collect()).expect("valid keys");
    Staged::new(base, &keys, KeySource::Api, SEED)
}

/// The numbers of a ring's keys, each of which is all of one piece.
fn numbers(ring: &Ring) -> Vec<u8> {
    let number = |found: &TicketKey| {
        let whole = key(found.name[0]);
        assert_eq!(
            (found.name, found.hmac_key(), found.aes_key(), found.cipher),
            (whole.name, whole.hmac_key(), whole.aes_key(), TicketCipher::Aes256),
            "a key of several keys' bytes"
        );
        found.name[0]
    };
    ring.keys.keys().iter().map(number).collect()
}

/// httpd and HAProxy write keys in place: killed in the midst, every worker decrypts with half of
/// one key and half of another until the next restart.
#[test]
fn a_death_at_any_step_of_an_update_leaves_the_old_ring_or_the_new_and_no_retired_key() {
    let mut epochs = [0; 4];
    for steps in 0.. {
        let lab = Lab::new();
        let finished = die_after(steps, || lab.publish(&[4, 3])).is_some();
        if !finished {
            lab.mark_owner_dead();
        }
        // The survivor may die too, while it clears up.
        if steps % 3 == 0 && die_after(steps * 7 % 1500, || lab.read()).is_none() {
            lab.mark_owner_dead();
        }
        let ring = lab.read();
        let expected = if ring.epoch == 2 { vec![3, 2] } else { vec![4, 3] };
        assert_eq!(numbers(&ring), expected, "epoch {} after {steps} steps", ring.epoch);
        assert!(!finished || ring.epoch == 3);
        assert_eq!(lab.0.lock.load(Relaxed), 0, "after {steps} steps");
        let mut live = expected;
        live.sort_unstable();
        assert_eq!(lab.keys_in_memory(), live, "after {steps} steps");
        epochs[ring.epoch as usize] += 1;
        if finished {
            break;
        }
    }
    assert!(epochs[2] > KEY_COPY_WORDS && epochs[3] > KEY_COPY_WORDS, "{epochs:?}");
}

/// As above, and the next to come is not a reader but another writer.
#[test]
fn after_a_death_at_any_step_the_next_update_counts_on_from_where_the_ring_is() {
    for steps in (0..).step_by(5) {
        let lab = Lab::new();
        let finished = die_after(steps, || lab.publish(&[4, 3])).is_some();
        if !finished {
            lab.mark_owner_dead();
        }
        let before = epoch(&lab.0);
        assert!(before == 2 || before == 3);
        assert_eq!(lab.publish(&[5]).ok(), Some(before + 1));
        assert_eq!((numbers(&lab.read()), lab.keys_in_memory()), (vec![5], vec![5]));
        if finished {
            break;
        }
    }
}

/// A reader in a handshake once waited half a second for the lock, because a writer had died and
/// another was stopped by a debugger while it cleared up.
#[test]
fn a_reader_does_not_wait_for_whoever_clears_up() {
    let lab = Lab::new();
    // Process 1 is always there.
    lab.0.lock.store(1 | OWNER_DIED, Relaxed);
    let start = std::time::Instant::now();
    assert_eq!(numbers(&lab.read()), [3, 2]);
    assert!(start.elapsed() < PATIENCE.deadline, "{:?}", start.elapsed());
}

#[test]
fn an_update_made_for_another_epoch_is_refused_and_changes_nothing() {
    let lab = Lab::new();
    let before = lab.raw();
    for base in [0, 1, 3, u64::MAX - 1, u64::MAX] {
        let refused = RingWriter::lock(&lab.0).and_then(|w| w.publish(&stage_over(base, &[9])));
        let Err(KeyError::Stale { found: 2, expected: told }) = refused else {
            panic!("over epoch {base}: {refused:?}");
        };
        assert_eq!(told, base);
        assert_eq!((lab.raw(), epoch(&lab.0)), (before.clone(), 2));
    }
}

/// The last epoch can only be the work of a vandal. The update after it once had epoch 0, which
/// says that there are no keys.
#[test]
fn an_update_after_the_last_epoch_of_all_counts() {
    let lab = Lab::new();
    lab.0.epoch.store(u64::MAX, Relaxed);
    assert_eq!(read(&lab.0, SEED).err(), Some(Unreadable));
    let staged = stage_over(u64::MAX, &[9]);
    let published = RingWriter::lock(&lab.0).and_then(|writer| writer.publish(&staged));
    assert_eq!(published.ok(), Some(2));
    assert_eq!(numbers(&lab.read()), [9]);
}

fn live_copy(lab: &Lab) -> Vec<u8> {
    copy_out(copy_of(&lab.0, epoch(&lab.0))).to_vec()
}

/// Puts the right check in front of bytes that no writer made.
fn forge(mut bytes: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut bytes);
    let check = hash::wide_check(SEED, &bytes[WORD..]);
    bytes[..WORD].copy_from_slice(&check.to_ne_bytes());
    bytes
}

#[test]
fn a_torn_copy_is_refused() {
    let lab = Lab::new();
    let bytes = live_copy(&lab);
    assert!(decode(&bytes, 2, SEED).is_some());
    for at in 0..bytes.len() {
        let mut torn = bytes.clone();
        torn[at] ^= 1 << (at % 8);
        assert!(decode(&torn, 2, SEED).is_none(), "byte {at}");
    }
    let other = stage(2, &[7, 8]).bytes.to_vec();
    for at in (WORD..HEAD_WORDS * WORD + 2 * KEY_WORDS * WORD).step_by(WORD) {
        let mixed = [&bytes[..at], &other[at..]].concat();
        let is_one_of_them = mixed == bytes || mixed == other;
        assert!(is_one_of_them || decode(&mixed, 2, SEED).is_none(), "two rings, cut at {at}");
    }
    assert!(decode(&bytes[..bytes.len() - WORD], 2, SEED).is_none());
    assert!(decode(&[], 2, SEED).is_none());
}

/// An old copy put back in its place has a right check, but not the epoch's number.
#[test]
fn a_replayed_copy_is_refused() {
    let lab = Lab::new();
    let bytes = live_copy(&lab);
    for epoch in [0, 1, 3, 4, u64::MAX] {
        assert!(decode(&bytes, epoch, SEED).is_none(), "epoch {epoch}");
    }
    assert!(decode(&bytes, 2, SEED + 1).is_none(), "another segment's");
}

#[test]
fn a_forged_copy_is_refused_where_it_makes_no_sense() {
    let bytes = live_copy(&Lab::new());
    let set = |word: usize, value: u64| {
        forge(bytes.clone(), |b| b[word * WORD..][..WORD].copy_from_slice(&value.to_ne_bytes()))
    };
    let key_at = |i: usize| HEAD_WORDS + i * KEY_WORDS;
    assert!(decode(&set(2, 7), 2, SEED).is_some(), "the forgery itself works");
    for (what, forged) in [
        ("no keys", set(4, 1 << 32)),
        ("more keys than there are", set(4, 3 | 1 << 32)),
        ("more keys than fit", set(4, 33 | 1 << 32)),
        ("as many keys as can be said", set(4, 0xffff_ffff | 1 << 32)),
        ("no source", set(4, 2)),
        ("an unknown source", set(4, 2 | 5 << 32)),
        ("no cipher", set(key_at(1) + 12, 0)),
        ("an unknown cipher", set(key_at(1) + 12, 3)),
        (
            "an AES key of zeroes",
            forge(bytes.clone(), |b| b[(key_at(0) + 6) * WORD..][..32].fill(0)),
        ),
    ] {
        assert!(decode(&forged, 2, SEED).is_none(), "{what}");
    }
}

/// What the ring carries, a reader gets: nothing is lost or swapped on the way.
#[test]
fn a_ring_of_every_kind_of_key_comes_back_as_it_went() {
    let times = |key: TicketKey, from: u32, to: u32| {
        key.not_before(Expiry::from_unix(from)).not_after(Expiry::from_unix(to))
    };
    let mut keys = vec![
        times(key(1), u32::MAX - 1, u32::MAX),
        times(TicketKey::aes128([2; 16], &[3; 16], &[4; 16]).expect("valid"), 5, u32::MAX - 7),
    ];
    keys.extend((2..MAX_KEYS as u8).map(|n| key(n + 10)));
    let set = KeySet::new(keys.clone()).expect("valid keys");
    for source in [KeySource::Api, KeySource::File, KeySource::Rotation, KeySource::Remote] {
        let staged = Staged::new(76, &set, source, SEED);
        let ring = decode(&staged.bytes, 77, SEED).expect("whole");
        assert_eq!((ring.epoch, ring.source, ring.writer_pid), (77, source, std::process::id()));
        assert!(ring.published_secs.abs_diff(now_secs()) < 5);
        assert!(uptime_ms() - ring.published_uptime_ms < 5000);
        assert_eq!(ring.keys.keys().len(), MAX_KEYS);
        for (found, sent) in ring.keys.keys().iter().zip(&keys) {
            assert_eq!(
                (found.name, found.cipher, found.not_before, found.not_after),
                (sent.name, sent.cipher, sent.not_before, sent.not_after)
            );
            assert_eq!((found.hmac_key(), found.aes_key()), (sent.hmac_key(), sent.aes_key()));
        }
    }
}
