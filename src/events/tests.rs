//! One ring in private memory.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;

use super::*;
use crate::members;

const SLOTS: usize = 4;

/// A line of the process table, with its ring.
struct Lab {
    line: MemberLine,
    slots: [EventSlot; SLOTS],
}

impl Lab {
    fn new() -> Self {
        let slots = [const { empty() }; SLOTS];
        let line = members::empty_line();
        line.pid.store(77, Relaxed);
        line.member.store(3, Relaxed);
        Self { line, slots }
    }

    fn note(&self, subject: u64) {
        let (happening, origin) = (Happening::Hit { foreign: true }, Origin::Remote);
        let event = Note { happening, origin, subject, context: 0xabcd_ef01, len: 500 };
        note(&self.line, &self.slots, Now::read(), event);
    }

    /// What a reader sees: the subjects, and how many it has lost.
    fn read(&self, cursor: &mut EventCursor) -> (Vec<u64>, u64) {
        let mut found = Vec::new();
        let missed = cursor.read(0, (&self.line, &self.slots), &mut found);
        cursor.finish_look();
        (found.iter().map(|event| event.subject).collect(), missed)
    }
}

const fn empty() -> EventSlot {
    const fn zero() -> AtomicU64 {
        AtomicU64::new(0)
    }
    EventSlot { check: zero(), what: zero(), subject: zero(), about: zero() }
}

#[test]
fn every_happening_has_a_code_of_its_own_and_comes_back() {
    let codes: BTreeSet<u8> = all_codes().map(|(code, _)| code).collect();
    assert_eq!(codes.len(), all_codes().count());
    assert!(!codes.contains(&0), "an empty slot is no event");
    for (code, happening) in all_codes() {
        assert_eq!(code::happening(code), Some(happening));
    }
    assert_eq!(code::happening(0), None);
}

#[test]
fn an_event_comes_back_as_it_was_noted() {
    let (lab, before) = (Lab::new(), Now::read().unix_millis());
    lab.note(42);
    let mut found = Vec::new();
    EventCursor::default().read(0, (&lab.line, &lab.slots), &mut found);
    let event = found[0];
    assert_eq!((event.pid(), event.writer(), event.number()), (77, 3, 0));
    assert_eq!(event.happening(), Happening::Hit { foreign: true });
    assert_eq!(event.origin(), Origin::Remote);
    assert_eq!(event.digest(), Some(IdDigest::from_bits(42)));
    assert_eq!((event.context_start(), event.session_len()), (0xabcd_ef01, 500));
    assert_eq!(event.bucket(), None);
    let millis = event.at().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    assert!((before..before + 60_000).contains(&millis));
}

#[test]
fn a_reader_sees_each_event_once_and_is_told_of_those_it_lost() {
    let lab = Lab::new();
    let mut cursor = EventCursor::default();
    assert_eq!(lab.read(&mut cursor), (vec![], 0));
    (0..3).for_each(|n| lab.note(n));
    assert_eq!(lab.read(&mut cursor), (vec![0, 1, 2], 0));
    assert_eq!(lab.read(&mut cursor), (vec![], 0));
    (3..13).for_each(|n| lab.note(n));
    assert_eq!(lab.read(&mut cursor), (vec![9, 10, 11, 12], 6));
    // Who comes now has not lost what was before.
    assert_eq!(lab.read(&mut EventCursor::default()), (vec![9, 10, 11, 12], 0));
}

/// Whoever had seen an empty ring, and then came too late for what was noted in it, was told that
/// nothing was lost.
#[test]
fn events_are_lost_also_to_who_looked_before_there_were_any() {
    let lab = Lab::new();
    let mut cursor = EventCursor::default();
    assert_eq!(lab.read(&mut cursor), (vec![], 0));
    (0..9).for_each(|n| lab.note(n));
    assert_eq!(lab.read(&mut cursor), (vec![5, 6, 7, 8], 5));
}

/// A reader that looked while an event was being written took the one that had stood in its place,
/// or a mixture of both, for it.
#[test]
fn an_event_that_is_not_whole_is_not_believed() {
    for bit in 0..64 {
        for word in 0..4 {
            let lab = Lab::new();
            lab.note(1);
            let slot = &lab.slots[0];
            let word = [&slot.check, &slot.what, &slot.subject, &slot.about][word];
            word.fetch_xor(1 << bit, Relaxed);
            assert_eq!(lab.read(&mut EventCursor::default()), (vec![], 0));
        }
    }
    let lab = Lab::new();
    (0..SLOTS as u64).for_each(|n| lab.note(n));
    let mut cursor = EventCursor::default();
    assert_eq!(lab.read(&mut cursor).0.len(), SLOTS);
    lab.line.events.fetch_add(1, Relaxed);
    assert_eq!(lab.read(&mut cursor), (vec![], 0), "the event of a round before");
}

#[test]
fn an_unfinished_event_is_waited_for_and_one_that_never_comes_is_lost() {
    let lab = Lab::new();
    let mut cursor = EventCursor::default();
    lab.note(0);
    lab.line.events.fetch_add(1, Relaxed);
    lab.note(2);
    assert_eq!(lab.read(&mut cursor), (vec![0], 0));
    assert_eq!(lab.read(&mut cursor), (vec![2], 1), "its writer was killed");
}

#[test]
fn numbers_that_no_writer_made_end_nothing() {
    let lab = Lab::new();
    lab.note(0);
    let mut cursor = EventCursor::default();
    assert_eq!(lab.read(&mut cursor).0, [0]);
    for number in [u64::MAX, 1, 1 << 63, 0] {
        lab.line.events.store(number, Relaxed);
        let (found, _) = lab.read(&mut cursor);
        assert!(found.len() <= SLOTS);
    }
}
