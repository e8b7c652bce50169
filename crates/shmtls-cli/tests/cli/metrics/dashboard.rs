//! docs/grafana-shmtls.json and docs/monitoring.md ask for what is exported, by its right name and
//! labels.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::exposition;
use super::format::Exposition;
use crate::support::{Name, busy};

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let exported = Exported::new();
    let dashboard = dashboard();
    let queries: Vec<_> = targets(&dashboard).map(|it| text(&it["expr"]).to_owned()).collect();
    assert!(queries.len() >= 20, "{queries:#?}");
    for query in &queries {
        let selectors = exported.selectors(query);
        assert!(!selectors.is_empty(), "{query}");
        for selector in selectors {
            let names: Vec<_> = selector.matchers.iter().map(|it| it.0.as_str()).collect();
            assert!(names.contains(&"segment") && names.contains(&"instance"), "{query}");
        }
    }
    let whole = dashboard.to_string();
    exported.selectors(&whole.replace("\\\"", "\""));
    let wanted = [
        "shmtls_gets_total",
        "shmtls_gets_foreign_total",
        "shmtls_evicted_age_seconds_total",
        "shmtls_gets_at_twice_the_size_total",
        "shmtls_used_bytes",
        "shmtls_lock_wait_seconds_bucket",
        "shmtls_lock_recoveries_total",
        "shmtls_processes",
        "shmtls_ticket_key_epoch",
    ];
    for name in wanted {
        assert!(queries.iter().any(|query| query.contains(name)), "{name}");
    }
}

/// What an import needs, and panels that do not lie on each other.
#[test]
fn the_dashboard_can_be_imported() {
    let dashboard = dashboard();
    assert_eq!(dashboard["__inputs"][0]["name"], "DS_PROMETHEUS");
    assert_eq!(dashboard["__inputs"][0]["pluginId"], "prometheus");
    assert!(dashboard["schemaVersion"].as_u64().is_some_and(|version| version >= 36));
    assert_eq!(dashboard["id"], Value::Null);
    let source = json!({"type": "prometheus", "uid": "${DS_PROMETHEUS}"});
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    assert!(variables.iter().any(|it| it["name"] == "segment"));
    assert!(variables.iter().all(|it| it["datasource"] == source));
    assert!(targets(&dashboard).all(|it| it["datasource"] == source));
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().expect("an ID")), "{panel}");
        let at = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(at("x") + at("w") <= 24, "{panel}");
        for cell in (0..at("h")).flat_map(|y| (0..at("w")).map(move |x| (x, y))) {
            assert!(cells.insert((at("x") + cell.0, at("y") + cell.1)), "{panel}");
        }
        let is_row = panel["type"] == "row";
        assert!(is_row || !text(&panel["description"]).is_empty(), "{panel}");
    }
}

#[test]
fn the_page_names_what_there_is_and_all_of_it() {
    let exported = Exported::new();
    let page = page();
    assert!(exported.selectors(&page).len() >= 15);
    for family in exported.families() {
        assert!(page.contains(&format!("`{family}`")), "docs/monitoring.md lacks {family}");
    }
}

#[test]
fn what_is_not_exported_is_found() {
    let exported = Exported::new();
    let right = "rate(shmtls_gets_total{result=~\"hit|busy\",segment=\"$segment\"}[5m])";
    assert_eq!(exported.selectors(right).len(), 1);
    let wrong = [
        "shmtls_gets",
        "shmtls_lock_wait_seconds",
        "shmtls_gets_total{reason=\"hit\"}",
        "shmtls_gets_total{result=\"hits\"}",
        "shmtls_gets_total{result!=\"hits\"}",
        "shmtls_gets_total{result=~\"hit|lost\"}",
    ];
    for wrong in wrong {
        let found = std::panic::catch_unwind(|| exported.selectors(wrong).len());
        assert!(found.is_err(), "{wrong}");
    }
}

/// The values of each label of each metric.
struct Exported {
    metrics: BTreeMap<String, BTreeMap<String, BTreeSet<String>>>,
    exposition: Exposition,
}

#[derive(Debug)]
struct Selector {
    matchers: Vec<(String, String)>,
}

impl Exported {
    fn new() -> Self {
        let name = Name::new();
        let _cache = busy(&name);
        let exposition = exposition(name.get());
        let mut metrics: BTreeMap<String, BTreeMap<_, BTreeSet<_>>> = BTreeMap::new();
        for sample in &exposition.samples {
            let labels = metrics.entry(sample.name.clone()).or_default();
            for (label, value) in &sample.labels {
                labels.entry(label.clone()).or_default().insert(value.clone());
            }
        }
        Self { metrics, exposition }
    }

    fn families(&self) -> impl Iterator<Item = &String> {
        self.exposition.kinds.keys()
    }

    /// Each metric that is named, which must be one, with labels and values that it has.
    #[track_caller]
    fn selectors(&self, text: &str) -> Vec<Selector> {
        let starts = text.match_indices("shmtls_").map(|(at, _)| at);
        let is_start = |at: &usize| !text[..*at].ends_with(is_of_name);
        starts.filter(is_start).map(|at| self.selector(&text[at..])).collect()
    }

    #[track_caller]
    fn selector(&self, text: &str) -> Selector {
        let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        // A page may name a histogram as such, where it asks for nothing.
        let is_histogram = rest.starts_with('`')
            && self.exposition.kinds.get(name).is_some_and(|kind| kind == "histogram");
        let labels = self.metrics.get(name);
        assert!(labels.is_some() || is_histogram, "{name} is not exported");
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let matchers = matchers.map_or_else(Vec::new, |(inside, _)| matchers_of(inside));
        for (label, value) in matchers.iter().filter(|(_, value)| !value.contains('$')) {
            let values = labels.and_then(|labels| labels.get(label));
            let values = values.unwrap_or_else(|| panic!("{name} has no label {label}"));
            for value in value.split('|') {
                assert!(values.contains(value), "{name} has no {label}={value}: {values:?}");
            }
        }
        Selector { matchers }
    }
}

/// `a="b",c=~"d|e"`.
fn matchers_of(inside: &str) -> Vec<(String, String)> {
    let matcher = |text: &str| {
        let (label, value) = text.split_once(['=', '!', '~']).expect("a matcher");
        (label.trim().to_owned(), value.trim_matches(['=', '~', '"']).to_owned())
    };
    inside.split(',').map(matcher).collect()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn dashboard() -> Value {
    serde_json::from_str(&read("grafana-shmtls.json")).expect("JSON")
}

pub(super) fn page() -> String {
    read("monitoring.md")
}

fn read(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().expect("panels").iter()
}

fn targets(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard).flat_map(|panel| panel["targets"].as_array()).flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
