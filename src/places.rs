//! Where the records of one bucket lie: a list on the stack, because nothing is allocated under a
//! lock.

use std::ops::Range;

use crate::bucket::Entry;
use crate::geometry::SLOTS_MAX;

/// What making room must know of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: u16,
    pub(crate) words: u16,
    /// The greater, the later the session came.
    pub(crate) slot: u16,
    /// The tick of its last use, as wide as the others: so there is no padding to be copied.
    pub(crate) used: u16,
}

impl Place {
    fn start(&self) -> usize {
        self.at.into()
    }

    fn len(&self) -> usize {
        self.words.into()
    }

    fn end(&self) -> usize {
        self.start() + self.len()
    }
}

/// Records of one bucket, at most one per slot, in the order in which they were noted.
pub(crate) struct Places {
    places: [Place; SLOTS_MAX],
    len: usize,
}

impl Places {
    pub(crate) fn new() -> Self {
        let none = Place { at: 0, words: 0, slot: 0, used: 0 };
        Self { places: [none; SLOTS_MAX], len: 0 }
    }

    /// Notes a record, last used at that tick. Beyond one for each slot nothing is noted.
    #[inline]
    pub(crate) fn note(&mut self, entry: &Entry, used: u8) {
        if let Some(place) = self.places.get_mut(self.len) {
            let (at, words, slot) = (entry.at as u16, entry.head.words() as u16, entry.slot as u16);
            *place = Place { at, words, slot, used: used.into() };
            self.len += 1;
        }
    }

    /// Of made-up places, in their order.
    #[cfg(test)]
    pub(crate) fn of(places: impl Iterator<Item = Place>) -> Self {
        let mut made_up = Self::new();
        for place in places {
            made_up.places[made_up.len] = place;
            made_up.len += 1;
        }
        made_up
    }

    pub(crate) fn as_slice(&self) -> &[Place] {
        &self.places[..self.len]
    }

    /// Words of all records.
    pub(crate) fn words(&self) -> usize {
        self.as_slice().iter().map(Place::len).sum()
    }

    /// In the order of their positions, without the ones that are `gone`: indices.
    pub(crate) fn by_position(&mut self, gone: impl Iterator<Item = usize>) -> Order<'_> {
        for index in gone {
            self.places[index].words = 0;
        }
        let mut kept = 0;
        for index in 0..self.len {
            self.places[kept] = self.places[index];
            kept += usize::from(self.places[index].words > 0);
        }
        self.len = kept;
        let kept = &mut self.places[..kept];
        kept.sort_unstable_by_key(|place| place.at);
        Order(kept)
    }
}

/// Records of one bucket by position. They may overlap if the bucket is damaged.
pub(crate) struct Order<'a>(&'a [Place]);

impl Order<'_> {
    pub(crate) fn places(&self) -> &[Place] {
        self.0
    }

    /// The first word of the smallest gap between records, or before the word `limit`, that has
    /// room for `words`. None where a record lies beyond `limit`, which is needed for a slot.
    pub(crate) fn gap(&self, words: usize, limit: usize) -> Option<usize> {
        let (mut end, mut best) = (0, None);
        let starts = self.places().iter().map(|place| (place.start(), place.len()));
        for (start, len) in starts.chain([(limit, 0)]) {
            let gap = start.min(limit).saturating_sub(end);
            if gap >= words && best.is_none_or(|(smallest, _)| gap < smallest) {
                best = Some((gap, end));
            }
            end = end.max(start + len);
        }
        best.filter(|_| end <= limit).map(|(_, at)| at)
    }

    /// The neighbours of the fewest words that leave a gap of `words` when they close up, before
    /// the word `limit`. All, where records overlap, lie beyond `limit`, or leave no such gap.
    pub(crate) fn to_close_up(&self, words: usize, limit: usize) -> Range<usize> {
        let places = self.places();
        let all = 0..places.len();
        let is_before = |pair: &[Place]| pair[0].end() <= pair[1].start();
        if !places.windows(2).all(is_before) || self.end_before(places.len()) > limit {
            return all;
        }
        let (mut best, mut fewest) = (all, usize::MAX);
        let (mut first, mut moved) = (0, 0);
        for last in 0..places.len() {
            moved += places[last].len();
            let next = places.get(last + 1).map_or(limit, Place::start);
            // Without those at the start it is as good, as long as the gap is large enough.
            while first <= last && next - self.end_before(first) >= moved + words {
                if moved < fewest {
                    (best, fewest) = (first..last + 1, moved);
                }
                moved -= places[first].len();
                first += 1;
            }
        }
        best
    }

    /// Where the place before that one ends.
    pub(crate) fn end_before(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.places()[before].end())
    }
}

#[cfg(test)]
mod tests;
