//! The entries of one bucket in the order of their places: a list on the stack, because nothing
//! is allocated under a lock.

use crate::geometry::SLOTS_MAX;
use crate::segment::BucketRef;
use crate::session::Expiry;

/// What making room must know of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: u16,
    pub(crate) words: u16,
    /// The greater, the later the session came.
    pub(crate) slot: u16,
    pub(crate) used: u8,
    pub(crate) expiry: Expiry,
}

/// Places of one bucket, sorted; at most one per slot.
pub(crate) struct Order {
    places: [Place; SLOTS_MAX],
    len: usize,
}

impl Order {
    /// The records that slots of `bucket` point at. Every index is checked, but records may
    /// overlap if the bucket is damaged.
    pub(crate) fn of(bucket: BucketRef<'_>) -> Self {
        let none = Place { at: 0, words: 0, slot: 0, used: 0, expiry: Expiry::from_unix(0) };
        let mut order = Self { places: [none; SLOTS_MAX], len: 0 };
        for entry in bucket.entries().take(SLOTS_MAX) {
            order.places[order.len] = Place {
                at: entry.at as u16,
                words: entry.head.words() as u16,
                slot: entry.slot as u16,
                used: bucket.slot(entry.slot).used(),
                expiry: entry.head.expiry,
            };
            order.len += 1;
        }
        order.places[..order.len].sort_unstable_by_key(|place| place.at);
        order
    }

    /// Of made-up places, in their order.
    #[cfg(test)]
    pub(crate) fn from_places(places: &[Place]) -> Self {
        let mut order = Self { places: [places[0]; SLOTS_MAX], len: places.len() };
        order.places[..places.len()].copy_from_slice(places);
        order
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places[..self.len]
    }

    /// Words of all records.
    pub(crate) fn words(&self) -> usize {
        self.places().iter().map(|place| usize::from(place.words)).sum()
    }

    /// Keeps the places that `keep` says.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&Place) -> bool) {
        let mut kept = 0;
        for index in 0..self.len {
            if keep(&self.places[index]) {
                self.places[kept] = self.places[index];
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// The first word of the smallest gap between records, or before the word `limit`, that has
    /// room for `words`. None where a record lies beyond `limit`, which is needed for a slot.
    pub(crate) fn gap(&self, words: usize, limit: usize) -> Option<usize> {
        let (mut end, mut best) = (0, None);
        let starts = self.places().iter().map(|place| (place.at.into(), place.words.into()));
        for (start, len) in starts.chain([(limit, 0)]) {
            let gap = start.min(limit).saturating_sub(end);
            if gap >= words && best.is_none_or(|(smallest, _)| gap < smallest) {
                best = Some((gap, end));
            }
            end = end.max(start + len);
        }
        best.filter(|_| end <= limit).map(|(_, at)| at)
    }
}
