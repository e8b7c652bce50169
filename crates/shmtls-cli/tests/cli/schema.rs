//! Every JSON report is as its file in `schemas` says.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Name, busy, json as report};

#[test]
fn reports_are_as_their_schemas_say() {
    let name = Name::new();
    let create = ["create", name.get(), "--size", "1MiB"];
    let mut reports = vec![report(&create)];
    reports.push(report(&["keys", name.get()]));
    fs::remove_file(name.path()).expect("removed");
    let _cache = busy(&name);
    for command in ["procs", "keys", "stat", "ls", "locks", "events", "check", "doctor"] {
        reports.push(report(&[command, name.get()]));
    }
    reports.push(report(&["list"]));
    reports.push(report(&["purge", name.get(), "--expired"]));
    reports.iter().for_each(assert_as_its_schema_says);
}

#[test]
fn every_schema_is_named_after_its_file() {
    let files: Vec<_> = fs::read_dir(schemas()).expect("schemas").flatten().collect();
    assert!(!files.is_empty());
    for file in files {
        let path = file.path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let id = format!("shmtls.{name}/1");
        assert_eq!(read_schema(name)["properties"]["schema"]["enum"], json!([id]));
    }
}

/// The README promises that a field may be added, and the files forbade it: who validated reports
/// by them would have refused those of the next version.
#[test]
fn no_schema_forbids_what_a_later_version_adds() {
    for file in fs::read_dir(schemas()).expect("schemas").flatten() {
        let text = fs::read_to_string(file.path()).expect("a schema");
        assert!(!text.contains("\"additionalProperties\": false"), "{}", file.path().display());
    }
}

#[test]
fn the_validator_finds_what_is_wrong() {
    let schema = json!({
        "type": "object",
        "properties": {
            "a": {"type": ["integer", "null"]},
            "b": {"type": "array", "items": {"type": "string", "enum": ["x"]}},
        },
        "required": ["a"],
    });
    for right in [json!({"a": 1}), json!({"a": null, "b": []}), json!({"a": 1, "b": ["x"]})] {
        assert_eq!(complaints("", &schema, &right), [""; 0], "{right}");
    }
    let wrong = [json!([]), json!({}), json!({"a": "1"}), json!({"a": 1, "b": ["y"]})];
    for wrong in wrong.into_iter().chain([json!({"a": 1.5}), json!({"a": 1, "c": 2})]) {
        assert_eq!(complaints("", &schema, &wrong).len(), 1, "{wrong}");
    }
}

pub(crate) fn assert_as_its_schema_says(report: &Value) {
    let id = report["schema"].as_str().expect("a schema");
    let name = id.strip_prefix("shmtls.").and_then(|id| id.strip_suffix("/1"));
    let schema = read_schema(name.expect("an ID"));
    assert_eq!(complaints("", &schema, report), [""; 0], "{report}");
}

fn schemas() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn read_schema(name: &str) -> Value {
    let path = schemas().join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// As much of JSON Schema as the files use.
fn complaints(at: &str, schema: &Value, value: &Value) -> Vec<String> {
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    if !types.iter().any(|name| has_type(value, name.as_str().expect("a type"))) {
        return vec![format!("{at}: {value} is none of {types:?}")];
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return vec![format!("{at}: {value} is none of {}", schema["enum"])];
    }
    match value {
        Value::Array(items) => {
            let item =
                |(index, item)| complaints(&format!("{at}[{index}]"), &schema["items"], item);
            items.iter().enumerate().flat_map(item).collect()
        }
        Value::Object(fields) => {
            let required = schema["required"].as_array().into_iter().flatten();
            let missing =
                required.filter(|name| !fields.contains_key(name.as_str().expect("a name")));
            let mut all: Vec<_> = missing.map(|name| format!("{at}: no {name}")).collect();
            for (name, value) in fields {
                match schema["properties"].get(name) {
                    Some(schema) => all.extend(complaints(&format!("{at}.{name}"), schema, value)),
                    // The files allow what a later version adds; the tests know all of this one.
                    None if schema["properties"].is_object() => {
                        all.push(format!("{at}: {name} is not in the schema"));
                    }
                    None => {}
                }
            }
            all
        }
        _ => Vec::new(),
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "null" => value.is_null(),
        other => panic!("the validator does not know the type {other}"),
    }
}
