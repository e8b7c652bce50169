//! How many lookups there are, and what the hits are worth.

use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::{HIT_RATE, LOOKUPS_MIN, sessions, share};
use crate::output::units;

/// Without lookups there is no hit rate.
pub(super) fn few_lookups(picture: &Picture) -> Option<Finding> {
    let lookups = picture.stats.lookups();
    if lookups >= LOOKUPS_MIN {
        return None;
    }
    let seen = match lookups {
        0 => "no client has offered a session: there is no hit rate to judge".into(),
        _ => format!(
            "clients have offered {}: too few to judge the hit rate",
            units::plural(lookups, "session", "sessions")
        ),
    };
    let finding = Finding::new("few-lookups", Severity::Unknown, seen)
        .figure("lookups", lookups)
        .figure("stored", sessions::stored(picture))
        .see(HIT_RATE);
    Some(match (lookups, sessions::stored(picture)) {
        (0, 1..) => finding
            .means(
                "Sessions are stored, and nobody comes back with one: clients that never return, \
                 that hang up before a TLS 1.3 ticket has come, or that have stateless tickets of \
                 a virtual host which is not attached.",
            )
            .run("See what clients see.", "shmtls probe HOST:PORT"),
        _ => finding,
    })
}

/// With connections spread at random, N workers have (N - 1) of N hits from each other.
const FOREIGN_ADVICE: f64 = 0.05;

/// Hits on sessions of another process are what sharing is for.
pub(super) fn foreign(picture: &Picture) -> Option<Finding> {
    let (hits, foreign) = (picture.stats.hits, picture.stats.foreign_hits);
    let workers = picture.live().filter(|member| member.lookups > 0).count() as u64;
    if hits < LOOKUPS_MIN || workers < 2 {
        return None;
    }
    let percent = units::percent(foreign, hits);
    let is_little = share(foreign, hits) < FOREIGN_ADVICE;
    let (severity, seen) = match is_little {
        true => (
            Severity::Advice,
            format!(
                "sharing saves little: {percent} of hits are on sessions \
             of another process, with {workers} processes at work"
            ),
        ),
        false => (
            Severity::Fine,
            format!(
                "sharing saves {} full handshakes: {percent} of hits are \
             on sessions of another process",
                units::count(foreign)
            ),
        ),
    };
    let finding = Finding::new("foreign", severity, seen)
        .figure("foreign_hits", foreign)
        .figure("hits", hits)
        .figure("workers", workers)
        .means(
            "The load balancer, or a kernel that hashes connections to workers (SO_REUSEPORT), \
             brings clients back to the same worker. Nothing is wrong; the cache still survives \
             its workers.",
        )
        .run("Compare the workers.", format!("shmtls procs {}", picture.label));
    Some(finding.see(HIT_RATE))
}
