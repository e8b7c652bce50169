//! What should never happen: waits without end, and bytes that no worker wrote.

use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::{DEAD_WORKERS, HIT_RATE, sessions, share};
use crate::output::units;

/// A worker that dies costs a few lookups. One in a thousand is no accident.
const BUSY_PROBLEM: f64 = 0.001;

pub(super) fn busy(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let lost = [stats.misses_busy, stats.refused_busy, stats.removes_busy];
    let lost = lost.into_iter().fold(0, u64::saturating_add);
    let all = stats.lookups().saturating_add(sessions::stored(picture));
    let weight = share(lost, all);
    let severity = match lost {
        _ if all == 0 => return None,
        0 => Severity::Fine,
        _ => Severity::of_share(weight, BUSY_PROBLEM, 0.0),
    };
    let seen = match severity {
        Severity::Fine => format!(
            "nobody gave up waiting for a bucket ({} at all)",
            units::plural(stats.lock_waits, "wait", "waits")
        ),
        _ => format!(
            "{} gave up at the deadline, waiting for a bucket ({} of all)",
            units::plural(lost, "operation", "operations"),
            units::percent(lost, all),
        ),
    };
    let finding = Finding::new("busy", severity, seen)
        .figure("misses_busy", stats.misses_busy)
        .figure("refused_busy", stats.refused_busy)
        .figure("removes_busy", stats.removes_busy)
        .weight(weight)
        .means(
            "Somebody held a bucket for longer than the others wait (50 ms, if the server does not \
             say otherwise): a process that was stopped in it, or one that got no core on an \
             overloaded machine.",
        )
        .run(
            "Is it the same one all the time? That one is stuck.",
            format!("shmtls locks {} --for 2s", picture.label),
        );
    Some(finding.see(DEAD_WORKERS))
}

pub(super) fn damaged(picture: &Picture) -> Option<Finding> {
    let damaged = picture.stats.misses_damaged;
    if damaged == 0 {
        return Some(Finding::new("damaged", Severity::Fine, "no lookup met damaged bytes"));
    }
    let seen = format!(
        "{} met bytes that fail their check",
        units::plural(damaged, "lookup has", "lookups have")
    );
    let finding = Finding::new("damaged", Severity::Problem, seen)
        .figure("misses_damaged", damaged)
        .weight(share(damaged, picture.stats.lookups()))
        .means(
            "No process of ours writes such, not even one that is killed: a stray pointer, or a \
             stranger who may write.",
        )
        .run(
            "Repair what can be repaired, and please report it.",
            format!("shmtls check {} --repair", picture.label),
        );
    Some(finding.see(DEAD_WORKERS))
}

pub(super) fn forged(picture: &Picture) -> Option<Finding> {
    let forged = picture.stats.misses_forged;
    if forged == 0 {
        return None;
    }
    let seen = format!(
        "{} met a session that was sealed with another key, or by nobody",
        units::plural(forged, "lookup has", "lookups have")
    );
    let finding = Finding::new("forged", Severity::Problem, seen)
        .figure("misses_forged", forged)
        .weight(share(forged, picture.stats.lookups()))
        .means("Somebody without the sealing key wrote to the segment.")
        .run("Find out who may.", format!("shmtls procs {}", picture.label));
    Some(finding.see(HIT_RATE))
}
