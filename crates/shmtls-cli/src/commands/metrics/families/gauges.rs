//! What is as it is at this moment.

use std::time::SystemTime;

use super::{Kind, Sample, Text, units};

/// A label's value and a figure; no label if it is empty.
type Figures = Vec<(&'static str, f64)>;

#[derive(Debug)]
pub(super) struct Gauge {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    figures: fn(&Sample) -> Figures,
}

const fn one(name: &'static str, figures: fn(&Sample) -> Figures, help: &'static str) -> Gauge {
    Gauge { name, help, label: None, figures }
}

pub(super) const GAUGES: &[Gauge] = &[
    one("shmtls_size_bytes", |it| plain(it.info.bytes()), "Size of the segment."),
    one(
        "shmtls_capacity_bytes",
        |it| plain((it.info.buckets() * it.info.bucket_capacity()) as u64),
        "Room for sessions.",
    ),
    one("shmtls_used_bytes", |it| plain(it.used_bytes as u64), "Room that sessions take."),
    one("shmtls_sessions", |it| plain(it.sessions as u64), "Sessions stored."),
    one(
        "shmtls_session_max_bytes",
        |it| plain(it.info.max_session() as u64),
        "Size of the largest session that is not refused.",
    ),
    one(
        "shmtls_session_largest_refused_bytes",
        |it| plain(it.stats.largest_refused),
        "Size of the largest session that was refused; 0 if none was.",
    ),
    one(
        "shmtls_created_timestamp_seconds",
        |it| time(it.info.created()),
        "When the segment was made.",
    ),
    Gauge {
        name: "shmtls_processes",
        help: "Processes attached, by what has become of them.",
        label: Some("state"),
        figures: |it| {
            let states = [("alive", it.alive), ("dead", it.dead), ("unknown", it.unknown)];
            states.map(|(state, count)| (state, count as f64)).into()
        },
    },
    one(
        "shmtls_processes_max",
        |it| plain(it.info.processes() as u64),
        "Processes that can be attached at once.",
    ),
    one(
        "shmtls_ticket_key_processes",
        |it| plain(it.with_keys as u64),
        "Processes that use ticket keys.",
    ),
    one(
        "shmtls_ticket_key_processes_current",
        |it| plain(it.with_current_keys as u64),
        "Processes that use the ticket keys of this moment.",
    ),
    one(
        "shmtls_ticket_key_epoch",
        |it| plain(it.keys.as_ref().map_or(0, |keys| keys.epoch)),
        "Updates of the ticket keys; 0 before there are any.",
    ),
    one(
        "shmtls_ticket_key_set_timestamp_seconds",
        |it| it.keys.as_ref().map_or_else(Vec::new, |keys| time(keys.published)),
        "When the ticket keys were set.",
    ),
    one(
        "shmtls_scrape_duration_seconds",
        |it| vec![("", it.took.as_secs_f64())],
        "Time that it took to read the segment.",
    ),
];

fn plain(figure: u64) -> Figures {
    vec![("", figure as f64)]
}

fn time(time: SystemTime) -> Figures {
    plain(units::unix_secs(time))
}

impl Gauge {
    /// A gauge that no segment has is left out.
    pub(super) fn write(&self, text: &mut Text, read: &[(&str, &Sample)]) {
        let figures: Vec<_> =
            read.iter().map(|(segment, sample)| (*segment, (self.figures)(sample))).collect();
        if figures.iter().all(|(_, figures)| figures.is_empty()) {
            return;
        }
        text.family(self.name, Kind::Gauge, self.help);
        for (segment, figures) in figures {
            for (value, figure) in figures {
                let mut labels = vec![("segment", segment)];
                labels.extend(self.label.map(|label| (label, value)));
                text.sample(self.name, &labels, figure);
            }
        }
    }
}
