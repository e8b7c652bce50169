//! A death at every step of a fold.

use std::time::Duration;

use super::*;
use crate::backing;
use crate::geometry::{Plan, Size};
use crate::step::countdown::die_after;

fn segment() -> Segment {
    let lifetime = Duration::from_secs(60);
    let size = Size::Bytes(1 << 20);
    let plan =
        Plan { size, max_session: 1024, members: 3, events: 0, lifetime, seed: 1, sealing: 0 };
    backing::create_memfd(&plan).expect("a memfd")
}

/// A line of somebody who counted.
fn occupy(segment: &Segment, index: usize, hits: u64, largest: u64) {
    let line = &segment.members()[index];
    line.pid.store(0x3fff_0000 + index as u32, Relaxed);
    line.add(Counter::Hits, hits);
    line.raise(Counter::LargestRefused, largest);
}

/// A worker was taken for dead, and its line was given to another. When it left, it freed that
/// line, with the other's counters, and the next one to come sat down on the other's lap.
#[test]
fn who_leaves_frees_no_line_that_is_anothers_by_now() {
    for taken in [false, true] {
        let segment = segment();
        let membership = Membership::new(AT_LEISURE);
        let (line, index) = membership.place(&segment);
        assert_eq!(index, Some(0));
        line.count(Counter::Hits);
        if taken {
            fold(&segment, 0);
            let other = segment.header().next_member.fetch_add(1, Relaxed);
            line.member.store(other, Relaxed);
            occupy(&segment, 0, 10, 0);
        }
        membership.leave(&segment);
        let left =
            (line.pid.load(Relaxed) != 0, line.counters[Counter::Hits as usize].load(Relaxed));
        assert_eq!(left, if taken { (true, 10) } else { (false, 0) });
        assert_eq!(totals(&segment).hits, if taken { 11 } else { 1 });
    }
}

/// A detach that adds a line to the total and is killed before it has cleared the line would count
/// everything twice; one that clears first would lose it.
#[test]
fn a_death_at_any_step_of_a_fold_loses_no_count_and_doubles_none() {
    let mut finished = false;
    for steps in 0.. {
        let segment = segment();
        occupy(&segment, 0, 100, 7);
        occupy(&segment, 1, 20, 9);
        occupy(&segment, 2, 3, 8);
        fold(&segment, 0);
        finished |= die_after(steps, || fold(&segment, 1)).is_some();
        let sum = |segment: &Segment| {
            let totals = totals(segment);
            (totals.hits, totals.largest_refused)
        };
        assert_eq!(sum(&segment), (123, 9), "before the repair, {steps} steps");
        // The next one clears up, and may be killed at it too.
        let _ = die_after(steps % 69, || drop(lock_table(&segment, AT_LEISURE)));
        assert_eq!(sum(&segment), (123, 9), "in the midst of the repair, {steps} steps");
        drop(lock_table(&segment, AT_LEISURE));
        assert_eq!(sum(&segment), (123, 9), "after the repair, {steps} steps");
        if segment.members()[1].pid.load(Relaxed) != 0 {
            assert!(!finished);
            fold(&segment, 1);
        }
        fold(&segment, 2);
        assert_eq!(sum(&segment), (123, 9), "when all have gone, {steps} steps");
        if finished {
            assert!(steps > 100, "{steps} steps");
            break;
        }
    }
}
