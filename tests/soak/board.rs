//! What all processes of the soak know of one another.
#![allow(unsafe_code)] // The board lies in shared memory.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::plan::{CLIENTS, WORKERS, Weather};
use crate::scoreboard::Zeroed;
use crate::worker::DOORS;

/// Versions of TLS, at every door.
pub(crate) const KINDS: usize = DOORS * 2;

#[repr(C)]
#[derive(Debug)]
pub(crate) struct Board {
    /// Number of the slice, times four, and its weather.
    slice: AtomicU32,
    over: AtomicU32,
    /// Connections of each worker's place, by the one that has it now.
    pub(crate) served: [AtomicU64; WORKERS],
    /// Deaths of workers that have been decided on, and those that are over.
    pub(crate) doomed: AtomicU64,
    pub(crate) dead: AtomicU64,
    /// Visits of each client process.
    pub(crate) visits: [AtomicU64; CLIENTS],
    tallies: [Tally; 3],
    /// Times that somebody attached by name, and times that somebody looked in from outside.
    pub(crate) attached: AtomicU64,
    pub(crate) inspected: AtomicU64,
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

/// What the clients met in one kind of weather.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) visits: AtomicU64,
    /// Visits that a death cut off.
    pub(crate) cut: AtomicU64,
    /// By kind: visits with a session to show, and those that resumed.
    pub(crate) offered: [AtomicU64; KINDS],
    pub(crate) resumed: [AtomicU64; KINDS],
}

impl Board {
    pub(crate) fn begin(&self, number: u32, weather: Weather) {
        self.slice.store(number * 4 + weather as u32, SeqCst);
    }

    pub(crate) fn end(&self) {
        self.over.store(1, SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(SeqCst) != 0
    }

    /// The number of the slice, and where its visits are counted.
    pub(crate) fn slice(&self) -> (u32, &Tally) {
        let slice = self.slice.load(SeqCst);
        (slice / 4, &self.tallies[slice as usize % 4])
    }

    pub(crate) fn tally(&self, weather: Weather) -> &Tally {
        &self.tallies[weather as usize]
    }

    pub(crate) fn all_visits(&self) -> u64 {
        self.visits.iter().map(|visits| visits.load(SeqCst)).sum()
    }
}

/// Of the sessions that were shown, those that resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) offered: u64,
    pub(crate) resumed: u64,
}

impl Rate {
    pub(crate) fn percent(self) -> f64 {
        self.resumed as f64 * 100.0 / self.offered as f64
    }
}

impl Tally {
    /// Over the kinds that `counts` says.
    pub(crate) fn rate(&self, counts: impl Fn(usize) -> bool) -> Rate {
        let sum = |cells: &[AtomicU64]| {
            let cells = cells.iter().enumerate().filter(|(kind, _)| counts(*kind));
            cells.map(|(_, cell)| cell.load(SeqCst)).sum()
        };
        Rate { offered: sum(&self.offered), resumed: sum(&self.resumed) }
    }
}
