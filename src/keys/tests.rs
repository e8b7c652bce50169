//! What an operator is warned of.

use super::*;

const NOW: u32 = 1_000_000;

fn key(n: u8) -> TicketKey {
    TicketKey::aes256([n; 16], &[n; 32], &[n; 32]).expect("no zeroes")
}

fn next(n: u8) -> TicketKey {
    key(n).not_before(Expiry::from_unix(NOW + 60))
}

fn warned(before: &[TicketKey], after: &[TicketKey]) -> Vec<KeyWarning> {
    let before = Ring {
        epoch: 1,
        keys: KeySet::trusted(before.to_vec()),
        source: KeySource::Api,
        published_secs: NOW,
        published_uptime_ms: 0,
        writer_pid: 1,
    };
    warnings(Some(&before), &KeySet::trusted(after.to_vec()), NOW)
}

#[test]
fn an_update_that_costs_no_session_is_not_warned_of() {
    assert_eq!(warnings(None, &KeySet::trusted(vec![key(1)]), NOW), []);
    assert_eq!(warned(&[key(1)], &[key(1)]), []);
    assert_eq!(warned(&[key(1)], &[next(2), key(1)]), []);
    assert_eq!(warned(&[key(2), key(1)], &[key(1), key(2)]), []);
    // What never encrypted, or has expired, may go.
    assert_eq!(warned(&[next(2), key(1)], &[key(1)]), []);
    let expired = key(1).not_after(Expiry::from_unix(NOW));
    assert_eq!(warned(&[key(2), expired], &[key(2)]), []);
}

#[test]
fn an_update_that_drops_tickets_is_warned_of_key_by_key() {
    use KeyWarning::{DropsLiveTickets, NotKnownBefore};
    let [one, two, three] = [1, 2, 3].map(|n| key(n).fingerprint());
    assert_eq!(warned(&[key(2), key(1)], &[key(2)]), [DropsLiveTickets(one)]);
    assert_eq!(warned(&[key(1)], &[key(2), key(1)]), [NotKnownBefore(two)]);
    let all = [DropsLiveTickets(two), DropsLiveTickets(one), NotKnownBefore(three)];
    assert_eq!(warned(&[key(2), key(1)], &[key(3)]), all);
}

/// A file in nginx's order read as Apache's, then corrected: the names are those of before, and
/// no ticket decrypts any more.
#[test]
fn another_key_under_a_known_name_is_another_key() {
    use KeyWarning::{DropsLiveTickets, NotKnownBefore};
    let swapped = TicketKey::aes256([1; 16], &[2; 32], &[1; 32]).expect("no zeroes");
    let one = key(1).fingerprint();
    assert_eq!(warned(&[key(1)], &[swapped]), [DropsLiveTickets(one), NotKnownBefore(one)]);
}
