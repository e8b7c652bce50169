use super::super::sessions::{removed_at_once, two_tickets};
use super::*;

#[test]
fn sessions_that_each_close_removes() {
    let of = |removed| move |it: &mut Picture| it.stats.removed_at_once = removed;
    for (removed, expected) in
        [(9_600, Problem), (2_000, Problem), (1_999, Advice), (500, Advice), (499, Fine), (0, Fine)]
    {
        assert_eq!(severity(removed_at_once, of(removed)), Some(expected), "{removed}");
    }
    let said = said(removed_at_once, of(9_600));
    let parts =
        ["96.0 % of new sessions", "9,600 of 10,000", "90.0 % of lookups hit", "SSL_shutdown"];
    assert_says(&said, &parts);
    assert_says(&said, &["without close_notify", "shmtls events web --only removed"]);
}

#[test]
fn of_a_few_sessions_nothing_is_said() {
    let of = |stored| {
        move |it: &mut Picture| {
            (it.stats.stored_new, it.stats.removed_at_once) = (stored, stored);
        }
    };
    assert_eq!(severity(removed_at_once, of(19)), None);
    assert_eq!(severity(removed_at_once, of(20)), Some(Problem));
}

/// Who removed them makes the difference between a mistake and clients that refuse.
#[test]
fn sessions_that_fatal_alerts_remove() {
    let of = |by_handshake, by_api| {
        move |it: &mut Picture| {
            it.stats.removed_at_once = 9_600;
            it.recent.removed_by_handshake = by_handshake;
            it.recent.removed_by_api = by_api;
        }
    };
    assert_says(&said(removed_at_once, of(5, 1)), &["fatal alert", "RFC 5246"]);
    assert_says(&said(removed_at_once, of(1, 5)), &["Calls of the application removed them"]);
    assert_says(&said(removed_at_once, of(0, 0)), &["is not among the events any more"]);
}

#[test]
fn tickets_that_come_in_pairs() {
    let of = |even_runs, odd_runs| {
        move |it: &mut Picture| it.recent = Recent { even_runs, odd_runs, ..Recent::default() }
    };
    for (even, odd, expected) in [
        (8, 0, Some(Advice)),
        (90, 10, Some(Advice)),
        (89, 11, Some(Fine)),
        (7, 1, Some(Fine)),
        (0, 40, Some(Fine)),
        (7, 0, None),
    ] {
        assert_eq!(severity(two_tickets, of(even, odd)), expected, "{even} {odd}");
    }
    let said = said(two_tickets, of(39, 1));
    assert_says(&said, &["39 of the last 40", "set_num_tickets", "send_tls13_tickets = 1"]);
    let without_events = severity(two_tickets, |it| it.chosen.events = 0);
    assert_eq!(without_events, Some(Unknown));
}
