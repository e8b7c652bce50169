use super::super::room::{expired, too_large, too_small};
use super::*;

fn missed_for_want_of_room(gain: u64) -> impl FnOnce(&mut Picture) {
    move |it| {
        (it.stats.misses_evicted, it.stats.hits_at_twice_the_size) = (gain, gain);
        it.stats.misses_absent = 1_000_u64.saturating_sub(gain);
        (it.stats.evicted, it.stats.evicted_age_secs) = (5_000, 5_000 * 61);
    }
}

#[test]
fn a_segment_that_is_too_small() {
    for (gain, expected) in
        [(900, Problem), (500, Problem), (499, Advice), (100, Advice), (99, Fine), (0, Fine)]
    {
        let found = severity(too_small, missed_for_want_of_room(gain));
        assert_eq!(found, Some(expected), "{gain}");
    }
    let said = said(too_small, missed_for_want_of_room(900));
    assert_says(&said, &["9.0 % of lookups miss", "twice the size would find 10.0 % more"]);
    assert_says(&said, &["50.0 % of stores evict", "1m 1s old on average", "live for 1h"]);
    assert_says(&said, &["shmtls create web2 --size 64MiB\n"]);
}

/// Those who had to go were not missed: docs/sizing.md.
#[test]
fn evictions_that_nobody_notices() {
    let found = severity(too_small, |it| it.stats.evicted = 9_000);
    assert_eq!(found, Some(Fine));
}

/// A new segment is like the old one in all else.
#[test]
fn the_command_keeps_what_was_chosen() {
    let sick = missed_for_want_of_room(900);
    let text = said(too_small, |it| {
        sick(it);
        it.chosen.lifetime = Duration::from_secs(300);
        it.chosen.max_session = 4096;
        (it.chosen.processes, it.chosen.events) = (256, 0);
        it.access.as_mut().expect("a file").mode = 0o660;
    });
    let command = "shmtls create web2 --size 64MiB --max-session 4KiB --lifetime 5m --processes \
                   256 --events 0 --mode 0660 --group tls";
    assert_says(&text, &[command]);
    let sick = missed_for_want_of_room(900);
    let text = said(too_small, |it| {
        sick(it);
        it.chosen.by_command = false;
    });
    assert_says(&text, &["Options::size(67108864) in the server"]);
    assert!(!text.contains("shmtls create"), "{text}");
}

#[test]
fn clients_that_come_back_too_late() {
    let of = |late| {
        move |it: &mut Picture| {
            (it.stats.misses_expired, it.stats.misses_absent) = (late, 1_000 - late);
        }
    };
    for (late, expected) in [(1_000, Problem), (999, Advice), (300, Advice), (299, Fine), (0, Fine)]
    {
        assert_eq!(severity(expired, of(late)), Some(expected), "{late}");
    }
    let said = said(expired, of(1_000));
    assert_says(&said, &["10.0 % of lookups come after", "for more than 1h"]);
    assert_says(&said, &["Config::lifetime", "shmtls create web2 --lifetime 2h\n"]);
}

/// It is the shorter of two lifetimes that ends a session.
#[test]
fn a_lifetime_that_the_server_keeps_short() {
    let text = said(expired, |it| {
        it.stats.misses_expired = 5_000;
        it.longest_lifetime = Some(Duration::from_secs(300));
    });
    assert_says(&text, &["The server lets sessions live for 5m", "would let them live for 1h"]);
    assert!(!text.contains("shmtls create"), "{text}");
    let text = said(expired, |it| {
        it.stats.misses_expired = 5_000;
        (it.chosen.lifetime, it.longest_lifetime) = (7 * DAY, None);
    });
    assert_says(&text, &["the longest that TLS 1.3 allows"]);
}

#[test]
fn sessions_that_are_too_large() {
    let of = |refused| {
        move |it: &mut Picture| {
            (it.stats.refused_too_large, it.stats.largest_refused) = (refused, 11_900);
            it.stats.stored_new = 10_000 - refused;
        }
    };
    for (refused, expected) in [(100, Problem), (99, Advice), (1, Advice), (0, Fine)] {
        assert_eq!(severity(too_large, of(refused)), Some(expected), "{refused}");
    }
    let said = said(too_large, of(100));
    assert_says(
        &said,
        &["100 sessions (1.0 %)", "the largest has 11.6 KiB", "the limit is 10.0 KiB"],
    );
    assert_says(&said, &["shmtls create web2 --max-session 12KiB"]);
    assert_eq!(severity(too_large, |it| it.stats.stored_new = 0), None);
}

#[test]
fn sessions_that_no_segment_takes() {
    let text = said(too_large, |it| {
        (it.stats.refused_too_large, it.stats.largest_refused) = (100, 49_153);
    });
    assert_says(&text, &["would not fit into any segment (48.0 KiB)"]);
}
