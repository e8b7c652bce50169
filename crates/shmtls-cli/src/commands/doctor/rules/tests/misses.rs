use super::super::lookups::{few_lookups, foreign};
use super::super::misses::{absent, context, library};
use super::super::room::{expired, too_small};
use super::super::trouble::{busy, damaged, forged};
use super::*;

#[test]
fn too_few_lookups_to_judge() {
    let of = |hits| move |it: &mut Picture| (it.stats.hits, it.stats.misses_absent) = (hits, 0);
    assert_eq!(severity(few_lookups, of(100)), None);
    assert_eq!(severity(few_lookups, of(99)), Some(Unknown));
    assert_says(&said(few_lookups, of(99)), &["99 sessions", "too few"]);
    assert_says(&said(few_lookups, of(0)), &["no client has offered", "shmtls probe HOST:PORT"]);
    // And so nobody judges by them.
    for rule in [absent as Rule, library, too_small, expired, foreign] {
        assert_eq!(severity(rule, of(99)), None);
    }
}

#[test]
fn sessions_that_are_not_there() {
    let of = |absent: u64| {
        move |it: &mut Picture| {
            (it.stats.misses_absent, it.stats.hits) = (absent, 10_000 - absent);
        }
    };
    for (n, expected) in [(5_000, Problem), (4_999, Advice), (2_000, Advice), (1_999, Fine)] {
        assert_eq!(severity(absent, of(n)), Some(expected), "{n}");
    }
    let said = said(absent, of(5_000));
    assert_says(&said, &["50.0 % of lookups", "500 sessions were single-use", "reuse_tls13"]);
    assert_says(&said, &["shmtls events web --only missed,taken,removed"]);
}

/// In its first lifetime a segment cannot know what clients bring from before it.
#[test]
fn sessions_from_before_the_segment() {
    let young = |it: &mut Picture| {
        (it.stats.misses_absent, it.stats.hits) = (9_000, 1_000);
        it.created = it.now - Duration::from_secs(300);
    };
    assert_eq!(severity(absent, young), Some(Advice));
    assert_says(&said(absent, young), &["only 5m old"]);
}

#[test]
fn what_was_removed_is_not_told_twice() {
    let removed = |it: &mut Picture| {
        (it.stats.misses_absent, it.stats.removed_at_once) = (50_000, 9_000);
    };
    assert_eq!(severity(absent, removed), None);
}

#[test]
fn sessions_of_other_contexts() {
    let of = |other| {
        move |it: &mut Picture| {
            (it.stats.misses_context, it.stats.misses_absent) = (other, 1_000 - other);
        }
    };
    for (other, expected) in [(500, Problem), (499, Advice), (100, Advice), (99, Fine)] {
        assert_eq!(severity(context, of(other)), Some(expected), "{other}");
    }
    assert_says(&said(context, of(500)), &["5.0 % of lookups", "Config::new name", "client-hello"]);
    // Tickets alone are enough.
    let tickets = |it: &mut Picture| it.stats.tickets_other_context = 100;
    assert_eq!(severity(context, tickets), Some(Problem));
}

#[test]
fn sessions_of_another_library() {
    let of = |other: u64| {
        move |it: &mut Picture| {
            (it.stats.misses_library, it.stats.misses_undecodable) = (other / 2, other / 2);
            it.stats.misses_absent = 1_000 - other;
        }
    };
    for (other, expected) in [(500, Some(Problem)), (498, Some(Advice)), (98, None), (0, None)] {
        assert_eq!(severity(library, of(other)), expected, "{other}");
    }
    assert_says(&said(library, of(500)), &["a segment of their own"]);
}

#[test]
fn operations_that_gave_up() {
    let of = |lost| move |it: &mut Picture| it.stats.refused_busy = lost;
    for (lost, expected) in [(20, Problem), (19, Advice), (1, Advice), (0, Fine)] {
        assert_eq!(severity(busy, of(lost)), Some(expected), "{lost}");
    }
    assert_says(&said(busy, of(20)), &["20 operations gave up", "shmtls locks web --for 2s"]);
    let idle = |it: &mut Picture| it.stats = Stats::default();
    assert_eq!(severity(busy, idle), None);
}

#[test]
fn bytes_that_no_worker_wrote() {
    assert_eq!(severity(damaged, |it| it.stats.misses_damaged = 1), Some(Problem));
    assert_eq!(severity(damaged, |_| {}), Some(Fine));
    assert_eq!(severity(forged, |it| it.stats.misses_forged = 1), Some(Problem));
    assert_eq!(severity(forged, |_| {}), None);
}

#[test]
fn sharing_that_saves_little() {
    let of = |hits| move |it: &mut Picture| it.stats.foreign_hits = hits;
    for (hits, expected) in [(0, Advice), (449, Advice), (450, Fine), (6_750, Fine)] {
        assert_eq!(severity(foreign, of(hits)), Some(expected), "{hits}");
    }
    assert_says(&said(foreign, of(0)), &["0.0 % of hits", "4 processes", "SO_REUSEPORT"]);
    // One worker alone has nobody to share with.
    let alone = |it: &mut Picture| {
        it.stats.foreign_hits = 0;
        it.members.truncate(1);
    };
    assert_eq!(severity(foreign, alone), None);
}
