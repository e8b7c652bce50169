//! Who has to go when a bucket is full.
//!
//! What was not used for long goes first, and large sessions sooner than small ones: a session's
//! score is its rank in the order of use, times a weight that grows with the logarithm of its size.
//! Of the few best scored the smallest is taken that makes the room alone. On the traces of
//! docs/performance.md that finds more sessions than an LRU of the same bytes wherever memory is
//! short; and since ranks are compared, not times, it does not depend on how fast sessions come.

use std::cmp::Reverse;

use crate::geometry::{SLOTS_MAX, slot_words};
use crate::places::{Place, Places};

/// The room that a new session needs, and the bucket's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// Words of the new record.
    pub(crate) words: usize,
    /// Words of the bucket's body.
    pub(crate) body: usize,
    pub(crate) max_slots: usize,
}

impl Need {
    /// Whether it fits beside so many records of so many words.
    fn fits(&self, (count, words): (usize, usize)) -> bool {
        count < self.max_slots && words + self.words + slot_words(count + 1) <= self.body
    }
}

/// Places that have to go.
pub(crate) struct Victims {
    /// Score and place of each: in the first `count` those who have to go.
    scored: [Scored; SLOTS_MAX],
    count: usize,
}

impl Victims {
    pub(crate) fn new() -> Self {
        Self { scored: [Scored(0); SLOTS_MAX], count: 0 }
    }

    /// Chooses among `places`, of which the oldest comes first; nobody if it fits already. `tick`
    /// is now.
    pub(crate) fn choose(&mut self, places: &Places, need: &Need, tick: u8) {
        let room = (places.as_slice().len(), places.words());
        if need.fits(room) {
            return;
        }
        let places = places.as_slice();
        score(places, tick, &mut self.scored);
        if !self.alone(places, need, room) {
            self.several(places, need, room);
        }
    }

    /// The smallest of the best scored that makes the room alone, if one does.
    fn alone(&mut self, places: &[Place], need: &Need, room: (usize, usize)) -> bool {
        let scored = &mut self.scored[..places.len()];
        let choice = CHOICE.min(places.len().div_ceil(4));
        let Some(last) = choice.checked_sub(1) else { return false };
        scored.select_nth_unstable_by(last, best_first);
        let is_enough = |scored: &&Scored| need.fits(without(room, places[scored.index()]));
        let enough = scored[..choice].iter().filter(is_enough).copied();
        let victim = enough.min_by_key(|it| (places[it.index()].words, Reverse(*it)));
        if let Some(victim) = victim {
            scored[0] = victim;
            self.count = 1;
        }
        victim.is_some()
    }

    /// In the order of their scores until it fits; then those are spared, the last first, without
    /// whom it fits too.
    fn several(&mut self, places: &[Place], need: &Need, room: (usize, usize)) {
        let scored = &mut self.scored[..places.len()];
        scored.sort_unstable_by(best_first);
        let mut room = room;
        while !need.fits(room) && self.count < scored.len() {
            room = without(room, places[scored[self.count].index()]);
            self.count += 1;
        }
        for at in (0..self.count).rev() {
            let place = places[scored[at].index()];
            let with = (room.0 + 1, room.1 + usize::from(place.words));
            if need.fits(with) {
                room = with;
                scored.copy_within(at + 1..self.count, at);
                self.count -= 1;
            }
        }
    }

    /// Their indices among the places.
    pub(crate) fn indices(&self) -> impl ExactSizeIterator<Item = usize> {
        self.scored[..self.count].iter().map(|scored| scored.index())
    }
}

/// So many of the best scored have the choice among them, but a quarter of all at most: where a
/// bucket holds a few large sessions, the newest must not be among them.
const CHOICE: usize = 8;

fn without((count, words): (usize, usize), place: Place) -> (usize, usize) {
    (count - 1, words - usize::from(place.words))
}

/// A score (16 bits), and an index among the places: the greater, the sooner it goes, and of equal
/// scores the one that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Scored(u32);

impl Scored {
    fn new(score: u32, index: usize) -> Self {
        Self(score << 16 | u32::from(u16::MAX - index as u16))
    }

    fn index(self) -> usize {
        usize::from(u16::MAX - self.0 as u16)
    }
}

fn best_first(a: &Scored, b: &Scored) -> std::cmp::Ordering {
    b.cmp(a)
}

/// Scores the places, of which the oldest comes first.
fn score(places: &[Place], tick: u8, scored: &mut [Scored; SLOTS_MAX]) {
    let age = |place: &Place| usize::from(tick.wrapping_sub(place.used as u8));
    // How many were used as long ago, or later: the rank of the first of them that came.
    let mut ranks = [0_u16; 256];
    for place in places {
        ranks[age(place)] += 1;
    }
    let mut sum = 0;
    for rank in &mut ranks {
        sum += *rank;
        *rank = sum;
    }
    for (index, (place, scored)) in places.iter().zip(scored).enumerate() {
        let rank = &mut ranks[age(place)];
        *scored = Scored::new(u32::from(*rank) * weight(place.words.into()), index);
        *rank -= 1;
    }
}

/// 8 times the logarithm of the size to base 2, with the 3 bits behind the first for its fraction.
const fn weight(words: u32) -> u32 {
    let words = if words == 0 { 1 } else { words };
    let log = words.ilog2();
    8 * log + ((words << 3 >> log) & 7)
}

const _: () = assert!(SLOTS_MAX < u16::MAX as usize);
const _: () = assert!(SLOTS_MAX as u32 * weight(1 << 13) < 1 << 16);

#[cfg(test)]
mod tests;
