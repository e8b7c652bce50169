//! Remarks of who looks again and again: those that were there at the last look are not repeated.

use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Remarks(Mutex<String>);

impl Remarks {
    /// Whole lines: all that there is to say after a look.
    pub(super) fn tell(&self, lines: String) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<_> = last.lines().collect();
        for line in lines.lines().filter(|line| !told.contains(line)) {
            anstream::eprintln!("{line}");
        }
        *last = lines;
    }
}
