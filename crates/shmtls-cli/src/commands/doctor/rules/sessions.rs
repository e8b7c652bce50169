//! How sessions come and go.

use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::{HIT_RATE, share};
use crate::output::units;

/// Of fewer sessions nothing is said.
const STORES_MIN: u64 = 20;
/// What refuses a certificate ends in a fatal alert at once, and that removes the session: some are
/// like that everywhere. Where each close removes, it is nearly all.
const AT_ONCE_PROBLEM: f64 = 0.20;
const AT_ONCE_ADVICE: f64 = 0.05;

/// OpenSSL tells its remove callback of each connection that ends without close_notify.
pub(super) fn removed_at_once(picture: &Picture) -> Option<Finding> {
    let severity = severity_of_removals(picture)?;
    let (removed, stored) = (picture.stats.removed_at_once, stored(picture));
    let of = units::plural(stored, "session", "sessions");
    let seen = match severity {
        Severity::Fine => {
            format!("sessions stay: {} of {of} removed at once", units::count(removed))
        }
        _ => format!(
            "{} of new sessions are removed within a second of being stored ({} of {}){}",
            units::percent(removed, stored),
            units::count(removed),
            units::count(stored),
            hit_rate(picture),
        ),
    };
    let finding = Finding::new("removed-at-once", severity, seen)
        .figure("removed_at_once", removed)
        .figure("stored", stored)
        .weight(share(removed, stored));
    Some(explain_removals(picture, finding).see(HIT_RATE))
}

fn hit_rate(picture: &Picture) -> String {
    match picture.stats.lookups() {
        0 => String::new(),
        lookups => format!("; {} of lookups hit", units::percent(picture.stats.hits, lookups)),
    }
}

/// The events know on whose behalf the last sessions were removed.
fn explain_removals(picture: &Picture, finding: Finding) -> Finding {
    let recent = &picture.recent;
    let events = format!("shmtls events {} --only removed", picture.label);
    if recent.removed_by_handshake > recent.removed_by_api {
        return finding
            .means(
                "They went with handshakes that ended in a fatal alert, as RFC 5246 asks. Clients \
                 that do not accept the certificate do that.",
            )
            .run("Look at who they are, and at the server's log.", events);
    }
    let who = match recent.removed_by_api {
        0 => "Who removed them is not among the events any more. Mostly",
        _ => "Calls of the application removed them. Probably",
    };
    finding
        .means(format!(
            "{who} somebody calls remove when a connection ends without close_notify: OpenSSL \
             tells its remove callback of each, and wired to a shared cache that takes the hit \
             rate to zero."
        ))
        .step(
            "Drop the remove callback of your own: shmtls::openssl::attach needs none, and removes \
             a session only after a fatal alert.",
        )
        .step("Or end each connection with SSL_shutdown (in Rust: stream.shutdown()).")
        .run("See it happen.", events)
}

/// `None` if too few were stored.
fn severity_of_removals(picture: &Picture) -> Option<Severity> {
    let (removed, stored) = (picture.stats.removed_at_once, stored(picture));
    let share = share(removed, stored);
    (stored >= STORES_MIN).then(|| Severity::of_share(share, AT_ONCE_PROBLEM, AT_ONCE_ADVICE))
}

/// Whether removals explain why sessions are absent.
pub(super) fn are_removed_at_once(picture: &Picture) -> bool {
    severity_of_removals(picture) == Some(Severity::Problem)
}

pub(super) fn stored(picture: &Picture) -> u64 {
    picture.stats.stored_new.saturating_add(picture.stats.stored_replaced)
}

/// Where handshakes store one session each, and so many that several fall into one moment, half of
/// the runs are even: eight of eight by chance one time in 256.
const RUNS_MIN: u64 = 8;
const EVEN_ADVICE: f64 = 0.90;

/// No counter knows how many handshakes there were. But the tickets of one handshake are stored at
/// the same moment, with nothing between them.
pub(super) fn two_tickets(picture: &Picture) -> Option<Finding> {
    const RULE: &str = "two-tickets";
    let (even, runs) = (picture.recent.even_runs, picture.recent.runs());
    if picture.chosen.events == 0 {
        let seen = "whether handshakes store two sessions cannot be told: the segment keeps no \
                    events (it was made with --events 0)";
        return Some(Finding::new(RULE, Severity::Unknown, seen));
    }
    if runs < RUNS_MIN {
        return None;
    }
    let severity = Severity::of_share(share(even, runs), f64::INFINITY, EVEN_ADVICE);
    let seen = match severity {
        Severity::Fine => {
            "handshakes store one session each, as far as the last events tell".into()
        }
        _ => format!(
            "sessions are stored in pairs: {} of the last {} times that a process stored any",
            units::count(even),
            units::count(runs)
        ),
    };
    let finding = Finding::new(RULE, severity, seen)
        .figure("even_runs", even)
        .figure("runs", runs)
        .means(
            "That is how two TLS 1.3 tickets a handshake look, the default of OpenSSL and rustls. \
             A client that opens one connection at a time uses one; the other takes room until it \
             expires.",
        )
        .step(
            "SSL_CTX_set_num_tickets(ctx, 1), which shmtls::openssl::attach does by itself; with \
             rustls ServerConfig::send_tls13_tickets = 1. That halves the work and the room. \
             Clients that open several connections at once do use both.",
        )
        .see(HIT_RATE);
    Some(finding)
}
