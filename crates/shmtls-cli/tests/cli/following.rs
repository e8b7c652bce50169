//! What `events` and `stat -w` say while workers work, against what those were told to do.

use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;
use std::{iter, thread};

use serde_json::{Value, json as value};

use crate::schema::assert_as_its_schema_says;
use crate::support::{Name, json, shmtls, stdout, with};
use crate::workers::{Worker, work_if_told};

/// Each kind that is asked for, of the session that is asked for, as it happens.
#[test]
fn events_are_followed() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let start = || Worker::start("following::events_are_followed", &name);
    let (mut one, mut two) = (start(), start());
    one.tell("store 0 2 300 a.example");
    let rows = json(&["ls", name.get(), "--protocol", "1.3"]);
    let digest = rows["sessions"][0]["digest"].as_str().expect("a digest").to_owned();

    let mut all = Follower::start(&["events", name.get(), "-f"]);
    let only = ["events", name.get(), "-f", "--session", &digest, "--only", "hit,taken"];
    let mut only = Follower::start(&only);
    assert_eq!(all.next_events(2).iter().map(what).collect::<Vec<_>>(), ["stored", "stored"]);
    two.tell("get 0 3 a.example");
    // Events are told in the order of a clock that is up to 10 ms late.
    thread::sleep(Duration::from_millis(30));
    one.tell("take 0 a.example");
    thread::sleep(Duration::from_millis(30));
    two.tell("get 0 1 a.example");
    let told = all.next_events(6);
    let expected = ["foreign-hit", "foreign-hit", "missed", "hit", "taken", "missed"];
    assert_eq!(told.iter().map(what).collect::<Vec<_>>(), expected, "{told:#?}");
    let pids: Vec<_> = told.iter().map(|event| event["pid"].clone()).collect();
    let (one_pid, two_pid) = (value!(one.pid()), value!(two.pid()));
    let by = [&two_pid, &two_pid, &two_pid, &one_pid, &one_pid, &two_pid];
    assert_eq!(pids.iter().collect::<Vec<_>>(), by);
    assert!(told.iter().all(|event| event["origin"] == "api"));

    let told = only.next_events(3);
    assert_eq!(told.iter().map(what).collect::<Vec<_>>(), ["foreign-hit", "hit", "taken"]);
    assert!(told.iter().all(|event| event["digest"] == digest.as_str()), "{told:#?}");
    for event in &told {
        assert_eq!(event["session_bytes"], 300);
        assert!(event["command"].as_str().is_some_and(|it| it.starts_with("cli-")), "{event}");
    }
}

/// Rings that have come round: how many events nobody can see any more is said, at the first look
/// and while it follows.
#[test]
fn events_that_are_overwritten_are_counted() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let mut worker = Worker::start("following::events_that_are_overwritten_are_counted", &name);
    worker.tell("store 0 1 300 a.example");
    let kept = "the segment keeps the last 32 events of each process";
    assert_eq!(with(&["events", name.get()]).stderr, format!("note: {kept}\n"));
    (0..5).for_each(|_| worker.tell("get 0 20 a.example"));
    let run = with(&["events", name.get(), "--limit", "3"]);
    let note = format!("note: 69 events were overwritten before: {kept}\n");
    assert_eq!((run.stderr, run.stdout.lines().count()), (note, 1 + 3));
    let report = json(&["events", name.get(), "--only", "stored"]);
    assert_eq!((&report["overwritten"], &report["events"]), (&value!(69), &value!([])));

    let slow = ["events", name.get(), "-f", "--interval", "1500ms", "--only", "hit"];
    let mut slow = Follower::start(&slow);
    assert_eq!(slow.next()["overwritten"], 69);
    (0..3).for_each(|_| worker.tell("get 0 20 a.example"));
    let report = slow.next();
    assert_eq!((&report["missed"], &report["overwritten"]), (&value!(28), &Value::Null));
    let said = slow.end();
    let note = format!("note: 28 events were overwritten before this look: {kept}\n");
    assert!(said.ends_with(&note) && said.starts_with("note: 69 events were"), "{said}");

    // Once it has left, nobody knows which process it was.
    worker.tell("leave");
    let report = json(&["events", name.get()]);
    assert_as_its_schema_says(&report);
    assert_eq!(report["events"][31]["pid"], Value::Null);
    assert!(stdout(&["events", name.get()]).lines().nth(9).is_some_and(|row| row.contains(" - ")));
}

/// Rates are what the counters did, divided by the time between two looks.
#[test]
fn rates_are_of_the_time_between_two_looks() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let mut worker = Worker::start("following::rates_are_of_the_time_between_two_looks", &name);
    let mut watcher = Follower::start(&["stat", name.get(), "-w", "300ms"]);
    let first = watcher.next();
    assert_eq!(first["per_second"], Value::Null);
    worker.tell("store 0 40 300 a.example");
    worker.tell("get 0 40 a.example");
    worker.tell("get 100 110 a.example");
    let counter =
        |report: &Value, name: &str| report["counters"][name].as_u64().expect("a counter");
    let (mut before, mut moved) = (first, 0);
    while counter(&before, "misses_absent") < 10 {
        let report = watcher.next();
        assert_as_its_schema_says(&report);
        let seconds = report["per_second"]["seconds"].as_f64().expect("a time");
        assert!((0.25..20.0).contains(&seconds), "{seconds}");
        for name in ["hits", "misses_absent", "stored_new", "evicted"] {
            let more = counter(&report, name) - counter(&before, name);
            let rate = report["per_second"]["counters"][name].as_f64().expect("a rate");
            assert!((rate - more as f64 / seconds).abs() <= 0.051, "{name}: {rate}, {more}");
            moved += usize::from(rate > 0.0);
        }
        before = report;
    }
    assert!(moved >= 3, "some of what was done was seen at work");
    assert_eq!((counter(&before, "hits"), counter(&before, "stored_new")), (40, 40));
    // At rest, nothing moves.
    watcher.next();
    let rates = watcher.next()["per_second"]["counters"].clone();
    assert!(rates.as_object().is_some_and(|it| it.values().all(|rate| *rate == 0.0)), "{rates}");
}

fn what(event: &Value) -> &str {
    event["what"].as_str().expect("a word")
}

/// The program as it goes on, read as JSON.
struct Follower {
    child: Child,
    reports: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(args: &[&str]) -> Self {
        let mut command = shmtls();
        command.args(args).args(["--format", "json"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program");
        let reports = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        Self { child, reports }
    }

    fn next(&mut self) -> Value {
        let report = self.reports.next().expect("a report").expect("a line");
        serde_json::from_str(&report).expect("JSON")
    }

    /// The next so many, in one report or in several.
    fn next_events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        let reports =
            iter::repeat_with(|| self.next()["events"].as_array().expect("events").clone());
        for report in reports {
            events.extend(report);
            if events.len() >= count {
                break;
            }
        }
        assert_eq!(events.len(), count, "{events:#?}");
        events
    }

    /// Ends it; what it had to say.
    fn end(mut self) -> String {
        thread::sleep(Duration::from_millis(50));
        let _ = self.child.kill();
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().expect("its stderr");
        stderr.read_to_string(&mut said).expect("UTF-8");
        said
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
