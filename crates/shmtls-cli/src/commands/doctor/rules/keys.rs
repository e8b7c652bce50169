//! Ticket keys: unknown, behind, old.

use std::time::Duration;

use super::super::finding::{Finding, Severity};
use super::super::picture::{Keys, Member, Picture};
use super::{TICKET_KEYS, share};
use crate::output::units;
use crate::system::ProcessState;

/// Shares of fewer tickets than that are chance.
const TICKETS_MIN: u64 = 20;

/// The part of all tickets that clients showed; `None` if there are too few.
pub(super) fn of_tickets(picture: &Picture, tickets: u64) -> Option<f64> {
    let shown = shown(picture);
    (shown >= TICKETS_MIN).then(|| share(tickets, shown))
}

fn shown(picture: &Picture) -> u64 {
    let stats = &picture.stats;
    let known = [stats.tickets_current_key, stats.tickets_old_key, stats.tickets_other_context];
    known.into_iter().fold(stats.tickets_unknown_key, u64::saturating_add)
}

/// Clients keep tickets for longer than any ring: one in a hundred is usual.
const UNKNOWN_PROBLEM: f64 = 0.05;
const UNKNOWN_ADVICE: f64 = 0.01;

/// Workers that make a key each issue tickets that the others do not know.
pub(super) fn unknown(picture: &Picture) -> Option<Finding> {
    const RULE: &str = "unknown-ticket-keys";
    let unknown = picture.stats.tickets_unknown_key;
    let Some(weight) = of_tickets(picture, unknown) else {
        return Some(few_tickets(picture, RULE));
    };
    let severity = Severity::of_share(weight, UNKNOWN_PROBLEM, UNKNOWN_ADVICE);
    let percent = units::percent(unknown, shown(picture));
    let of = units::plural(shown(picture), "ticket", "tickets");
    let finding = Finding::new(RULE, severity, format!("{percent} of {of} have an unknown key"))
        .figure("tickets_unknown_key", unknown)
        .figure("tickets_shown", shown(picture))
        .figure("keys_dropped", picture.stats.keys_dropped)
        .weight(weight)
        .means(why_unknown(picture.stats.keys_dropped))
        .run(
            "Keep old keys behind a new one for as long as tickets live. These are there now:",
            format!("shmtls keys {}", picture.label),
        )
        .step("Attach every virtual host of every worker, with the mode Tickets::SharedKeys.")
        .run("If one in N resumes, N workers have keys of their own:", "shmtls probe HOST:PORT");
    Some(finding.see(TICKET_KEYS))
}

fn why_unknown(keys_dropped: u64) -> String {
    match keys_dropped {
        0 => "Their keys are not in the ring: made by workers or virtual hosts that are not \
              attached and have a key each, by another server, or so long ago that their key has \
              had to go."
            .into(),
        n => format!(
            "Updates dropped {} while their tickets could be alive. Each such ticket is a full \
             handshake.",
            units::plural(n, "key", "keys")
        ),
    }
}

fn few_tickets(picture: &Picture, rule: &'static str) -> Finding {
    let seen = match (&picture.keys, shown(picture)) {
        (None, _) => "whether workers make ticket keys of their own cannot be told: there are no \
                      shared ones in the segment"
            .into(),
        (Some(_), n) => format!(
            "clients have shown {} for the shared keys: too few to judge",
            units::plural(n, "ticket", "tickets")
        ),
    };
    let finding =
        Finding::new(rule, Severity::Unknown, seen).figure("tickets_shown", shown(picture));
    match picture.keys {
        None => finding
            .run("A client sees whether stateless tickets resume.", "shmtls probe HOST:PORT")
            .see(TICKET_KEYS),
        Some(_) => finding,
    }
}

/// Who was seen so long after an update has had time to take it.
const GRACE: Duration = Duration::from_secs(60);
/// Who does nothing is behind, which does no harm. Of a worker that should have work, it is news.
const LONG: Duration = Duration::from_secs(3600);

/// Every handshake with tickets looks at the epoch first, so only who does nothing is behind.
pub(super) fn epoch(picture: &Picture) -> Option<Finding> {
    let keys = picture.keys.as_ref()?;
    let users: Vec<_> = picture.live().filter(|member| member.key_epoch != 0).collect();
    let mut behind = users.clone();
    behind.retain(|member| member.key_epoch != keys.epoch);
    let age = picture.age(keys.published);
    let current = format!(
        "{} of {} current (epoch {}, set {} ago)",
        users.len() - behind.len(),
        units::plural(users.len() as u64, "process", "processes"),
        keys.epoch,
        units::span(age),
    );
    let late = behind.iter().copied().find(|member| is_late(member, keys));
    let is_stopped = |member: &&Member| member.state == ProcessState::Stopped;
    let stopped = behind.iter().copied().find(is_stopped);
    let severity = match (late, stopped) {
        _ if behind.is_empty() => Severity::Fine,
        (Some(_), _) => Severity::Problem,
        (None, None) if age < LONG => Severity::Fine,
        (None, _) => Severity::Advice,
    };
    let names: Vec<_> = behind.iter().take(4).map(|member| member.name()).collect();
    let more = if behind.len() > names.len() { ", ..." } else { "" };
    let seen = match severity {
        Severity::Fine => format!("ticket keys: {current}"),
        _ => format!("ticket keys: {current}; behind: {}{more}", names.join(", ")),
    };
    let finding = Finding::new("old-epoch", severity, seen)
        .figure("processes", users.len() as u64)
        .figure("processes_behind", behind.len() as u64)
        .figure("epoch", keys.epoch)
        .means(why_behind(late, stopped, picture));
    let finding = match stopped {
        Some(stopped) => {
            finding.run("Let it go on, or kill it.", format!("kill -CONT {}", stopped.pid))
        }
        None => finding.run("Who does what?", format!("shmtls procs {}", picture.label)),
    };
    Some(finding.see(TICKET_KEYS))
}

/// It has used the cache since, and not the keys.
fn is_late(member: &Member, keys: &Keys) -> bool {
    let since = member.last_seen.and_then(|seen| seen.duration_since(keys.published).ok());
    since.is_some_and(|since| since > GRACE)
}

fn why_behind(late: Option<&Member>, stopped: Option<&Member>, picture: &Picture) -> String {
    match (late, stopped) {
        (Some(member), _) => format!(
            "{} was at work {} ago, and still has not taken the new keys. It serves no handshakes \
             with tickets any more, or cannot read the ring.",
            member.name(),
            units::span(member.last_seen.map(|seen| picture.age(seen)).unwrap_or_default()),
        ),
        (None, Some(_)) => {
            "A stopped process has not seen the new keys; it does at its next handshake.".into()
        }
        (None, None) => "They have served no handshake since then; the next one takes the new \
                         keys. Does the load balancer reach them?"
            .into(),
    }
}

/// Twice what HAProxy's manual asks for. docs/monitoring.md wakes people for the same.
const OLD: Duration = Duration::from_secs(86_400);

pub(super) fn old(picture: &Picture) -> Option<Finding> {
    let keys = picture.keys.as_ref()?;
    let Some(since) = keys.encrypts_since else {
        let finding = Finding::new("old-keys", Severity::Problem, "no ticket key encrypts now")
            .figure("epoch", keys.epoch)
            .means("All keys of the ring are for later or have expired: no ticket is issued.")
            .run("Look at their times.", format!("shmtls keys {}", picture.label));
        return Some(finding.see(TICKET_KEYS));
    };
    let age = picture.age(since);
    let severity = if age > OLD { Severity::Problem } else { Severity::Fine };
    let span = units::span(age);
    let seen = match severity {
        // An update may have put the same key in front again.
        _ if !keys.knows_start => format!("the ring of ticket keys was set {span} ago"),
        Severity::Fine => format!("the current ticket key is {span} old"),
        _ => format!("the current ticket key has been in use for {span}"),
    };
    let finding = Finding::new("old-keys", severity, seen)
        .figure("age_secs", age.as_secs())
        .figure("epoch", keys.epoch)
        .means(
            "Who steals it opens every TLS 1.2 connection whose ticket it sealed. HAProxy's manual \
             asks for a new one every 12 hours.",
        );
    Some(renew(finding, keys.source).see(TICKET_KEYS))
}

fn renew(finding: Finding, source: &str) -> Finding {
    match source {
        "rotation" => finding.step(
            "Rotation does not run any more: call cache.rotate_keys(Rotation::every(12 h)) in \
             every worker, after the fork.",
        ),
        "file" => finding.step(
            "Write a new key into the file, the old one behind it, and have the server read it \
             again.",
        ),
        "remote" => finding.step("Find out why no newer keys arrive from the other machine."),
        _ => finding.step(
            "Publish a new key with the old one behind it, or let the workers do it: \
             cache.rotate_keys(Rotation::every(12 h)).",
        ),
    }
}
