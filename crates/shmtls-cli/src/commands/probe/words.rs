//! What the counts mean, in words.

use anstyle::Style;

use super::Probe;
use super::row::{Counts, Row, State};
use crate::failure::Failure;
use crate::output::style;
use crate::probe::client::{Kind, Trouble};
use crate::probe::verdict::{Verdict, WORKERS_MAX};

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Id12 => "TLS 1.2 id",
        Kind::Ticket12 => "TLS 1.2 ticket",
        Kind::Tls13 => "TLS 1.3",
    }
}

/// `22 %`: rounded down, since 99.9 is not all; and a few are not none.
pub(super) fn rate(percent: f64) -> String {
    if percent > 0.0 && percent < 1.0 { "<1 %".into() } else { format!("{} %", percent.floor()) }
}

/// `1.32 ms`
pub(super) fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1000.0)
}

pub(super) fn colour(row: &Row) -> Style {
    match row.counts().map(|counts| counts.verdict) {
        _ if row.below_min => style::BAD,
        None => style::DIM,
        Some(Verdict::Always) => style::GOOD,
        Some(Verdict::Never { .. }) => style::BAD,
        Some(_) => style::WARN,
    }
}

/// For the row itself.
pub(super) fn finding(row: &Row) -> String {
    let counts = match &row.state {
        State::Measured(counts) => counts,
        State::Refused { reason } => return format!("no handshake: {reason}"),
        State::NotOffered => return format!("not offered: {}", missing(row.kind)),
    };
    match counts.verdict {
        Verdict::Never { unless: None } => "never".into(),
        Verdict::Never { unless: Some(workers) } => {
            format!("never, or {workers} and more workers that share nothing")
        }
        Verdict::PerWorker { likely, low, high } => {
            let range = match (low, high) {
                (low, high) if low == high => String::new(),
                (low, WORKERS_MAX) => format!(" ({low} or more)"),
                (low, high) => format!(" ({low} to {high})"),
            };
            let one = per_worker(row.kind, counts);
            format!("like 1 in N with N = {likely}{range}: {one} per worker")
        }
        Verdict::Mixed => "neither all nor 1 in N".into(),
        Verdict::Mostly => "shared, but some are lost".into(),
        Verdict::Always => "always".into(),
        Verdict::TooFew => "too few to tell".into(),
    }
}

fn missing(kind: Kind) -> &'static str {
    match kind {
        Kind::Id12 => "the server keeps no sessions",
        Kind::Ticket12 => "tickets are off",
        Kind::Tls13 => "the server sends no tickets",
    }
}

fn per_worker(kind: Kind, counts: &Counts) -> &'static str {
    if kind == Kind::Id12 || counts.is_stateful() { "a session cache" } else { "a ticket key" }
}

/// Below the table: what it usually means, and what to do.
pub(super) fn remarks(probe: &Probe) -> Vec<String> {
    let mut remarks = Vec::new();
    for row in &probe.kinds {
        let Some(counts) = row.counts() else { continue };
        let of_row =
            [verdict(row.kind, counts, probe), renewal(row.kind, counts), failures(counts)];
        let name = kind(row.kind);
        remarks.extend(of_row.into_iter().flatten().map(|remark| format!("{name}: {remark}")));
    }
    let all = probe.kinds.iter().filter_map(Row::counts);
    if probe.parallel == 1 && all.clone().any(|counts| counts.verdict == Verdict::Always) {
        remarks.push(
            "One connection at a time may meet the same worker always; --parallel 8 meets more."
                .into(),
        );
    }
    remarks
}

fn verdict(kind: Kind, counts: &Counts, probe: &Probe) -> Option<String> {
    let stateful = kind == Kind::Id12 || counts.is_stateful();
    let text = match counts.verdict {
        Verdict::Never { .. } if stateful && probe.http && counts.close_notify == 0 => {
            "the server closes without close_notify; OpenSSL then removes the session."
        }
        Verdict::Never { .. } if stateful => {
            "sessions are promised and not found again. Either nothing keeps them (nginx's none, \
             httpd's nonenotnull), or each close removes them (try --http), or client certificates \
             are asked for without a session ID context, or a worker serves one connection only."
        }
        Verdict::Never { .. } => {
            "no ticket is accepted. Either each connection meets a process with a new key, or the \
             session ID context differs or is missing."
        }
        Verdict::PerWorker { .. } if stateful => {
            "workers keep sessions for themselves; a shared cache would resume all."
        }
        Verdict::PerWorker { .. } => {
            "workers make their own ticket keys; keys in common would resume all."
        }
        Verdict::Mixed | Verdict::Mostly if stateful => {
            "a cache that is too small, sessions that are stored too late for a fast client, or \
             several machines behind one address."
        }
        Verdict::Mixed | Verdict::Mostly => {
            "a key that changed meanwhile, workers that are being replaced, or several machines \
             behind one address."
        }
        Verdict::TooFew => "--connections 40 tells more.",
        Verdict::Always => return None,
    };
    Some(text.into())
}

fn renewal(kind: Kind, counts: &Counts) -> Option<String> {
    let used_up = kind == Kind::Tls13 && counts.resumed > 0 && counts.renewed == 0;
    used_up.then(|| "no new ticket when resumed, so a client resumes every other time.".into())
}

fn failures(counts: &Counts) -> Option<String> {
    let Counts { failed, connections, .. } = *counts;
    (failed > 0).then(|| format!("{failed} of {connections} connections failed."))
}

/// What to do when there was no handshake at all.
pub(super) fn with_tip(reason: &Trouble, failure: Failure) -> Failure {
    match reason {
        Trouble::NotTls => failure.tip("STARTTLS is not spoken here; name the port for TLS"),
        Trouble::Alert(name) if name == "unrecognized_name" => failure.tip("--sni NAME"),
        Trouble::Alert(name) if name == "certificate_required" => {
            failure.tip("the server wants a client certificate, which the probe has not")
        }
        Trouble::Timeout => failure.tip("--timeout 30s waits longer"),
        _ => failure,
    }
}
