//! Who goes, of made-up buckets.

use super::*;

const NOW: u8 = 100;

/// Sessions in the order in which they came, each with its words and its age in ticks.
fn bucket(sessions: &[(u16, u8)]) -> Places {
    let mut at = 0;
    let place = |(slot, (words, age)): (u16, &(u16, u8))| {
        at += words;
        Place { at: at - words, words: *words, slot, used: NOW.wrapping_sub(*age).into() }
    };
    Places::of((0..).zip(sessions).map(place))
}

/// Indices of those who go.
fn chosen(places: &Places, need: &Need) -> Vec<usize> {
    let mut victims = Victims::new();
    victims.choose(places, need, NOW);
    let mut chosen: Vec<usize> = victims.indices().collect();
    chosen.sort();
    chosen
}

/// Indices of those who go for a record of `words`, in a body that just holds all the sessions.
fn victims(sessions: &[(u16, u8)], words: usize) -> Vec<usize> {
    let places = bucket(sessions);
    let body = places.words() + slot_words(sessions.len());
    let chosen = chosen(&places, &Need { words, body, max_slots: 256 });
    let gone: usize = chosen.iter().map(|at| usize::from(sessions[*at].0)).sum();
    let left = sessions.len() - chosen.len();
    assert!(places.words() - gone + words + slot_words(left + 1) <= body, "{chosen:?}: no room");
    chosen
}

#[test]
fn of_equal_sessions_the_one_not_used_for_longest_goes() {
    assert_eq!(victims(&[(50, 3), (50, 9), (50, 3), (50, 0)], 40), [1]);
    // Within a tick the one that came first.
    assert_eq!(victims(&[(50, 3), (50, 3), (50, 3)], 40), [0]);
    // However many ticks that is: ranks count, not times.
    assert_eq!(victims(&[(50, 200), (50, 201), (50, 0)], 40), [1]);
}

#[test]
fn nobody_goes_where_there_is_room() {
    let places = bucket(&[(50, 1), (50, 2)]);
    let need = Need { words: 40, body: 142, max_slots: 256 };
    assert!(chosen(&places, &need).is_empty());
    let one_less = Need { body: 141, ..need };
    assert!(!chosen(&places, &one_less).is_empty());
    let no_slot = Need { max_slots: 2, ..need };
    assert!(!chosen(&places, &no_slot).is_empty());
}

/// A large session costs as much memory as ten small ones, and its handshake twice as much.
#[test]
fn a_large_session_goes_a_little_sooner_and_is_not_dropped() {
    let mut sessions = vec![(40, 0); 30];
    sessions[15] = (400, 0);
    // Thirteen small ones have not been used for longer; enough of them go first, singly.
    assert_eq!(victims(&sessions, 30), [0]);
    // For a large one the large one goes, not ten of the others.
    assert_eq!(victims(&sessions, 390), [15]);
    // But not as soon as it has come.
    sessions.swap(15, 29);
    assert!(!victims(&sessions, 390).contains(&29));
}

/// The first that came in the way of a large session would have gone although the next made all the
/// room alone, and those that went in vain would not have been spared.
#[test]
fn the_smallest_that_is_enough_goes_and_nobody_in_vain() {
    let mut few = vec![(60, 9), (90, 8), (70, 7)];
    few.extend([(50, 0); 9]);
    assert_eq!(victims(&few, 65), [2]);
    let many: Vec<(u16, u8)> = (0..20).map(|n| (20, 40 - n)).collect();
    let gone = victims(&many, 100);
    assert_eq!(gone, [0, 1, 2, 3, 4]);
    // The last to be chosen is large enough that some of those before may stay.
    let mut mixed = many;
    mixed[9] = (95, 0);
    let gone = victims(&mixed, 180);
    let bytes: u16 = gone.iter().map(|at| mixed[*at].0).sum();
    for at in &gone {
        assert!(bytes - mixed[*at].0 < 180, "{at} goes in vain: {gone:?}");
    }
}

#[test]
fn the_weight_grows_with_the_logarithm_of_the_size() {
    let weights: Vec<u32> = [8, 12, 16, 32, 64, 96, 512].map(weight).into();
    assert_eq!(weights, [24, 28, 32, 40, 48, 52, 72]);
    assert!((1..5000).all(|words| weight(words) <= weight(words + 1)));
    assert!(weight(0) == weight(1));
}

/// In a bucket of a few large sessions the newest was the smallest that is enough, and went.
#[test]
fn among_few_the_latest_is_no_choice() {
    assert_eq!(victims(&[(500, 9), (500, 8), (510, 7), (490, 0)], 480), [0]);
}
