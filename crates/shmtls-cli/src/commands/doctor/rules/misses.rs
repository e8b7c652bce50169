//! Lookups that found nothing, by their reasons, and what the hits are worth.

use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::{DEAD_WORKERS, HIT_RATE, LOOKUPS_MIN, of_lookups, sessions, share};
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
                 that hang up before a TLS 1.3 ticket has come, or that have stateless tickets of a \
                 virtual host which is not attached.",
            )
            .run("See what clients see.", "shmtls probe HOST:PORT"),
        _ => finding,
    })
}

/// Below that, mistakes of single clients; above, of the server.
const ABSENT_PROBLEM: f64 = 0.50;
const ABSENT_ADVICE: f64 = 0.20;

pub(super) fn absent(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let weight = of_lookups(picture, stats.misses_absent)?;
    let age = picture.age(picture.created);
    let is_young = age < picture.chosen.lifetime;
    let severity = match Severity::of_share(weight, ABSENT_PROBLEM, ABSENT_ADVICE) {
        // What is removed cannot be found: that has been said.
        Severity::Problem | Severity::Advice if sessions::are_removed_at_once(picture) => {
            return None;
        }
        Severity::Problem if is_young => Severity::Advice,
        severity => severity,
    };
    let percent = units::percent(stats.misses_absent, stats.lookups());
    let seen = match severity {
        Severity::Fine => {
            format!("few strangers: {percent} of lookups are of sessions that are not here")
        }
        _ => {
            format!("{percent} of lookups are of sessions that are not here, and nothing says why")
        }
    };
    let mut finding = Finding::new("absent", severity, seen)
        .figure("misses_absent", stats.misses_absent)
        .figure("lookups", stats.lookups())
        .figure("taken", stats.taken)
        .weight(weight)
        .means(why_absent(picture, is_young));
    if stats.taken > 0 {
        finding = finding.step(
            "Clients that open several connections with one single-use ticket: \
             Config::reuse_tls13(true), never together with 0-RTT.",
        );
    }
    let events = format!("shmtls events {} --only missed,taken,removed", picture.label);
    Some(
        finding
            .run("Look at the sessions that are missed, and at their lives.", events)
            .see(HIT_RATE),
    )
}

fn why_absent(picture: &Picture, is_young: bool) -> String {
    let mut why =
        "They were never stored here, or taken, removed, or expired and cleared away.".to_owned();
    if picture.stats.taken > 0 {
        let taken = units::plural(picture.stats.taken, "session was", "sessions were");
        why += &format!(" {taken} single-use and taken.");
    }
    if is_young {
        let age = units::span(picture.age(picture.created));
        why += &format!(
            " The segment is only {age} old: clients may still come with sessions from before it."
        );
    }
    why
}

/// A browser now and then offers one host's session to another. Of a twentieth there is a cause.
const OTHERS_PROBLEM: f64 = 0.05;
const OTHERS_ADVICE: f64 = 0.01;

pub(super) fn context(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let tickets = stats.tickets_other_context;
    let (misses, lookups) = (stats.misses_context, stats.lookups());
    // Tickets are no lookups, so each is compared with its like.
    let of_tickets = super::keys::of_tickets(picture, tickets);
    let weight =
        [of_lookups(picture, misses), of_tickets].into_iter().flatten().reduce(f64::max)?;
    let severity = Severity::of_share(weight, OTHERS_PROBLEM, OTHERS_ADVICE);
    let (sessions, tickets_text) = (units::percent(misses, lookups), units::count(tickets));
    let seen = match severity {
        Severity::Fine => format!("contexts match: {sessions} of lookups are of another one"),
        _ => format!(
            "{sessions} of lookups, and {tickets_text} tickets, belong to another virtual host or to \
             an earlier configuration"
        ),
    };
    let finding = Finding::new("other-context", severity, seen)
        .figure("misses_context", misses)
        .figure("tickets_other_context", tickets)
        .figure("lookups", lookups)
        .weight(weight)
        .means(
            "A session is bound to the Config::new name, the certificates, and what is asked of \
             client certificates. Workers with different certificates or names do not share; in a \
             rolling restart that passes. OpenSSL looks sessions up before it calls the servername \
             callback, so a host chosen there never resumes.",
        )
        .step("Choose the virtual host in OpenSSL's client-hello callback.")
        .step(
            "Give two hosts that share a certificate the same Config::new name, if and only if they \
             ask the same of clients.",
        )
        .run(
            "See which contexts the sessions have.",
            format!("shmtls ls {} --limit 50", picture.label),
        );
    Some(finding.see(HIT_RATE))
}

/// The bytes of one TLS library, or of one version of it, are nothing to another.
pub(super) fn library(picture: &Picture) -> Option<Finding> {
    let stats = &picture.stats;
    let misses = stats.misses_library.saturating_add(stats.misses_undecodable);
    let weight = of_lookups(picture, misses)?;
    let severity = Severity::of_share(weight, OTHERS_PROBLEM, OTHERS_ADVICE);
    if severity == Severity::Fine {
        return None;
    }
    let seen = format!(
        "{} of lookups find a session that the worker's TLS library cannot use",
        units::percent(misses, stats.lookups())
    );
    let finding = Finding::new("other-library", severity, seen)
        .figure("misses_library", stats.misses_library)
        .figure("misses_undecodable", stats.misses_undecodable)
        .weight(weight)
        .means(
            "OpenSSL and rustls workers share the segment, or an upgrade has changed the form of \
             sessions: those are replaced as they are met.",
        )
        .step("Give the workers of each TLS library a segment of their own.");
    Some(finding.see(HIT_RATE))
}

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
             brings clients back to the same worker. Nothing is wrong; the cache still survives its \
             workers.",
        )
        .run("Compare the workers.", format!("shmtls procs {}", picture.label));
    Some(finding.see(HIT_RATE))
}
