//! Lookups of sessions that are not there, or are not for who asks.

use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::{HIT_RATE, keys, of_lookups, sessions};
use crate::output::units;

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
    let of_tickets = keys::of_tickets(picture, tickets);
    let weight =
        [of_lookups(picture, misses), of_tickets].into_iter().flatten().reduce(f64::max)?;
    let severity = Severity::of_share(weight, OTHERS_PROBLEM, OTHERS_ADVICE);
    let (sessions, tickets_text) = (units::percent(misses, lookups), units::count(tickets));
    let seen = match severity {
        Severity::Fine => format!("contexts match: {sessions} of lookups are of another one"),
        _ => format!(
            "{sessions} of lookups, and {tickets_text} tickets, belong to another virtual host or \
             to an earlier configuration"
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
            "Give two hosts that share a certificate the same Config::new name, if and only if \
             they ask the same of clients.",
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
