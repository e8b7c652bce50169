//! Gaps, and who closes up for one, of made-up buckets.

use super::*;

/// Records of so many words, each so many behind the one before it, the last of them noted first.
fn places(records: &[(u16, u16)]) -> Places {
    let mut end = 0;
    let place = |(slot, (gap, words)): (u16, &(u16, u16))| {
        let at = end + gap;
        end = at + words;
        Place { at, words: *words, slot, used: 0 }
    };
    let mut places: Vec<Place> = (0..).zip(records).map(place).collect();
    places.reverse();
    Places::of(places.into_iter())
}

fn gap(records: &[(u16, u16)], words: usize, limit: usize) -> Option<usize> {
    places(records).by_position([].into_iter()).gap(words, limit)
}

fn to_close_up(records: &[(u16, u16)], words: usize, limit: usize) -> Range<usize> {
    places(records).by_position([].into_iter()).to_close_up(words, limit)
}

#[test]
fn the_smallest_gap_that_is_enough_is_taken() {
    let records = [(30, 10), (12, 10), (20, 10)];
    assert_eq!(gap(&records, 10, 92), Some(40));
    assert_eq!(gap(&records, 15, 92), Some(62));
    assert_eq!(gap(&records, 25, 92), Some(0));
    assert_eq!(gap(&records, 31, 92), None);
    assert_eq!(gap(&records, 31, 123), Some(92));
    assert_eq!(gap(&records, 10, 91), None, "the last record lies where a slot is needed");
    assert_eq!(gap(&[], 10, 10), Some(0));
}

/// The whole bucket was packed for every gap, although some neighbours had the room among them.
#[test]
fn those_close_up_who_have_the_least_to_move() {
    let records = [(5, 100), (5, 30), (5, 30), (5, 200), (0, 10)];
    assert_eq!(to_close_up(&records, 10, 390), 1..2);
    assert_eq!(to_close_up(&records, 15, 390), 1..3);
    assert_eq!(to_close_up(&records, 20, 390), 0..3);
    assert_eq!(to_close_up(&records, 21, 391), 0..5, "all of the room there is");
    // The last closes up before the limit.
    assert_eq!(to_close_up(&[(0, 100), (5, 10), (5, 10), (0, 90)], 9, 229), 1..2);
    assert_eq!(to_close_up(&[(0, 100), (5, 10), (5, 10)], 14, 139), 2..3);
}

#[test]
fn all_close_up_where_the_bucket_is_damaged_or_a_slot_is_needed() {
    let records = [(9, 10), (9, 10), (9, 10)];
    assert_eq!(to_close_up(&records, 15, 57), 0..1);
    assert_eq!(to_close_up(&records, 15, 56), 0..3);
    let mut places = places(&records);
    places.places[0].at = 30;
    assert_eq!(places.by_position([].into_iter()).to_close_up(15, 57), 0..3);
    assert_eq!(to_close_up(&records, 30, 57), 0..3, "there is no such room");
    assert_eq!(to_close_up(&[], 30, 20), 0..0);
}

#[test]
fn who_is_gone_is_in_no_ones_way() {
    let mut places = places(&[(0, 10), (0, 20), (0, 30)]);
    // The last was noted first.
    let order = places.by_position([1].into_iter());
    assert_eq!(order.places().iter().map(|place| place.at).collect::<Vec<_>>(), [0, 30]);
    assert_eq!(order.gap(20, 60), Some(10));
}
