//! `shmtls bench contention` in small: every lock under every mix, with processes that are stopped
//! and killed in it. What it measures is not tested, but that it measures what it says.

use std::fs;

use serde_json::Value;

use crate::schema::assert_as_its_schema_says;
use crate::support::{json, stdout, with};

const QUICK: [&str; 5] = ["bench", "contention", "--quick", "--seconds", "50ms"];

fn bench(args: &[&str]) -> Value {
    let report = json(&[&QUICK, args].concat());
    assert_as_its_schema_says(&report);
    for cell in cells(&report) {
        assert_eq!(cell["wrong"], 0, "{cell}");
    }
    report
}

fn cells(report: &Value) -> &Vec<Value> {
    report["cells"].as_array().expect("cells")
}

fn count(cell: &Value, name: &str) -> u64 {
    cell[name].as_u64().unwrap_or_else(|| panic!("{name}: {cell}"))
}

#[test]
fn every_lock_does_the_work() {
    let mixes = [("90/10", true, true), ("get", true, false), ("half", false, true)];
    for (mix, gets, puts) in mixes {
        let report = bench(&["--mix", mix]);
        assert_eq!(cells(&report).len(), 2 * 4, "{report}");
        for cell in cells(&report) {
            assert!(cell["mops"]["median"].as_f64() > Some(0.0), "{mix}: {cell}");
            assert_eq!(cell["hung"], false, "{mix}: {cell}");
            assert!(count(cell, "operations") > 0 && count(cell, "hits") > 0, "{mix}: {cell}");
            let measured = ["get_ns", "put_ns"].map(|of| cell[of]["p50"]["median"].is_number());
            assert_eq!(measured, [gets, puts], "{mix}: {cell}");
        }
    }
}

#[test]
fn a_full_table_and_one_hot_session() {
    for args in [
        ["--mix", "insert", "--buckets", "1", "--value", "1KiB"],
        ["--mix", "hot10", "--buckets", "1", "--work", "5us"],
        ["--mix", "10/20/70", "--keys", "zipf", "--processes", "3"],
    ] {
        let report = bench(&args);
        for cell in cells(&report) {
            assert!(cell["mops"]["median"].as_f64() > Some(0.0), "{args:?}: {cell}");
            assert_eq!(cell["capacity"].is_number(), args.contains(&"--work"), "{cell}");
        }
    }
}

/// The price of robustness is that of the announcement to the kernel: one line makes it at every
/// lock, the other at none.
#[test]
fn only_the_line_without_robustness_announces_nothing() {
    let report = bench(&["--mix", "insert", "--lines", "robust,plain", "--processes", "1"]);
    let [robust, plain] = &cells(&report)[..] else { panic!("{report}") };
    assert_eq!((&robust["line"], &plain["line"]), (&"robust".into(), &"plain".into()));
    assert_eq!(count(robust, "unannounced"), 0);
    assert!(count(plain, "unannounced") >= count(plain, "operations"), "{plain}");
}

/// The line that shows what tools cost those they look at has tools that look.
#[test]
fn only_the_watched_line_is_watched() {
    let args = ["--lines", "robust,watched", "--processes", "1", "--seconds", "400ms"];
    let report = json(&[&QUICK[..3], &args].concat());
    assert_as_its_schema_says(&report);
    let [robust, watched] = &cells(&report)[..] else { panic!("{report}") };
    assert_eq!((count(robust, "looks"), count(watched, "wrong")), (0, 0), "{report}");
    assert!(count(watched, "looks") > 0 && count(watched, "operations") > 0, "{watched}");
}

/// The limit of memory is measured by copies, which find everything and wait for nobody.
#[test]
fn a_copy_does_as_much_without_a_cache() {
    for (mix, gets, puts) in [("get", true, false), ("half", false, true), ("90/10", true, true)] {
        let report = bench(&["--mix", mix, "--lines", "robust,copy", "--processes", "2"]);
        let [robust, copy] = &cells(&report)[..] else { panic!("{report}") };
        assert_eq!((&robust["line"], &copy["line"]), (&"robust".into(), &"copy".into()));
        assert!(count(copy, "operations") > count(robust, "operations"), "{mix}: {report}");
        assert_eq!((count(copy, "lookups"), count(copy, "waits")), (count(copy, "hits"), 0));
        let measured = ["get_ns", "put_ns"].map(|of| copy[of]["p50"]["median"].is_number());
        assert_eq!(measured, [gets, puts], "{mix}: {copy}");
    }
}

#[test]
fn small_pages_find_the_same() {
    let args = ["--mix", "get", "--buckets", "256", "--processes", "1", "--lines", "small,robust"];
    let report = bench(&args);
    let [robust, small] = &cells(&report)[..] else { panic!("{report}") };
    assert_eq!((&robust["line"], &small["line"]), (&"robust".into(), &"small".into()));
    for cell in [robust, small] {
        assert_eq!(count(cell, "lookups"), count(cell, "operations"), "{cell}");
        assert!(count(cell, "hits") > 0, "{cell}");
    }
}

/// A bucket had doubled to 32 KiB and the benchmark counted on 16: what was to be a full table was
/// just full, and most inserts replaced a session.
#[test]
fn a_full_table_has_more_keys_than_room() {
    let args = ["--mix", "insert", "--buckets", "16", "--processes", "1", "--lines", "robust"];
    let report = json(
        &[&["bench", "contention", "--rounds", "1", "--seconds", "100ms"], &args[..]].concat(),
    );
    let cell = &cells(&report)[0];
    assert!(count(cell, "evictions") * 3 > count(cell, "operations"), "{cell}");
}

#[test]
fn dead_owners_are_recovered_from_and_a_plain_futex_hangs() {
    let trouble = ["--kill", "60/s", "--stop", "10", "--processes", "2", "--seconds", "200ms"];
    let args = [&["--mix", "insert", "--buckets", "4"], &trouble[..]].concat();
    let report = json(&[&QUICK[..3], &args].concat());
    assert_as_its_schema_says(&report);
    for cell in cells(&report) {
        assert_eq!(cell["wrong"], 0, "{cell}");
        assert!(count(cell, "kills") > 0, "{cell}");
        assert_eq!(cell["hung"], cell["line"] == "futex", "{cell}");
        if cell["hung"] == true {
            assert!(cell["mops"].is_null() && cell["put_ns"].is_null(), "{cell}");
        } else {
            assert!(count(cell, "recoveries") > 0 && count(cell, "stops") > 0, "{cell}");
            assert!(count(&cell["recovery_ns"], "measured") > 0, "{cell}");
        }
    }
}

#[test]
fn files_hold_the_report_and_the_chart() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (json, svg) = (path("out.json"), path("out.svg"));
    let files = ["--json", &json, "--svg", &svg, "--processes", "1,3"];
    let lines = ["--lines", "robust,pthread", "--mix", "half", "--kill", "60", "--pi"];
    let text = stdout(&[&QUICK[..], &files, &lines].concat());
    assert!(text.contains("per-bucket robust") && text.contains("RECOVERY P50"), "{text}");

    let report: Value =
        serde_json::from_str(&fs::read_to_string(json).expect("a report")).expect("JSON");
    assert_as_its_schema_says(&report);
    let machine = &report["machine"];
    assert!(machine["rustc"].as_str().is_some_and(|it| it.starts_with("rustc ")), "{machine}");
    assert!(machine["command_line"].as_array().is_some_and(|it| it.contains(&"--pi".into())));

    let svg = fs::read_to_string(svg).expect("a chart");
    assert_well_formed(&svg);
    for text in ["throughput", "p99.9", "from the kill", "one robust pthread mutex", "processes"] {
        assert!(svg.contains(text), "{text} is not in {svg}");
    }
}

#[test]
fn more_processes_than_cores_are_said_to_be() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processes = (cores + 1).to_string();
    let args = ["--processes", &processes, "--lines", "robust"];
    let report = bench(&args);
    assert_eq!(cells(&report)[0]["oversubscribed"], true);
    assert!(report["notes"].to_string().contains("oversubscription, not scaling"), "{report}");
}

/// That a file could not be written was found out after the run, whose figures were lost with it.
#[test]
fn a_file_that_cannot_be_written_loses_no_figures() {
    let run = |files: &[&str]| with(&[&QUICK[..], &["--lines", "robust"], files].concat());
    let at_once = run(&["--svg", "/nowhere/x.svg"]);
    assert_eq!((at_once.code, at_once.stdout.as_str()), (Some(3), ""), "{at_once:?}");
    let error = "error: cannot write /nowhere/x.svg";
    assert!(at_once.stderr.starts_with(error), "before the notes of a run: {at_once:?}");

    let full = run(&["--json", "/dev/full"]);
    assert_eq!(full.code, Some(3), "{full:?}");
    assert!(full.stderr.contains("cannot write /dev/full: No space left"), "{full:?}");
    assert!(full.stdout.contains("per-bucket robust"), "{full:?}");
}

#[test]
fn options_without_sense() {
    let wrong: [(&[&str], &str); 9] = [
        (&["--mix", "90/20"], "add up to 110"),
        (&["--mix", "put"], "GET/INSERT/TAKE"),
        (&["--processes", "0"], "1 to 256"),
        (&["--processes", "257"], "1 to 256"),
        (&["--buckets", "none"], "none"),
        (&["--value", "1MiB"], "16 to 10240 bytes"),
        (&["--seconds", "1ms"], "10ms to 1h"),
        (&["--kill=-1/s"], "0 to 1000 a second"),
        (
            &["--lines", "spin"],
            "possible values: all, robust, watched, small, plain, pthread, futex, copy",
        ),
    ];
    for (args, text) in wrong {
        let run = with(&[&["bench", "contention"], args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
    let worker = with(&["bench", "worker", "{}"]);
    assert_eq!(worker.code, Some(2), "{worker:?}");
}

/// Every element that begins ends, in its order.
fn assert_well_formed(xml: &str) {
    let mut open = Vec::new();
    for tag in xml.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap_or_else(|| panic!("no end: <{tag}"));
        assert!(!text.replace("&lt;", "").contains("& "), "a bare ampersand: {text}");
        assert!(tag.matches('"').count().is_multiple_of(2), "quotes: <{tag}>");
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "<{tag}>"),
            None if tag.ends_with('/') || name.starts_with(['?', '!']) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0], "without an end");
    assert!(xml.trim_start().starts_with("<svg "), "{}", &xml[..80]);
}
