//! A tiny run of every store: each gives right sessions, or is named with the reason why not.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

const ALL: [&str; 10] = [
    "shmtls",
    "lmdb",
    "httpd",
    "shmcache",
    "memcached",
    "redis",
    "dashmap",
    "papaya",
    "moka",
    "quick-cache",
];
/// These need nothing that is not in the crate.
const ALWAYS: [&str; 6] = ["shmtls", "lmdb", "dashmap", "papaya", "moka", "quick-cache"];

#[test]
fn every_store_is_compared_or_named() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let [json, svg] = ["json", "svg"].map(|name| folder.path().join(name));
    let run = Command::new(env!("CARGO_BIN_EXE_shmtls-bench-peers"))
        .args(["--quick", "--json", json.to_str().expect("UTF-8"), "--svg"])
        .arg(&svg)
        .stderr(Stdio::inherit())
        .output()
        .expect("the program runs");
    let text = String::from_utf8(run.stdout).expect("text");
    assert!(run.status.success(), "{}\n{text}", run.status);

    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    let (rows, not_run) = (list(&report["rows"]), list(&report["not_run"]));
    for mix in ["get", "90/10", "50/50"] {
        for store in ALL {
            let is_it = |row: &&Value| row["store"] == store && row["mix"] == mix;
            let ours: Vec<_> = rows.iter().filter(is_it).collect();
            let named = not_run.iter().find(|missing| missing["store"] == store);
            match named {
                Some(missing) => assert!(!ALWAYS.contains(&store), "{missing}"),
                None => assert!(ours.len() >= 2, "{store}, {mix}: {} rows", ours.len()),
            }
        }
    }
    for row in rows {
        assert!(row["operations"].as_u64() > Some(0) && row["wrong"] == 0, "{row}");
        assert!(
            row["hits"].as_u64() > Some(0) && row["shmtls_times"].as_f64() > Some(0.0),
            "{row}"
        );
    }
    assert!(
        ALWAYS.iter().all(|store| text.contains(&store.replace("lmdb", "LMDB").replace('-', "_")))
    );
    assert!(fs::read_to_string(svg).expect("a chart").contains("quick_cache, 2 threads"));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}
