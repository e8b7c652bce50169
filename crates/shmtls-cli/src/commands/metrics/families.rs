//! What is exported, and under which name. Names never change: dashboards and alerts live by them.

use super::sample::Sample;
use super::text::{Kind, Text};
use crate::output::units;
use counters::{COUNTERS, Counters};
use gauges::GAUGES;

mod counters;
mod gauges;

const WAITS: &str = "shmtls_lock_wait_seconds";

/// A segment as the user calls it; `None` if it cannot be read.
type Named = (String, Option<Sample>);

/// The whole exposition.
pub(super) fn of(segments: &[Named]) -> String {
    let mut text = Text::default();
    text.family("shmtls_build_info", Kind::Gauge, "The exporter.");
    text.sample("shmtls_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    if segments.is_empty() {
        return text.into();
    }
    text.family("shmtls_up", Kind::Gauge, "Whether the segment could be read.");
    for (label, sample) in segments {
        text.sample("shmtls_up", &[("segment", label)], u8::from(sample.is_some()));
    }
    let read: Vec<_> =
        segments.iter().filter_map(|(label, sample)| Some((&**label, sample.as_ref()?))).collect();
    if !read.is_empty() {
        info(&mut text, &read);
        GAUGES.iter().for_each(|gauge| gauge.write(&mut text, &read));
        COUNTERS.iter().for_each(|counters| counted(&mut text, counters, &read));
        waits(&mut text, &read);
    }
    text.into()
}

/// What is chosen when a segment is made, as labels.
fn info(text: &mut Text, read: &[(&str, &Sample)]) {
    const NAME: &str = "shmtls_segment_info";
    text.family(NAME, Kind::Gauge, "How the segment was made.");
    for (label, Sample { info, .. }) in read {
        let layout = info.layout_version().to_string();
        let sealed = info.is_sealed().to_string();
        let labels = [("segment", *label), ("layout", &layout), ("sealed", &sealed)];
        text.sample(NAME, &labels, 1);
    }
}

fn counted(text: &mut Text, counters: &Counters, read: &[(&str, &Sample)]) {
    text.family(counters.name, Kind::Counter, counters.help);
    for (segment, sample) in read {
        for (value, field) in counters.fields {
            let mut labels = vec![("segment", *segment)];
            labels.extend(counters.label.map(|label| (label, *value)));
            text.sample(counters.name, &labels, counters::field(&sample.stats, field));
        }
    }
}

fn waits(text: &mut Text, read: &[(&str, &Sample)]) {
    text.family(WAITS, Kind::Histogram, "Waits for a lock that somebody else had.");
    for (segment, Sample { stats, .. }) in read {
        let mut sum: u64 = 0;
        for (below_micros, count) in stats.lock_wait_histogram() {
            sum = sum.saturating_add(count);
            let bound = below_micros.map_or("+Inf".into(), |it| seconds(it, 1_000_000));
            text.sample(&format!("{WAITS}_bucket"), &[("segment", *segment), ("le", &bound)], sum);
        }
        let total = seconds(stats.lock_wait_nanos, 1_000_000_000);
        text.sample(&format!("{WAITS}_sum"), &[("segment", *segment)], total);
        text.sample(&format!("{WAITS}_count"), &[("segment", *segment)], sum);
    }
}

/// Of a number of parts of a second.
fn seconds(parts: u64, parts_per_second: u64) -> String {
    (parts as f64 / parts_per_second as f64).to_string()
}

#[cfg(test)]
mod tests;
