//! What `shmtls metrics` exports, read as Prometheus would, against what `stat` shows.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use nix::sys::signal::Signal;
use shmtls::{Context, Options, SessionId};

use crate::support::{Name, busy, json, run, shmtls, stdout, with};
use crate::workers::{Worker, work_if_told};
use format::{Exposition, Labels};

mod dashboard;
mod exporter;
mod file;
mod format;

/// Tells another thread to end, also when a test fails.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Of this segment.
#[track_caller]
fn exposition(name: &str) -> Exposition {
    Exposition::of(&stdout(&["metrics", name]))
}

#[test]
fn it_exports_what_stat_shows() {
    let name = Name::new();
    let _cache = busy(&name);
    let (found, stat) = (exposition(name.get()), json(&["stat", name.get()]));
    let value = |metric: &str, labels: &[(&str, &str)]| {
        found.value(metric, &[&[("segment", name.get())], labels].concat())
    };
    assert_eq!(value("shmtls_up", &[]), 1.0);
    assert_eq!(value("shmtls_gets_total", &[("result", "hit")]), 2.0);
    assert_eq!(value("shmtls_puts_total", &[("result", "new")]), 4.0);
    assert_eq!(value("shmtls_processes", &[("state", "running")]), 1.0);
    assert_eq!(value("shmtls_ticket_keys", &[("role", "previous")]), 1.0);
    assert_eq!(value("shmtls_ticket_key_processes", &[("keys", "current")]), 1.0);
    let pairs = [
        ("shmtls_segment_bytes", &stat["bytes"]),
        ("shmtls_sessions", &stat["sessions"]),
        ("shmtls_sessions_max", &stat["slots"]),
        ("shmtls_capacity_bytes", &stat["capacity_bytes"]),
        ("shmtls_lifetime_seconds", &stat["lifetime_secs"]),
        ("shmtls_session_max_bytes", &stat["max_session_bytes"]),
        ("shmtls_session_mean_bytes", &stat["mean_session_bytes"]),
        ("shmtls_created_timestamp_seconds", &stat["created_unix_secs"]),
        ("shmtls_ticket_key_epoch", &stat["keys"]["epoch"]),
        ("shmtls_ticket_key_set_timestamp_seconds", &stat["keys"]["published_unix_secs"]),
    ];
    for (metric, expected) in pairs {
        assert_eq!(Some(value(metric, &[])), expected.as_f64(), "{metric}");
    }
    let path = name.path().display().to_string();
    let info = [("path", path.as_str()), ("layout", "3"), ("sealed", "false")];
    assert_eq!(value("shmtls_segment_info", &info), 1.0);
}

/// Each has another value here, so a counter that is left out, or taken for another, is missed.
#[test]
fn every_counter_is_exported() {
    let name = Name::created();
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    // Both copies of the retired totals: shm-layout.md, section 3.
    for (copy, counter) in (0..2_u64).flat_map(|copy| (0..64).map(move |counter| (copy, counter))) {
        let value = (counter + 1) * 1_000_003;
        let at = 256 + 64 + copy * 64 * 8 + counter * 8;
        file.write_all_at(&value.to_ne_bytes(), at).expect("written");
    }
    let stat = json(&["stat", name.get()]);
    let counters: BTreeMap<String, u64> =
        serde_json::from_value(stat["counters"].clone()).expect("counters");
    let found = exposition(name.get());
    let values: Vec<_> = found.samples.iter().map(|it| it.value).collect();
    let is_of_histogram = |counter: &str| counter.starts_with("lock_wait");
    for (counter, value) in counters.iter().filter(|(counter, _)| !is_of_histogram(counter)) {
        let times = values.iter().filter(|found| **found == *value as f64).count();
        assert_eq!(times, 1, "{counter} {value}");
    }
    let nanos = counters["lock_wait_nanos"] as f64;
    assert_eq!(found.value("shmtls_lock_wait_seconds_sum", &[]), nanos / 1e9);
    let classes = stat["lock_waits"]["classes"].as_array().expect("classes").clone();
    let mut below = 0.0;
    for class in classes {
        below += class["count"].as_f64().expect("a count");
        let bound = class["below_micros"].as_f64().map(|micros| (micros / 1e6).to_string());
        let labels = [("le", bound.as_deref().unwrap_or("+Inf"))];
        assert_eq!(found.value("shmtls_lock_wait_seconds_bucket", &labels), below, "{class}");
    }
}

#[test]
fn counters_never_go_back_while_processes_come_and_go() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    drop(Options::new().size(1 << 18).processes(4).create(name.get()).expect("a segment"));
    let test = "metrics::counters_never_go_back_while_processes_come_and_go";
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let cache = Options::new().attach(name.get()).expect("the segment");
                let id = SessionId::new(b"nobody's").expect("8 bytes");
                let _ = cache.get_session(&Context::named("x"), &id);
            }
        });
        let _end = AtTheEnd(&done);
        let mut before: BTreeMap<(String, Labels), f64> = BTreeMap::new();
        for round in 0..12 {
            let mut worker = (round % 4 == 0).then(|| Worker::start(test, &name));
            if let Some(worker) = &mut worker {
                worker.tell("store 0 20 300 a.example");
                worker.tell("get 0 30 a.example");
            }
            for _ in 0..4 {
                let now = exposition(name.get());
                for it in now.counters() {
                    let key = (it.name.clone(), it.labels.clone());
                    let earlier = before.insert(key, it.value).unwrap_or_default();
                    assert!(earlier <= it.value, "{it:?} was {earlier}");
                }
            }
            // Its line is that of a dead process, until somebody needs it.
            if let Some(worker) = &mut worker {
                worker.kill();
            }
        }
    });
    let hits = exposition(name.get()).value("shmtls_gets_total", &[("result", "hit")]);
    assert_eq!(hits, 60.0);
}

#[test]
fn dead_processes_and_old_keys_are_counted() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    let cache = busy(&name);
    let test = "metrics::dead_processes_and_old_keys_are_counted";
    let mut worker = Worker::start(test, &name);
    worker.tell("get 0 1 example.org");
    worker.signal(Signal::SIGKILL);
    worker.kill();
    let processes = |state| exposition(name.get()).value("shmtls_processes", &[("state", state)]);
    assert_eq!((processes("running"), processes("dead"), processes("unknown")), (1.0, 1.0, 0.0));
    drop(cache);
    assert_eq!(processes("running"), 0.0);
}

/// Not one of them, in whatever order they are named, keeps the others from being exported.
#[test]
fn one_that_cannot_be_opened_is_down() {
    let (well, sick) = (Name::created(), Name::created());
    fs::write(sick.path(), "no segment, but long enough to be asked").expect("written");
    let gone = Name::new();
    let names = [sick.get(), well.get(), gone.get(), "pid:4194305", "/no/where", well.get()];
    let run = with(&[&["metrics"], &names[..]].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    let found = Exposition::of(&run.stdout);
    for name in names {
        let up = found.value("shmtls_up", &[("segment", name)]);
        assert_eq!(up == 1.0, name == well.get(), "{name}");
        let note = format!("note: '{name}' is not up: ");
        assert_eq!(run.stderr.contains(&note), name != well.get(), "{run:?}");
    }
    assert_eq!(found.find("shmtls_sessions", &[("segment", sick.get())]), None);
}

#[test]
fn without_a_name_all_are_exported() {
    let (name, sick, odd) = (Name::created(), Name::created(), Name::new());
    fs::write(sick.path(), "").expect("written");
    // Any user can put a file there; nothing with such a name is a segment.
    let odd = odd.path().with_extension("a \"b\"\n\x1b[31m");
    fs::write(&odd, "").expect("written");
    let memfd = Options::new().size(1 << 18).create_memfd().expect("a memfd");
    let run = with(&["metrics"]);
    fs::remove_file(&odd).expect("removed");
    assert_eq!(run.code, Some(0), "{run:?}");
    let found = Exposition::of(&run.stdout);
    let up = |segment: &str| found.find("shmtls_up", &[("segment", segment)]);
    assert_eq!((up(name.get()), up(sick.get())), (Some(1.0), Some(0.0)));
    let by_pid = format!("pid:{}:{}", std::process::id(), memfd.fd().as_raw_fd());
    assert_eq!(up(&by_pid), Some(1.0));
    assert!(!run.stdout.contains("[31m") && !run.stderr.contains("[31m"), "{run:?}");
    let named = self::run(shmtls().arg("metrics").env("SHMTLS_SEGMENT", name.get()));
    let named = Exposition::of(&named.stdout);
    assert_eq!(named.samples.iter().filter(|it| it.name == "shmtls_up").count(), 1);
}

#[test]
fn a_name_is_written_so_that_it_can_be_read() {
    let segment = "/nowhere/a\\b\"c{d=\"e\"},\u{e9}";
    let found = exposition(segment);
    assert_eq!(found.value("shmtls_up", &[("segment", segment)]), 0.0);
}

#[test]
fn mistakes_are_told() {
    let mistakes: [(&[&str], &str); 9] = [
        (&["a b"], "is no segment name"),
        (&["pid:x"], "names no process"),
        (&["--format", "json"], "tip: shmtls stat SEGMENT --format json"),
        (&["-w", "2s"], "--output <FILE>"),
        (&["--allow-remote"], "--listen <HOST:PORT>"),
        (&["--listen", "127.0.0.1:0", "--output", "x"], "cannot be used with"),
        // It was ignored: each request is a look of its own.
        (&["--listen", "127.0.0.1:0", "-w", "1s"], "cannot be used with"),
        (&["--listen", "9798"], "such as 127.0.0.1:9798"),
        (&["--listen", "0.0.0.0:0"], "tip: --listen 127.0.0.1:9798; --allow-remote"),
    ];
    for (args, text) in mistakes {
        let run = with(&[&["metrics"], args].concat());
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(text), "{args:?}: {run:?}");
    }
}

/// The judge whose word counts, where there is one.
#[test]
fn promtool_agrees() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("not tested: there is no promtool");
        return;
    }
    let (name, empty) = (Name::new(), Name::created());
    let _cache = busy(&name);
    let text = stdout(&["metrics", name.get(), empty.get(), "nothing-of-that-name"]);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool");
    let stdin = child.stdin.take();
    stdin.expect("its stdin").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");

    let rules = dashboard::page().split("```yaml\n").nth(1).expect("rules").to_owned();
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), rules.split("```").next().expect("rules")).expect("written");
    let checked = run(Command::new("promtool").args(["check", "rules"]).arg(file.path()));
    assert_eq!(checked.code, Some(0), "{checked:?}");
}
