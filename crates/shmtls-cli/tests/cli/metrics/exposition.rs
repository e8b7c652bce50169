//! Prometheus's text format, read as strictly as its documentation has it.

use std::collections::{BTreeMap, BTreeSet};

/// Series with their figures, and families with their kinds.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    values: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

impl Exposition {
    #[track_caller]
    pub(super) fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has an end too");
        let (mut all, mut family, mut helped) = (Self::default(), String::new(), BTreeSet::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, words) = help.split_once(' ').expect("a help text");
                assert!(helped.insert(name.to_owned()) && !words.is_empty(), "{line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(helped.contains(name), "no help before {line}");
                assert!(all.kinds.insert(name.into(), kind.into()).is_none(), "{line}: twice");
                family = name.into();
            } else {
                all.sample(line, &family);
            }
        }
        all.check_histograms();
        all
    }

    #[track_caller]
    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a figure");
        let (name, labels) = split(series);
        let kind = &self.kinds[family];
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line}: in {family}"));
        match kind.as_str() {
            "histogram" => assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}"),
            _ => assert_eq!(suffix, "", "{line}"),
        }
        assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        assert!(is_name(name) && labels.iter().all(|(name, _)| is_name(name)), "{line}");
        let value: f64 = value.parse().expect("a figure");
        assert!(value >= 0.0 || kind == "gauge", "{line}");
        assert!(self.values.insert(series.into(), value).is_none(), "{line}: twice");
    }

    #[track_caller]
    fn check_histograms(&self) {
        for family in self.kinds.iter().filter(|(_, kind)| *kind == "histogram") {
            let mut buckets: BTreeMap<Vec<_>, Vec<(f64, f64)>> = BTreeMap::new();
            for (series, value) in &self.values {
                let (name, mut labels) = split(series);
                if name == format!("{}_bucket", family.0) {
                    let (_, bound) = labels.pop().expect("le is the last");
                    let bound = bound.parse().expect("a bound");
                    buckets.entry(labels).or_default().push((bound, *value));
                }
            }
            assert!(!buckets.is_empty(), "{family:?}");
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
                assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{labels:?}: {buckets:?}");
                let (bound, all) = *buckets.last().expect("one");
                let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
                let count = self.value(&format!("{}_count{{{}}}", family.0, labels.join(",")));
                assert_eq!((bound, all), (f64::INFINITY, count), "{labels:?}");
            }
        }
    }

    #[track_caller]
    pub(super) fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("{series} is not in {self:#?}"))
    }

    pub(super) fn counters(&self) -> impl Iterator<Item = (&str, f64)> {
        let is_counter =
            |series: &str| self.kinds.get(split(series).0).is_some_and(|it| it == "counter");
        let all = self.values.iter().map(|(series, value)| (series.as_str(), *value));
        all.filter(move |(series, _)| is_counter(series))
    }

    /// Whether there is a series of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.keys().any(|series| split(series).0 == name)
    }
}

/// Every name of ours that a text speaks of.
pub(super) fn names_in(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    words.filter(|word| word.starts_with("shmtls_")).map(String::from).collect()
}

/// The name of a series, and its labels; no value of ours has a comma or a quotation mark.
fn split(series: &str) -> (&str, Vec<(&str, &str)>) {
    let Some((name, labels)) = series.split_once('{') else { return (series, Vec::new()) };
    let labels = labels.strip_suffix('}').expect("an end");
    let labels = labels.split(',').map(|text| {
        let label =
            text.split_once("=\"").and_then(|(name, it)| Some((name, it.strip_suffix('"')?)));
        label.unwrap_or_else(|| panic!("{series}: no label"))
    });
    (name, labels.collect())
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
