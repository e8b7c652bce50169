//! What a segment is and holds at this moment, and who uses it.

use std::time::Duration;

use shmtls::{Inspector, KeyRole, ProcessInfo};

use super::text::{Exposition, Page};
use crate::commands::stat::Contents;
use crate::output::units;
use crate::segment::Segment;
use crate::system::ProcessState;

/// The exporter itself.
pub(super) fn of_program(exposition: &mut Exposition) {
    let name = ("shmtls_build_info", "The program that exports this.");
    exposition.gauge(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
}

pub(super) fn is_up(page: &mut Page<'_>, up: bool) {
    page.gauge("shmtls_up", "Whether the segment could be opened.", u8::from(up));
}

pub(super) fn look_took(page: &mut Page<'_>, time: Duration) {
    let help = "How long it took to read the segment.";
    page.gauge("shmtls_scrape_duration_seconds", help, time.as_secs_f64());
}

pub(super) fn of_segment(page: &mut Page<'_>, segment: &Segment, inspector: &Inspector) {
    about(page, segment, inspector);
    contents(page, inspector);
    users(page, inspector);
}

fn about(page: &mut Page<'_>, segment: &Segment, inspector: &Inspector) {
    let info = inspector.info();
    page.info(
        ("shmtls_segment_info", "What the segment is."),
        &[
            ("path", &segment.path().display().to_string()),
            ("layout", &info.layout_version().to_string()),
            ("sealed", if info.is_sealed() { "true" } else { "false" }),
        ],
    );
    let created = units::unix_secs(info.created());
    page.gauge("shmtls_created_timestamp_seconds", "When the segment was made.", created);
    page.gauge("shmtls_segment_bytes", "Bytes of the whole segment.", info.bytes());
    let lifetime = info.lifetime().as_secs();
    page.gauge("shmtls_lifetime_seconds", "The longest that any session lives.", lifetime);
    let max = info.max_session();
    page.gauge("shmtls_session_max_bytes", "Bytes of the largest session that is stored.", max);
}

fn contents(page: &mut Page<'_>, inspector: &Inspector) {
    let it = Contents::of(inspector);
    page.gauge(
        "shmtls_sessions",
        "Sessions stored, expired ones included until they are cleared away.",
        it.sessions,
    );
    page.gauge(
        "shmtls_sessions_max",
        "Sessions that would fit if all were of the smallest size.",
        it.slots,
    );
    page.gauge(
        "shmtls_used_bytes",
        "Bytes in use by sessions, with the head of each.",
        it.used_bytes,
    );
    page.gauge("shmtls_capacity_bytes", "Bytes there are for sessions.", it.capacity_bytes);
    if let Some(bytes) = it.mean_session_bytes {
        let help = "Mean size of a session, of a sample of buckets.";
        page.gauge("shmtls_session_mean_bytes", help, bytes);
    }
    if let Some(age) = it.oldest_age_secs {
        let help = "Age of the oldest live session, of a sample of buckets.";
        page.gauge("shmtls_session_oldest_age_seconds", help, age);
    }
}

fn users(page: &mut Page<'_>, inspector: &Inspector) {
    let info = inspector.info();
    let processes: Vec<_> = inspector.processes();
    let with_state = |it: &ProcessInfo| (ProcessState::of(it, &info), it.key_epoch());
    let processes: Vec<_> = processes.iter().map(with_state).collect();
    let count = |which| processes.iter().filter(|(state, _)| *state == which).count();
    let states = [
        ("running", count(ProcessState::Running)),
        ("stopped", count(ProcessState::Stopped)),
        ("zombie", count(ProcessState::Zombie)),
        ("dead", count(ProcessState::Dead)),
        ("unknown", count(ProcessState::Unknown)),
    ];
    page.gauges(("shmtls_processes", "Processes in the table, by what they do."), "state", &states);
    let lines = info.processes();
    page.gauge("shmtls_processes_max", "Lines of the process table.", lines);
    let live = processes.iter().filter(|(state, _)| !state.is_dead());
    keys(page, inspector, &live.map(|(_, epoch)| *epoch).collect::<Vec<_>>());
}

/// `used` are the epochs that the live processes use; 0 for those that use none.
fn keys(page: &mut Page<'_>, inspector: &Inspector, used: &[u64]) {
    let status = inspector.keys();
    let epoch = status.as_ref().map_or(0, |status| status.epoch);
    let help = "Counts updates of the ticket keys; 0 before the first.";
    page.gauge("shmtls_ticket_key_epoch", help, epoch);
    let Some(status) = status else { return };
    let published = units::unix_secs(status.published);
    let help = "When the ticket keys were last updated.";
    page.gauge("shmtls_ticket_key_set_timestamp_seconds", help, published);
    let count = |role| status.keys.iter().filter(|key| key.role == role).count();
    let roles = [
        ("next", count(KeyRole::Next)),
        ("current", count(KeyRole::Current)),
        ("previous", count(KeyRole::Previous)),
        ("expired", count(KeyRole::Expired)),
    ];
    page.gauges(
        ("shmtls_ticket_keys", "Ticket keys in the ring, by what they do."),
        "role",
        &roles,
    );
    let current = used.iter().filter(|used| **used == epoch).count();
    let old = used.iter().filter(|used| **used != epoch && **used != 0).count();
    let name = ("shmtls_ticket_key_processes", "Live processes that use ticket keys, by which.");
    page.gauges(name, "keys", &[("current", current), ("old", old)]);
}
