//! Which operations come, and on which sessions, from a seed.

use crate::plan::{Mix, Scale};
use crate::sessions::{Random, Sessions};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Look this key's session up.
    Get(u32),
    /// Store one for this key.
    Put(u32),
}

/// The work of one worker.
///
/// Keys are numbers, dealt to the workers in turn: worker `w` of `n` stores `w`, `w + n` and so on.
#[derive(Debug)]
pub(crate) struct Workload {
    random: Random,
    mix: Mix,
    universe: u32,
    worker: u32,
    workers: u32,
    /// How many of its own keys it has stored.
    stored: u32,
    sessions: Sessions,
}

impl Workload {
    pub(crate) fn new(mix: Mix, scale: Scale, (worker, workers): (u32, u32)) -> Self {
        Self {
            random: Random::new(0x7ee5 + u64::from(worker)),
            mix,
            universe: scale.sessions,
            worker,
            workers,
            stored: 0,
            sessions: Sessions::new(None),
        }
    }

    /// The next key with which this worker fills the store, until there are enough.
    pub(crate) fn next_to_fill(&mut self) -> Option<u32> {
        // Half as many again make any store full.
        let all = if self.mix.is_full() { self.universe / 2 * 3 } else { self.universe };
        let next = self.stored * self.workers + self.worker;
        (next < all).then(|| self.new_key())
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Operation {
        let is_put = self.random.below(100) < self.mix.insert_percent();
        match (is_put, self.mix.is_full()) {
            (false, false) => Operation::Get(self.random.below(self.universe)),
            (true, false) => Operation::Put(self.random.below(self.universe)),
            (false, true) => Operation::Get(self.recent_key()),
            (true, true) => Operation::Put(self.new_key()),
        }
    }

    #[inline]
    fn new_key(&mut self) -> u32 {
        let key = self.key(self.stored);
        self.stored += 1;
        key
    }

    /// Of the most recent quarter of what a full store can hold.
    #[inline]
    fn recent_key(&mut self) -> u32 {
        let window = (self.universe / 4 / self.workers).clamp(1, self.stored);
        let back = 1 + self.random.below(window);
        self.key(self.stored - back)
    }

    #[inline]
    fn key(&self, turn: u32) -> u32 {
        turn * self.workers + self.worker
    }

    /// A new session for that key.
    #[inline]
    pub(crate) fn compose(&mut self, key: u32) -> &[u8] {
        let nonce = self.random.next();
        self.sessions.compose(key, nonce)
    }

    pub(crate) fn is_right(&self, key: u32, found: &[u8]) -> bool {
        self.sessions.is_right(key, found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn filled(mix: Mix, place: (u32, u32)) -> (Workload, HashSet<u32>) {
        let mut workload = Workload::new(mix, Scale::new(mix, 1000), place);
        let keys = std::iter::from_fn(|| workload.next_to_fill()).collect();
        (workload, keys)
    }

    /// Else what one stores another would replace, and the store would hold less than is said.
    #[test]
    fn workers_together_fill_every_key_once() {
        for (mix, all) in [(Mix::Get, 1000), (Mix::Mixed, 1000), (Mix::Half, 1500)] {
            let (first, second) = (filled(mix, (0, 2)).1, filled(mix, (1, 2)).1);
            assert!(first.is_disjoint(&second), "{mix:?}");
            let keys: HashSet<_> = first.union(&second).copied().collect();
            assert_eq!(keys, (0..all).collect(), "{mix:?}");
        }
    }

    #[test]
    fn with_room_every_key_is_one_that_was_filled() {
        for (mix, puts) in [(Mix::Get, 0..1), (Mix::Mixed, 900..1100)] {
            let mut workload = filled(mix, (1, 2)).0;
            let operations: Vec<_> = (0..10_000).map(|_| workload.next()).collect();
            let known =
                |it: &Operation| matches!(it, Operation::Get(0..1000) | Operation::Put(0..1000));
            assert!(operations.iter().all(known), "{mix:?}");
            let count = operations.iter().filter(|it| matches!(it, Operation::Put(_))).count();
            assert!(puts.contains(&count), "{mix:?}: {count} of 10000");
        }
    }

    /// A lookup in a full store is of a session that a store in the order of time still has.
    #[test]
    fn when_full_new_sessions_come_and_recent_ones_are_wanted() {
        let (mut workload, mut known) = filled(Mix::Half, (1, 2));
        let mut order: Vec<u32> = known.iter().copied().collect();
        order.sort_unstable();
        let mut puts = 0;
        for _ in 0..10_000 {
            match workload.next() {
                Operation::Put(key) => {
                    assert!(known.insert(key), "{key} is not new");
                    order.push(key);
                    puts += 1;
                }
                Operation::Get(key) => {
                    let recent = &order[order.len() - 125..];
                    assert!(recent.contains(&key), "{key} is not recent");
                }
            }
        }
        assert!((4_800..5_200).contains(&puts), "{puts}");
    }
}
