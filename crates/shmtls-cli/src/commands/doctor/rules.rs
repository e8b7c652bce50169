//! The rules. Each looks at a picture, and says what it finds, that all is well, or nothing where
//! there is nothing to judge.

use std::cmp::Ordering;

use super::finding::Finding;
use super::picture::Picture;

mod keys;
mod lookups;
mod memory;
mod misses;
mod processes;
mod room;
mod sessions;
mod trouble;
#[cfg(test)]
mod tests;

type Rule = fn(&Picture) -> Option<Finding>;

/// Among findings that are equally bad the first counts as the worst.
const ALL: &[Rule] = &[
    trouble::damaged,
    trouble::forged,
    sessions::removed_at_once,
    keys::unknown,
    misses::context,
    misses::library,
    room::too_small,
    room::expired,
    room::too_large,
    misses::absent,
    trouble::busy,
    processes::stuck_locks,
    memory::mode,
    keys::old,
    keys::epoch,
    sessions::two_tickets,
    processes::died,
    processes::table,
    lookups::foreign,
    memory::swap,
    lookups::few_lookups,
];

/// The worst first.
pub(super) fn apply(picture: &Picture) -> Vec<Finding> {
    let mut findings: Vec<_> = ALL.iter().filter_map(|rule| rule(picture)).collect();
    let by_weight = |a: &Finding, b: &Finding| b.weight.partial_cmp(&a.weight);
    findings.sort_by(|a, b| {
        a.severity.cmp(&b.severity).then(by_weight(a, b).unwrap_or(Ordering::Equal))
    });
    findings
}

/// Shares of fewer lookups than that are chance.
const LOOKUPS_MIN: u64 = 100;

/// The part of all lookups; `None` if there are too few.
fn of_lookups(picture: &Picture, lookups: u64) -> Option<f64> {
    let all = picture.stats.lookups();
    (all >= LOOKUPS_MIN).then(|| share(lookups, all))
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

const HIT_RATE: &str = "docs/hit-rate.md";
const SIZING: &str = "docs/sizing.md";
const DEAD_WORKERS: &str = "docs/dead-workers.md";
const TICKET_KEYS: &str = "docs/ticket-keys.md";
const DEPLOYING: &str = "docs/deploying.md";
