//! One kind of resumption in the report.

use std::time::Duration;

use serde::Serialize;

use crate::probe::client::{Kind, Trouble};
use crate::probe::measure::{Measured, median};
use crate::probe::verdict::{Verdict, verdict};

#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) kind: Kind,
    #[serde(flatten)]
    pub(super) state: State,
    /// Medians; none of none.
    pub(super) full_handshake_us: Option<u64>,
    pub(super) resumed_handshake_us: Option<u64>,
    pub(super) below_min: bool,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum State {
    Measured(Counts),
    /// The server gives nothing to come back with.
    NotOffered,
    /// There was no handshake.
    Refused {
        reason: Trouble,
    },
}

#[derive(Debug, Serialize)]
pub(super) struct Counts {
    pub(super) attempts: u32,
    pub(super) resumed: u32,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    /// Resumed connections that brought a new ticket.
    pub(super) renewed: u32,
    /// Of the first ticket; 0 with session IDs.
    pub(super) ticket_bytes: usize,
    pub(super) connections: u32,
    pub(super) failed: u32,
    /// Connections that the server ended with close_notify.
    pub(super) close_notify: u32,
}

impl Row {
    /// `min` in percent.
    pub(super) fn new(kind: Kind, measured: Result<Measured, Trouble>, min: Option<f64>) -> Row {
        let measured = match measured {
            Ok(measured) => measured,
            Err(reason) => return Row::without_counts(kind, State::Refused { reason }),
        };
        let times = (micros(&measured.full_times), micros(&measured.resumed_times));
        let state = if measured.offered {
            State::Measured(Counts::new(&measured))
        } else {
            State::NotOffered
        };
        let row = Row { full_handshake_us: times.0, ..Row::without_counts(kind, state) };
        let rate = row.counts().and_then(Counts::rate);
        let below_min = rate.zip(min).is_some_and(|(rate, min)| rate < min);
        Row { resumed_handshake_us: times.1, below_min, ..row }
    }

    fn without_counts(kind: Kind, state: State) -> Row {
        Row { kind, state, full_handshake_us: None, resumed_handshake_us: None, below_min: false }
    }

    pub(super) fn counts(&self) -> Option<&Counts> {
        match &self.state {
            State::Measured(counts) => Some(counts),
            _ => None,
        }
    }
}

impl Counts {
    fn new(measured: &Measured) -> Counts {
        Counts {
            attempts: measured.attempts,
            resumed: measured.resumed,
            verdict: verdict(measured.resumed, measured.attempts),
            renewed: measured.renewed,
            ticket_bytes: measured.ticket_len,
            connections: measured.connections,
            failed: measured.failed,
            close_notify: measured.close_notify,
        }
    }

    /// In percent.
    pub(super) fn rate(&self) -> Option<f64> {
        let attempts = (self.attempts > 0).then_some(f64::from(self.attempts))?;
        Some(f64::from(self.resumed) * 100.0 / attempts)
    }

    /// The ticket is no sealed session but an ID, under which the server keeps the session.
    pub(super) fn is_stateful(&self) -> bool {
        // OpenSSL's and rustls' are 32 bytes long; a sealed session is three times that at least.
        self.ticket_bytes <= 64
    }
}

fn micros(times: &[Duration]) -> Option<u64> {
    median(times).map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}
