//! What `doctor` says of real segments with real workers: of sick ones the sickness, first; of
//! healthy ones nothing.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use shmtls::{Context, Expiry, Options, SessionId, TicketKey};

use crate::support::{Name, json, stdout, wait_for, with};
use crate::workers::{Worker, small, work_if_told};

/// Two workers that share: one stores, the other finds.
#[test]
fn a_healthy_segment() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let test = "doctor::a_healthy_segment";
    let mut workers = [Worker::start(test, &name), Worker::start(test, &name)];
    workers[0].tell("store 0 200 300 example.org");
    workers[1].tell("get 0 200 example.org");
    workers[0].tell("get 0 1 example.org");

    let report = diagnose(&name, 0);
    assert_eq!((&report["problems"], &report["lookups"]), (&0.into(), &201.into()));
    let bad = findings(&report).into_iter().filter(|it| {
        matches!(it["severity"].as_str(), Some("problem" | "advice")) && it["rule"] != "swappable"
    });
    assert_eq!(bad.collect::<Vec<_>>(), [Value::Null; 0]);
    let fine = ["removed-at-once", "too-small", "expired", "too-large", "foreign", "absent"];
    for rule in fine {
        assert_eq!(finding(&report, rule)["severity"], "fine", "{rule}");
    }
    let text = stdout(&["doctor", name.get()]);
    assert!(
        text.contains("hit 100.0 % of 201 lookups") && text.ends_with("no problem\n"),
        "{text}"
    );
}

/// As with OpenSSL's remove callback wired to the cache, and connections that end without
/// close_notify.
#[test]
fn sessions_that_are_removed_at_once() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let test = "doctor::sessions_that_are_removed_at_once";
    let mut worker = Worker::start(test, &name);
    worker.tell("store 0 150 300 example.org");
    worker.tell("remove 0 140 example.org");
    worker.tell("get 0 150 example.org");
    worker.tell("store 200 210 300 example.org");
    worker.tell("remove 200 210 example.org");

    let report = diagnose(&name, 1);
    let first = &report["findings"][0];
    assert_eq!(
        (&first["rule"], &first["severity"]),
        (&"removed-at-once".into(), &"problem".into())
    );
    assert_eq!(first["figures"]["removed_at_once"], 150);
    assert!(first["seen"].as_str().expect("text").starts_with("93.8 % of new sessions"), "{first}");
    assert!(first["means"].as_str().expect("text").starts_with("Calls of the application"));
    // The absence of what was removed is no second problem.
    assert!(findings(&report).iter().all(|it| it["rule"] != "absent"), "{report}");
    assert_eq!(report["problems"], 1);

    // What happened before is not judged, but only what happens now.
    let now = json(&["doctor", name.get(), "--for", "200ms"]);
    assert_eq!((&now["problems"], &now["lookups"]), (&0.into(), &0.into()));
    assert_eq!(now["window_millis"], 200);
}

#[test]
fn a_segment_that_is_too_small() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    stdout(&["create", name.get(), "--size", "128KiB", "--processes", "8"]);
    let mut worker = Worker::start("doctor::a_segment_that_is_too_small", &name);
    worker.tell("store 0 600 150 example.org");
    worker.tell("get 0 600 example.org");

    let report = diagnose(&name, 1);
    let found = finding(&report, "too-small");
    assert_eq!(found["severity"], "problem");
    assert!(found["figures"]["hits_at_twice_the_size"].as_u64() > Some(30), "{found}");
    let seen = found["seen"].as_str().expect("text");
    assert!(seen.contains("twice the size would find ") && seen.ends_with(" % more"), "{seen}");
    // The command is one that works, and what it makes is twice as large.
    let command = found["do"][0]["command"].as_str().expect("a command");
    let other = Name::new();
    let command = command.replace(&format!("{}2", name.get()), other.get());
    stdout(&command.split(' ').skip(1).collect::<Vec<_>>());
    let bytes = |name: &Name| json(&["stat", name.get()])["bytes"].as_u64().expect("bytes");
    assert!(bytes(&other) >= 2 * bytes(&name));
}

#[test]
fn sessions_that_live_too_short() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    stdout(&["create", name.get(), "--size", "1MiB", "--lifetime", "1s"]);
    let mut worker = Worker::start("doctor::sessions_that_live_too_short", &name);
    worker.tell("store 0 150 300 example.org");
    thread::sleep(Duration::from_secs(3));
    worker.tell("get 0 150 example.org");

    let report = diagnose(&name, 1);
    let found = finding(&report, "expired");
    assert_eq!(found["severity"], "problem");
    assert_eq!(found["figures"]["misses_expired"], 150);
    assert!(found["seen"].as_str().expect("text").starts_with("100.0 % of lookups"), "{found}");
}

#[test]
fn sessions_that_are_too_large() {
    let name = Name::created();
    let cache = Options::new().attach(name.get()).expect("the segment");
    let (context, id) = (Context::named("example.org"), SessionId::new(&[1; 32]).expect("an ID"));
    let expiry = Expiry::after(Duration::from_secs(60));
    assert!(!cache.insert(&context, &id, &[1; 12_000], expiry).is_stored());
    let report = diagnose(&name, 1);
    let found = finding(&report, "too-large");
    assert_eq!(found["severity"], "problem");
    assert_eq!(found["figures"]["largest_refused"], 12_000);
    let command = found["do"][0]["command"].as_str().expect("a command");
    assert!(command.ends_with("--max-session 12KiB"), "{command}");
}

#[test]
fn two_sessions_for_each_handshake() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let mut worker = Worker::start("doctor::two_sessions_for_each_handshake", &name);
    // The events of one round are all that are kept. A worker that loses its core between the two
    // stores of a handshake spoils a round.
    let mut handshakes = 0..;
    wait_for("the pairs are seen", || {
        for handshake in handshakes.by_ref().take(12) {
            let (first, second) = (2 * handshake, 2 * handshake + 1);
            worker.tell(&format!("store {first} {} 300 example.org", second + 1));
            worker.tell(&format!("get {second} {} example.org", second + 1));
        }
        let report = diagnose(&name, 0);
        findings(&report).iter().any(|it| it["rule"] == "two-tickets" && it["severity"] == "advice")
    });
}

#[test]
fn a_worker_that_died_and_one_that_stands_still() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    let _cache = small(&name);
    let inspector = Options::new().inspect(name.get()).expect("a look");
    let test = "doctor::a_worker_that_died_and_one_that_stands_still";
    let mut worker = Worker::start(test, &name);
    let pid = worker.pid();
    let bucket = worker.stop_in_a_bucket(&inspector);
    let report = diagnose(&name, 1);
    let found = finding(&report, "stuck-locks");
    let seen = format!("a stopped process holds a lock: bucket {} (pid {pid})", bucket.index());
    assert_eq!((&found["severity"], &found["seen"]), (&"problem".into(), &seen.into()));
    assert_eq!(found["do"][0]["command"], format!("kill -CONT {pid}"));

    worker.kill();
    let report = diagnose(&name, 0);
    assert_eq!(finding(&report, "stuck-locks")["severity"], "advice");
    let found = finding(&report, "dead-processes");
    assert_eq!(found["severity"], "advice");
    assert!(found["seen"].as_str().expect("text").contains(&format!("pid {pid} (")), "{found}");
    // Its command does what it says.
    stdout(&["check", name.get(), "--repair"]);
    let report = diagnose(&name, 0);
    assert_eq!(finding(&report, "stuck-locks")["severity"], "fine");
    assert_eq!(finding(&report, "dead-processes")["figures"]["recoveries"], 1);
}

/// One that is stopped does not see an update of the keys.
#[test]
fn a_worker_on_an_old_epoch() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let cache = Options::new().attach(name.get()).expect("the segment");
    let publish = || {
        let key = TicketKey::random().expect("a key");
        cache.keys().publish(vec![key]).expect("published");
    };
    publish();
    let mut worker = Worker::start("doctor::a_worker_on_an_old_epoch", &name);
    worker.tell("keys");
    assert_eq!(finding(&diagnose(&name, 0), "old-epoch")["severity"], "fine");

    worker.signal(Signal::SIGSTOP);
    publish();
    wait_for("it is stopped and behind", || {
        finding(&diagnose(&name, 0), "old-epoch")["severity"] == "advice"
    });
    let found = finding(&diagnose(&name, 0), "old-epoch");
    let seen = found["seen"].as_str().expect("text");
    let behind = format!("behind: pid {} (", worker.pid());
    assert!(seen.contains("1 of 2 processes current") && seen.contains(&behind), "{seen}");
    assert_eq!(found["do"][0]["command"], format!("kill -CONT {}", worker.pid()));

    worker.signal(Signal::SIGCONT);
    worker.tell("keys");
    assert_eq!(finding(&diagnose(&name, 0), "old-epoch")["severity"], "fine");
}

#[test]
fn a_segment_that_everybody_may_read() {
    let name = Name::new();
    stdout(&["create", name.get(), "--size", "1MiB", "--mode", "0644"]);
    assert_eq!(finding(&diagnose(&name, 1), "loose-mode")["severity"], "problem");
    run_in_shell(finding(&diagnose(&name, 1), "loose-mode")["do"][0]["command"].as_str());
    assert_eq!(finding(&diagnose(&name, 0), "loose-mode")["severity"], "fine");
}

fn run_in_shell(command: Option<&str>) {
    let status =
        std::process::Command::new("sh").args(["-c", command.expect("a command")]).status();
    assert!(status.expect("a shell").success(), "{command:?}");
}

/// The report; the exit code is the expected one.
#[track_caller]
fn diagnose(name: &Name, code: i32) -> Value {
    let run = with(&["doctor", name.get(), "--format", "json"]);
    assert_eq!(run.code, Some(code), "{run:?}");
    let report: Value = serde_json::from_str(&run.stdout).expect("JSON");
    crate::schema::assert_as_its_schema_says(&report);
    report
}

fn findings(report: &Value) -> Vec<Value> {
    report["findings"].as_array().expect("findings").clone()
}

#[track_caller]
fn finding(report: &Value, rule: &str) -> Value {
    let found = findings(report).into_iter().find(|finding| finding["rule"] == rule);
    found.unwrap_or_else(|| panic!("no {rule}: {report}"))
}
