//! What is said about counts, and the exit code.

use std::time::Duration;

use super::*;
use crate::probe::client::Trouble;
use crate::probe::measure::Measured;
use crate::probe::verdict::Verdict;

fn measured(resumed: u32, attempts: u32) -> Measured {
    Measured { offered: true, resumed, attempts, renewed: resumed, ..Measured::default() }
}

/// A sealed session, and not an ID.
fn tickets(resumed: u32, attempts: u32) -> Measured {
    Measured { ticket_len: 208, ..measured(resumed, attempts) }
}

fn probe(kinds: Vec<Row>, min_percent: Option<f64>) -> Probe {
    Probe {
        target: "example.org:443".into(),
        address: "192.0.2.1:443".into(),
        sni: None,
        http: false,
        parallel: 8,
        min_percent,
        kinds,
    }
}

#[test]
fn each_verdict_has_its_words() {
    let finding = |kind, measured| words::finding(&Row::new(kind, Ok(measured), None));
    let expected = [
        (measured(40, 40), "always"),
        (measured(38, 40), "shared, but some are lost"),
        (measured(30, 40), "neither all nor 1 in N"),
        (measured(9, 40), "like 1 in N with N = 4 (3 to 9): a session cache per worker"),
        (measured(20, 40), "like 1 in N with N = 2: a session cache per worker"),
        (measured(1, 100), "like 1 in N with N = 64 (19 or more): a session cache per worker"),
        (measured(0, 40), "never, or 12 and more workers that share nothing"),
        (measured(0, 1000), "never"),
        (measured(2, 2), "too few to tell"),
        (Measured::default(), "not offered: the server keeps no sessions"),
    ];
    for (measured, text) in expected {
        assert_eq!(finding(Kind::Id12, measured), text);
    }
    let key = "like 1 in N with N = 4 (3 to 9): a ticket key per worker";
    assert_eq!(finding(Kind::Tls13, tickets(9, 40)), key);
    assert_eq!(finding(Kind::Ticket12, tickets(9, 40)), key);
    let refused = Row::new(Kind::Tls13, Err(Trouble::Alert("protocol_version".into())), None);
    assert_eq!(words::finding(&refused), "no handshake: alert protocol_version");
}

#[test]
fn remarks_name_the_usual_cause() {
    let remarks = |kind, measured| {
        words::remarks(&probe(vec![Row::new(kind, Ok(measured), None)], None)).join("\n")
    };
    assert_eq!(remarks(Kind::Id12, measured(40, 40)), "");
    assert!(remarks(Kind::Id12, measured(0, 40)).contains("removes them (try --http)"));
    assert!(remarks(Kind::Tls13, tickets(0, 40)).contains("no ticket is accepted"));
    assert!(remarks(Kind::Tls13, tickets(9, 40)).contains("their own ticket keys"));
    assert!(remarks(Kind::Tls13, measured(9, 40)).contains("a shared cache would resume all"));
    assert!(remarks(Kind::Id12, measured(30, 40)).contains("a cache that is too small"));
    let used_up = Measured { renewed: 0, ..measured(40, 40) };
    assert!(remarks(Kind::Tls13, used_up.clone()).contains("no new ticket when resumed"));
    assert_eq!(remarks(Kind::Ticket12, used_up), "");
    let failing = Measured { failed: 2, connections: 50, ..measured(40, 40) };
    assert_eq!(remarks(Kind::Id12, failing), "TLS 1.2 id: 2 of 50 connections failed.");
}

/// An idle server may have one worker answer all, and then sharing looks the same.
#[test]
fn one_at_a_time_cannot_be_sure() {
    let row = |resumed| vec![Row::new(Kind::Tls13, Ok(tickets(resumed, 40)), None)];
    let remarks = |parallel, kinds| words::remarks(&Probe { parallel, ..probe(kinds, None) });
    assert!(remarks(1, row(40)).concat().contains("--parallel 8"));
    assert!(!remarks(8, row(40)).concat().contains("--parallel"));
    assert!(!remarks(1, row(9)).concat().contains("--parallel"));
}

#[test]
fn a_minimum_is_for_what_the_server_offers() {
    let outcome = |of: [Measured; 2], min| {
        let row = |measured| Row::new(Kind::Tls13, Ok(measured), min);
        probe(of.into_iter().map(row).collect(), min).outcome()
    };
    let nothing = Measured::default;
    assert_eq!(outcome([measured(38, 40), measured(40, 40)], Some(95.0)), Exit::Fine);
    assert_eq!(outcome([measured(37, 40), measured(40, 40)], Some(95.0)), Exit::NotMet);
    assert_eq!(outcome([measured(0, 40), measured(0, 40)], None), Exit::Fine);
    assert_eq!(outcome([nothing(), measured(40, 40)], Some(95.0)), Exit::Fine);
    assert_eq!(outcome([nothing(), nothing()], Some(95.0)), Exit::NotMet);
    assert_eq!(outcome([nothing(), nothing()], Some(0.0)), Exit::Fine);
}

#[test]
fn a_rate_is_rounded_to_neither_none_nor_all() {
    let rates = [(0.0, "0 %"), (0.1, "<1 %"), (22.5, "22 %"), (99.9, "99 %"), (100.0, "100 %")];
    for (percent, text) in rates {
        assert_eq!(words::rate(percent), text);
    }
}

#[test]
fn the_report_of_a_server_with_a_cache_per_worker() {
    let ms = |n: u64| vec![Duration::from_micros(n * 10)];
    let ids = Measured { full_times: ms(135), resumed_times: ms(40), ..measured(9, 40) };
    let rows = [Ok(ids), Ok(Measured::default()), Ok(tickets(40, 40))];
    let kinds = [Kind::Id12, Kind::Ticket12, Kind::Tls13].into_iter().zip(rows);
    let min = Some(95.0);
    let report = probe(kinds.map(|(kind, row)| Row::new(kind, row, min)).collect(), min);
    let mut page = Page::default();
    report.text(&mut page);
    let text = anstream::adapter::strip_str(&String::from(page)).to_string();
    let expected = "\
example.org:443 at 192.0.2.1:443, no name sent
KIND            RESUMED   RATE     FULL    SHORT  FINDING
TLS 1.2 id         9/40   22 %  1.35 ms  0.40 ms  \
below 95 %: like 1 in N with N = 4 (3 to 9): a session cache per worker
TLS 1.2 ticket        -      -        -        -  not offered: tickets are off
TLS 1.3           40/40  100 %        -        -  always
* TLS 1.2 id: workers keep sessions for themselves; a shared cache would resume all.
";
    assert_eq!(text, expected);
    assert_eq!(
        report.kinds[0].counts().map(|it| it.verdict),
        Some(Verdict::PerWorker { likely: 4, low: 3, high: 9 })
    );
}
