//! A death at every step of every change, and at steps of the repair that follows.

use super::*;
use crate::step::countdown::die_after;

/// Kills `work` after every number of steps it has, and repairs; `verdict` sees the sessions that
/// are left, with whether `work` had finished.
fn sweep(
    set_up: impl Fn(&Lab),
    work: impl Fn(&Lab),
    verdict: impl Fn(&BTreeMap<u8, usize>, bool),
) -> usize {
    for steps in 0.. {
        let lab = Lab::new();
        set_up(&lab);
        let finished = die_after(steps, || work(&lab)).is_some();
        // The survivor may be killed in its repair too, at any step, and then the next repairs.
        if steps % 7 == 0 {
            let _ = die_after(steps * 13 % 4000, || lab.repair());
        }
        assert_eq!(
            lab.repair().lost,
            0,
            "{steps} steps: who is whole, or not there yet, is not lost"
        );
        lab.check();
        verdict(&lab.sessions(), finished);
        if finished {
            return steps;
        }
    }
    unreachable!()
}

#[test]
fn a_death_in_a_plain_insert_loses_at_most_the_session_in_flight() {
    let steps = sweep(
        fill,
        |lab| drop(lab.insert(99, 500, NOW + 100, NOW)),
        |sessions, finished| {
            assert!((1..=20).all(|n| sessions.contains_key(&n)));
            assert!(!finished || sessions.contains_key(&99));
        },
    );
    assert!(steps > 60, "{steps} steps");
}

#[test]
fn a_death_while_room_is_made_loses_at_most_the_victim_and_the_session_in_flight() {
    let steps = sweep(
        |lab| {
            fill(lab);
            lab.remove(9);
        },
        // Expires session 4, then moves those up to it over overlapping places.
        |lab| drop(lab.insert(99, 1800, NOW + 100, NOW + 50)),
        |sessions, finished| {
            assert!((1..=20).filter(|n| ![4, 9].contains(n)).all(|n| sessions.contains_key(&n)));
            assert!(!finished || sessions.contains_key(&99));
        },
    );
    assert!(steps > 1000, "{steps} steps");
}

#[test]
fn a_death_in_a_replacement_leaves_the_old_or_the_new_or_neither_but_never_both() {
    sweep(
        fill,
        |lab| drop(lab.insert(5, 40, NOW + 100, NOW)),
        |sessions, finished| {
            assert!((1..=20).filter(|n| *n != 5).all(|n| sessions.contains_key(&n)));
            let len = sessions.get(&5).copied();
            assert!([None, Some(1025), Some(40)].contains(&len));
            assert!(!finished || len == Some(40));
        },
    );
}

/// OpenSSL's anti-replay and every peer read first and remove afterwards: killed in between, the
/// session can be had again.
#[test]
fn a_death_in_a_take_never_leaves_a_session_that_was_copied_out() {
    let lab = Lab::new();
    for steps in 0.. {
        let _ = lab.insert(7, 400, NOW + 100, NOW);
        let mut bytes = Vec::with_capacity(lab.geometry.max_record_bytes());
        let finished = die_after(steps, || lab.take(7, &mut bytes)).is_some();
        lab.repair();
        lab.check();
        let still_there = lab.sessions().contains_key(&7);
        assert!(bytes.is_empty() || !still_there, "taken, and there again, at step {steps}");
        if finished {
            assert!(!bytes.is_empty() && !still_there);
            break;
        }
    }
}

#[test]
fn a_death_in_a_removal_loses_nothing_else() {
    sweep(
        fill,
        |lab| lab.remove(12),
        |sessions, finished| {
            assert!((1..=20).filter(|n| *n != 12).all(|n| sessions.contains_key(&n)));
            assert!(!finished || !sessions.contains_key(&12));
        },
    );
}
