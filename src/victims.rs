//! Who has to go when a bucket is full.
//!
//! What was not used for long goes first, and large sessions sooner than small ones: a session's
//! score is its rank in the order of use, times a weight that grows with the logarithm of its size.
//! Of the few best scored the smallest is taken that makes the room alone. On the traces of
//! docs/performance.md that finds more sessions than an LRU of the same bytes wherever memory is
//! short; and since ranks are compared, not times, it does not depend on how fast sessions come.

use crate::geometry::{SLOTS_MAX, slot_words};
use crate::order::{Order, Place};

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

/// Places that have to go, for a call each.
pub(crate) struct Victims {
    /// Indices into the places of the order.
    chosen: [u16; SLOTS_MAX],
    count: usize,
}

impl Victims {
    /// Chooses among the places of `order`; nobody if it fits already. `tick` is now.
    pub(crate) fn of(order: &Order, need: &Need, tick: u8) -> Self {
        let mut victims = Self { chosen: [0; SLOTS_MAX], count: 0 };
        let places = order.places();
        let room = (places.len(), order.words());
        if need.fits(room) {
            return victims;
        }
        let mut scores = scores(places, tick);
        let scores = &mut scores[..places.len()];
        match victims.alone(places, scores, need, room) {
            Some(victim) => victims.push(victim),
            None => victims.several(places, scores, need, room),
        }
        victims
    }

    /// The smallest of the best scored that makes the room alone. Those that were looked at are
    /// noted as chosen: they are the first to go if there is none.
    fn alone(
        &mut self,
        places: &[Place],
        scores: &mut [u32],
        need: &Need,
        room: (usize, usize),
    ) -> Option<usize> {
        for _ in 0..CHOICE.min(places.len().div_ceil(4)) {
            let best = take_best(scores);
            self.push(best);
        }
        let is_enough = |index: &&u16| need.fits(without(room, places[usize::from(**index)]));
        let enough = self.indices().iter().filter(is_enough);
        let victim = enough.min_by_key(|index| places[usize::from(**index)].words).copied();
        if victim.is_some() {
            self.count = 0;
        }
        victim.map(usize::from)
    }

    /// In the order of their scores until it fits; then those are spared, the last first, without
    /// whom it fits too.
    fn several(&mut self, places: &[Place], scores: &mut [u32], need: &Need, room: (usize, usize)) {
        let mut room = room;
        let mut chosen = 0;
        while !need.fits(room) && chosen < places.len() {
            if chosen == self.count {
                self.push(take_best(scores));
            }
            room = without(room, places[usize::from(self.chosen[chosen])]);
            chosen += 1;
        }
        self.count = chosen;
        for index in (0..chosen).rev() {
            let place = places[usize::from(self.chosen[index])];
            let with = (room.0 + 1, room.1 + usize::from(place.words));
            if need.fits(with) {
                room = with;
                self.chosen.copy_within(index + 1..self.count, index);
                self.count -= 1;
            }
        }
    }

    fn push(&mut self, index: usize) {
        self.chosen[self.count] = index as u16;
        self.count += 1;
    }

    fn indices(&self) -> &[u16] {
        &self.chosen[..self.count]
    }

    /// Whether the place of that index has to go.
    pub(crate) fn contains(&self, index: usize) -> bool {
        self.indices().iter().any(|chosen| usize::from(*chosen) == index)
    }
}

/// So many of the best scored have the choice among them, but a quarter of all at most: where a
/// bucket holds a few large sessions, the newest must not be among them.
const CHOICE: usize = 8;

fn without((count, words): (usize, usize), place: Place) -> (usize, usize) {
    (count - 1, words - usize::from(place.words))
}

/// The score of each place: the highest goes first. 0 is nobody's.
fn scores(places: &[Place], tick: u8) -> [u32; SLOTS_MAX] {
    // By last use, the latest first; among equals the one that came last.
    let mut by_use = [0_u32; SLOTS_MAX];
    let by_use = &mut by_use[..places.len()];
    for (index, (entry, place)) in by_use.iter_mut().zip(places).enumerate() {
        let age = u32::from(tick.wrapping_sub(place.used));
        let older = SLOTS_MAX as u32 - u32::from(place.slot).min(SLOTS_MAX as u32);
        *entry = age << 24 | older << 12 | index as u32;
    }
    by_use.sort_unstable();
    let mut scores = [0; SLOTS_MAX];
    for (rank, entry) in (1..).zip(by_use) {
        let index = (*entry & 0xfff) as usize;
        scores[index] = rank * weight(places[index].words.into());
    }
    scores
}

/// 8 times the logarithm of the size to base 2, with the 3 bits behind the first for its fraction.
fn weight(words: u32) -> u32 {
    let log = words.max(1).ilog2();
    8 * log + ((words << 3 >> log) & 7)
}

/// The index of the highest score, of several the first, which is then out of the game.
fn take_best(scores: &mut [u32]) -> usize {
    let mut best = 0;
    for index in 1..scores.len() {
        if scores[index] > scores[best] {
            best = index;
        }
    }
    scores[best] = 0;
    best
}

const _: () = assert!(SLOTS_MAX < 1 << 12);

#[cfg(test)]
mod tests;
