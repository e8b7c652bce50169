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
    /// For each number of instructions, that of the best place to step from.
    anchors: Vec<usize>,
    /// How often the address there has been reached by then.
    hits: Vec<usize>,
}

/// How to get to a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) anchor: Option<Anchor>,
    pub(crate) steps: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor {
    pub(crate) address: u64,
    pub(crate) hits: usize,
}

impl Trace {
    /// Steps through a whole operation, to its second mark.
    pub(crate) fn record(traced: &Traced) -> Self {
        let knows_addresses = traced.has_breakpoints();
        let (mut addresses, mut instructions) = (Vec::new(), 0);
        loop {
            addresses.extend(knows_addresses.then(|| traced.address()));
            if traced.step() == Stop::Marked {
                break;
            }
            instructions += 1;
        }
        let hits = count_hits(&addresses);
        Self { instructions, anchors: best_anchors(&hits), addresses, hits }
    }

    /// Of the operation, the last of which is the system call of the second mark.
    pub(crate) fn instructions(&self) -> usize {
        self.instructions
    }

    pub(crate) fn address(&self, k: usize) -> Option<u64> {
        self.addresses.get(k).copied()
    }

    pub(crate) fn way_to(&self, k: usize) -> Way {
        match self.anchors.get(k).copied() {
            None | Some(0) => Way { anchor: None, steps: k },
            Some(at) => {
                let anchor = Anchor { address: self.addresses[at], hits: self.hits[at] };
                Way { anchor: Some(anchor), steps: k - at }
            }
        }
    }
}

/// How often the address of each place has been reached when the run is there.
fn count_hits(addresses: &[u64]) -> Vec<usize> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let (start, mut before) = (addresses.first(), None);
    let hits = addresses.iter().map(|address| {
        // A repeated string instruction is stepped through piece by piece, but is one hit. Whether
        // the place where the child stands is one depends on how it came to stand there.
        if before.replace(address) == Some(address) || start == Some(address) {
            return NO_ANCHOR;
        }
        let count = counts.entry(*address).or_default();
        *count += 1;
        *count
    });
    hits.collect()
}

const NO_ANCHOR: usize = usize::MAX;

/// A stop at a breakpoint costs what a step costs.
fn best_anchors(hits: &[usize]) -> Vec<usize> {
    let (mut at, mut cost) = (0, 0);
    let anchors = hits.iter().enumerate().map(|(k, hits)| {
        cost += usize::from(k > 0);
        if k > 0 && *hits < cost {
            (at, cost) = (k, *hits);
        }
        at
    });
    anchors.collect()
}
