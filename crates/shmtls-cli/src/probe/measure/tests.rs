//! Fleets of workers that exist only as numbers: whatever spreads connections over them, the rate
//! says what they share.

use std::sync::Mutex;

use super::*;
use crate::probe::verdict::{Verdict, verdict};

/// How a connection finds its worker.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Random,
    Turns,
    /// Each second connection: the next one; the others stay.
    Pairs,
}

#[derive(Clone, Copy)]
struct Fleet {
    workers: usize,
    spread: Spread,
    shared: bool,
    /// A resumed connection brings a new ticket, and every ticket is good for one connection.
    renews: bool,
}

const FOUR: Fleet = Fleet { workers: 4, spread: Spread::Random, shared: false, renews: true };
const PLAN: Plan = Plan { attempts: 400, parallel: 1, interval: Duration::ZERO };

/// A session is the number of the worker that made it.
fn run(fleet: Fleet, plan: Plan) -> Measured {
    let connections = Mutex::new(0);
    let visit = |offered: Option<&usize>| {
        let mut connections = connections.lock().unwrap();
        *connections += 1;
        let worker = match fleet.spread {
            Spread::Random => random_below(fleet.workers),
            Spread::Turns => *connections % fleet.workers,
            Spread::Pairs => *connections / 2 % fleet.workers,
        };
        let resumed = offered.is_some_and(|&maker| fleet.shared || maker == worker);
        let session = (!resumed || fleet.renews).then_some(worker);
        Ok(visited(resumed, session))
    };
    measure(plan, visit).expect("no connection fails")
}

fn visited(resumed: bool, session: Option<usize>) -> Visit<usize> {
    let handshake = Duration::from_millis(if resumed { 1 } else { 3 });
    let renewed = session.is_some();
    Visit { resumed, handshake, session, renewed, ticket_len: 32, close_notify: true }
}

#[test]
fn one_in_n_whatever_the_order_of_the_workers() {
    for spread in [Spread::Random, Spread::Turns, Spread::Pairs] {
        for renews in [true, false] {
            let counts = run(Fleet { spread, renews, ..FOUR }, PLAN);
            assert_eq!(counts.attempts, 400);
            // Five standard deviations about 100.
            assert!((56..=144).contains(&counts.resumed), "{spread:?}, {renews}: {counts:?}");
        }
    }
}

#[test]
fn workers_that_share_resume_always() {
    for spread in [Spread::Random, Spread::Turns, Spread::Pairs] {
        let counts = run(Fleet { spread, shared: true, ..FOUR }, PLAN);
        assert_eq!((counts.attempts, counts.resumed, counts.renewed), (400, 400, 400));
        assert_eq!(counts.connections, 408, "the pool is filled once");
        assert_eq!(verdict(counts.resumed, counts.attempts), Verdict::Always);
    }
}

/// A ticket that is used up leaves a gap, which a full handshake fills.
#[test]
fn a_server_that_renews_no_ticket_costs_twice_the_connections() {
    let counts = run(Fleet { shared: true, renews: false, ..FOUR }, PLAN);
    assert_eq!((counts.attempts, counts.resumed, counts.renewed), (400, 400, 0));
    assert_eq!(counts.connections, 807, "8 at first, and one for each attempt but the last");
}

#[test]
fn in_parallel_the_counts_are_the_same() {
    let plan = Plan { parallel: 16, ..PLAN };
    let counts = run(Fleet { shared: true, ..FOUR }, plan);
    assert_eq!((counts.attempts, counts.resumed, counts.connections), (400, 400, 416));
}

#[test]
fn who_is_given_nothing_asks_twice() {
    let counts = measure(PLAN, |_: Option<&usize>| Ok(visited(false, None))).unwrap();
    assert!(!counts.offered);
    assert_eq!((counts.connections, counts.attempts), (2, 0));
}

/// Tickets that come once in a hundred connections must not keep the probe going.
#[test]
fn the_total_is_bounded() {
    let connections = Mutex::new(0);
    let visit = |_: Option<&usize>| {
        let mut connections = connections.lock().unwrap();
        *connections += 1;
        Ok(visited(false, (*connections % 100 == 1).then_some(0)))
    };
    assert_eq!(measure(PLAN, visit).unwrap().connections, 3 * 400 + 8);
}

#[test]
fn a_first_failure_ends_it_and_later_ones_are_counted() {
    let failing = |which: &'static [u32]| {
        let connections = Mutex::new(0);
        measure(PLAN, move |_: Option<&usize>| {
            let mut connections = connections.lock().unwrap();
            *connections += 1;
            let fails = which.contains(&*connections);
            if fails { Err(Trouble::Timeout) } else { Ok(visited(true, Some(0))) }
        })
    };
    assert_eq!(failing(&[1]), Err(Trouble::Timeout));
    assert_eq!(failing(&[5, 17]).map(|counts| (counts.failed, counts.attempts)), Ok((2, 400)));
    assert_eq!(failing(&[5, 17, 400]), Err(Trouble::Timeout));
}

#[test]
fn the_median_is_the_middle_one() {
    let times = [5, 1, 3].map(Duration::from_millis);
    assert_eq!(median(&times), Some(Duration::from_millis(3)));
    assert_eq!(median(&[]), None);
}
