//! What the last events tell that no counter does.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use shmtls::{EventCursor, Happening, Inspector, Origin, PastEvent, Removal, Stored};

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    /// Sessions removed by a call of the application.
    pub(super) removed_by_api: u64,
    /// Sessions removed for what happened in a handshake.
    pub(super) removed_by_handshake: u64,
    /// Runs of new sessions that one process stored at the same moment, with nothing between them:
    /// runs of two, four ...
    pub(super) even_runs: u64,
    /// ... and of one, three ...
    pub(super) odd_runs: u64,
}

/// The clock of events goes in steps of up to 10 ms: what happens at once may be a step apart.
const AT_ONCE: Duration = Duration::from_millis(10);

impl Recent {
    /// Of what has happened since then.
    pub(super) fn since(start: SystemTime, inspector: &Inspector) -> Self {
        let (mut events, _) = inspector.events(&mut EventCursor::default());
        events.retain(|event| event.at() >= start);
        let mut recent = Self::default();
        let mut by_writer: BTreeMap<u16, Vec<&PastEvent>> = BTreeMap::new();
        for event in &events {
            recent.count(event);
            by_writer.entry(event.writer()).or_default().push(event);
        }
        for mut events in by_writer.into_values() {
            events.sort_by_key(|event| event.number());
            // The oldest may be the end of a run whose beginning is overwritten, the newest the
            // beginning of one.
            let runs: Vec<_> = events.chunk_by(|a, b| is_one_run(a, b)).collect();
            let whole = runs.get(1..runs.len().saturating_sub(1)).unwrap_or_default();
            for run in whole.iter().filter(|run| is_new(run[0])) {
                *(if run.len() % 2 == 0 { &mut recent.even_runs } else { &mut recent.odd_runs }) +=
                    1;
            }
        }
        recent
    }

    fn count(&mut self, event: &PastEvent) {
        if event.happening() == Happening::Gone(Removal::Removed) {
            match event.origin() {
                Origin::Handshake => self.removed_by_handshake += 1,
                _ => self.removed_by_api += 1,
            }
        }
    }

    /// Runs that are known from beginning to end.
    pub(super) fn runs(&self) -> u64 {
        self.even_runs + self.odd_runs
    }
}

fn is_new(event: &PastEvent) -> bool {
    event.happening() == Happening::Stored(Stored::Stored)
}

/// Whether a process stored one new session right after the other.
fn is_one_run(one: &PastEvent, next: &PastEvent) -> bool {
    let apart = next.at().duration_since(one.at()).unwrap_or_default();
    is_new(one)
        && is_new(next)
        && one.number().checked_add(1) == Some(next.number())
        && one.context_start() == next.context_start()
        && apart <= AT_ONCE
}
