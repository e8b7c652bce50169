//! Prometheus's text format, version 0.0.4.

use std::fmt::{Display, Write};

/// What a family's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// The samples of a family stand together, whatever segments they are of.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    samples: String,
}

/// All families, in the order in which they were first named.
#[derive(Debug, Default)]
pub(super) struct Exposition(Vec<Family>);

type Labels<'a> = &'a [(&'a str, &'a str)];
/// What a family is called, and what it means.
type Name = (&'static str, &'static str);

impl Exposition {
    pub(super) fn gauge(&mut self, name: Name, labels: Labels<'_>, value: impl Display) {
        sample(self.samples(name, Kind::Gauge), name.0, labels, value);
    }

    /// What goes up only, as long as the segment lives.
    pub(super) fn counter(&mut self, name: Name, labels: Labels<'_>, value: impl Display) {
        debug_assert!(name.0.ends_with("_total"), "{name:?}");
        sample(self.samples(name, Kind::Counter), name.0, labels, value);
    }

    /// Of the classes, each has its upper bound, which the last one lacks, and a count of its own.
    pub(super) fn histogram(
        &mut self,
        name: Name,
        labels: Labels<'_>,
        classes: &[(Option<f64>, u64)],
        sum: f64,
    ) {
        let (samples, name) = (self.samples(name, Kind::Histogram), name.0);
        let mut below = 0_u64;
        for (bound, count) in classes {
            // Anything may stand in a counter, but a count of more is never less.
            below = below.saturating_add(*count);
            let bound = bound.map_or_else(|| "+Inf".into(), |bound| bound.to_string());
            let labels = [labels, &[("le", &bound)]].concat();
            sample(samples, &format!("{name}_bucket"), &labels, below);
        }
        sample(samples, &format!("{name}_sum"), labels, sum);
        sample(samples, &format!("{name}_count"), labels, below);
    }

    fn samples(&mut self, (name, help): Name, kind: Kind) -> &mut String {
        let at = self.0.iter().position(|family| family.name == name).unwrap_or(self.0.len());
        if at == self.0.len() {
            self.0.push(Family { name, help, kind, samples: String::new() });
        }
        &mut self.0[at].samples
    }
}

/// A segment's place in it: all its samples say which it is.
#[derive(Debug)]
pub(super) struct Page<'a> {
    exposition: &'a mut Exposition,
    segment: &'a str,
}

impl<'a> Page<'a> {
    pub(super) fn new(exposition: &'a mut Exposition, segment: &'a str) -> Self {
        Self { exposition, segment }
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, value: impl Display) {
        self.exposition.gauge((name, help), &[self.label()], value);
    }

    pub(super) fn gauges(&mut self, name: Name, label: &str, values: &[(&str, usize)]) {
        for (which, value) in values {
            self.exposition.gauge(name, &[self.label(), (label, which)], value);
        }
    }

    /// Facts that are no numbers.
    pub(super) fn info(&mut self, name: Name, facts: Labels<'_>) {
        self.exposition.gauge(name, &[&[self.label()], facts].concat(), 1);
    }

    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
        self.exposition.counter((name, help), &[self.label()], value);
    }

    pub(super) fn counters(&mut self, name: Name, label: &str, values: &[(&str, u64)]) {
        for (which, value) in values {
            self.exposition.counter(name, &[self.label(), (label, which)], value);
        }
    }

    pub(super) fn histogram(&mut self, name: Name, classes: &[(Option<f64>, u64)], sum: f64) {
        self.exposition.histogram(name, &[self.label()], classes, sum);
    }

    fn label(&self) -> (&'a str, &'a str) {
        ("segment", self.segment)
    }
}

impl From<Exposition> for String {
    fn from(exposition: Exposition) -> Self {
        let family = |Family { name, help, kind, samples }: Family| {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{samples}")
        };
        exposition.0.into_iter().map(family).collect()
    }
}

/// `name{label="value"} 7`.
fn sample(text: &mut String, name: &str, labels: Labels<'_>, value: impl Display) {
    let pair = |(label, value): &(&str, &str)| format!("{label}=\"{}\"", escaped(value));
    let pairs: Vec<_> = labels.iter().map(pair).collect();
    let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    writeln!(text, "{name}{labels} {value}").expect("a string takes everything");
}

/// Paths are other people's.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_family_stand_together() {
        let mut page = Exposition::default();
        for segment in ["web", "api"] {
            page.counter(("x_total", "Sums."), &[("segment", segment), ("kind", "a")], 7);
            page.gauge(("y", "Now."), &[], 0.5);
        }
        let expected = "# HELP x_total Sums.\n# TYPE x_total counter\n\
                        x_total{segment=\"web\",kind=\"a\"} 7\n\
                        x_total{segment=\"api\",kind=\"a\"} 7\n\
                        # HELP y Now.\n# TYPE y gauge\ny 0.5\ny 0.5\n";
        assert_eq!(String::from(page), expected);
    }

    #[test]
    fn buckets_count_what_is_below_them() {
        let mut page = Exposition::default();
        let classes = [(Some(1e-6), 3), (Some(0.016384), 4), (None, u64::MAX)];
        page.histogram(("t_seconds", "Waits."), &[("s", "w")], &classes, 0.25);
        let expected = "# HELP t_seconds Waits.\n# TYPE t_seconds histogram\n\
                        t_seconds_bucket{s=\"w\",le=\"0.000001\"} 3\n\
                        t_seconds_bucket{s=\"w\",le=\"0.016384\"} 7\n\
                        t_seconds_bucket{s=\"w\",le=\"+Inf\"} 18446744073709551615\n\
                        t_seconds_sum{s=\"w\"} 0.25\n\
                        t_seconds_count{s=\"w\"} 18446744073709551615\n";
        assert_eq!(String::from(page), expected);
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let mut text = String::new();
        sample(&mut text, "x", &[("path", "/a\\b\"c\nd")], 1);
        assert_eq!(text, "x{path=\"/a\\\\b\\\"c\\nd\"} 1\n");
    }
}
