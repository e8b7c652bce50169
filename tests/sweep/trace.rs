//! The way that one run of an operation took, and shortcuts to any place on it.
//!
//! Single steps from the start to each of n instructions are n * n / 2 steps. So a run goes at
//! full speed to a breakpoint on the way, counts how often it is hit, and steps from there.

use std::collections::HashMap;

use super::tracer::{Stop, Traced};

pub(crate) struct Trace {
    instructions: usize,
    /// The address of the instruction after each number of them. Empty where nobody knows.
    addresses: Vec<u64>,
    /// For each number of instructions, how to get there with the fewest stops.
    ways: Vec<Way>,
}

/// How to get to a place: to two breakpoints, one after the other, and then step by step. A
/// stop at a breakpoint costs what a step costs.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    pub(crate) anchors: [Anchor; 2],
    pub(crate) steps: usize,
}

/// A breakpoint, and how often it is hit on the way there; 0: it is not needed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Anchor {
    pub(crate) address: u64,
    pub(crate) hits: usize,
}

impl Trace {
    /// Steps through a whole operation, to its second mark.
    pub(crate) fn record(traced: &Traced) -> Self {
        let (mut addresses, mut instructions) = (Vec::new(), 0);
        loop {
            addresses.extend(traced.address());
            if traced.step() == Stop::Marked {
                break;
            }
            instructions += 1;
        }
        Self { instructions, ways: ways(&addresses), addresses }
    }

    pub(crate) fn is_as(&self, other: &Self) -> bool {
        (self.instructions, &self.addresses) == (other.instructions, &other.addresses)
    }

    /// Of the operation, the last of which is the system call of the second mark.
    pub(crate) fn instructions(&self) -> usize {
        self.instructions
    }

    pub(crate) fn address(&self, k: usize) -> Option<u64> {
        self.addresses.get(k).copied()
    }

    pub(crate) fn way_to(&self, k: usize) -> Way {
        self.ways.get(k).copied().unwrap_or(Way { steps: k, ..Way::default() })
    }
}

impl Way {
    fn stops(&self) -> usize {
        self.anchors[0].hits + self.anchors[1].hits + self.steps
    }
}

/// The shortest way to each place.
fn ways(addresses: &[u64]) -> Vec<Way> {
    let direct = ways_from(addresses, Anchor::default());
    let mut ways = direct.clone();
    // A place in a loop is far from the start, but perhaps near a place that is reached cheaply.
    for cheap in [1, 4, 16, 64, 256] {
        let is_cheap = |way: &Way| way.steps == 0 && way.stops() <= cheap;
        let mut start = 0;
        while start < addresses.len() {
            let next = direct[start + 1..].iter().position(is_cheap);
            let end = next.map_or(addresses.len(), |next| start + 1 + next);
            let from = direct[start].anchors[1];
            for (way, other) in
                ways[start..end].iter_mut().zip(ways_from(&addresses[start..end], from))
            {
                if other.stops() < way.stops() {
                    *way = other;
                }
            }
            start = end;
        }
    }
    ways
}

/// From the first of `addresses`, to which the anchor leads, to each of them.
fn ways_from(addresses: &[u64], anchor: Anchor) -> Vec<Way> {
    let mut way = Way { anchors: [anchor, Anchor::default()], steps: 0 };
    let ways =
        addresses.iter().zip(count_hits(addresses)).enumerate().map(|(k, (address, hits))| {
            way.steps += usize::from(k > 0);
            if k > 0 && hits < way.anchors[1].hits + way.steps {
                way = Way { anchors: [anchor, Anchor { address: *address, hits }], steps: 0 };
            }
            way
        });
    ways.collect()
}

/// How often the address of each place has been reached when the run is there.
fn count_hits(addresses: &[u64]) -> Vec<usize> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let start = addresses.first();
    let hits = addresses.iter().map(|address| {
        // Whether where the child stands is a hit depends on how it came to stand there.
        if start == Some(address) {
            return NO_ANCHOR;
        }
        let count = counts.entry(*address).or_default();
        *count += 1;
        *count
    });
    hits.collect()
}

const NO_ANCHOR: usize = usize::MAX;
