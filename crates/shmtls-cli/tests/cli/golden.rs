//! What each report looks like, text and JSON. What varies is replaced: names, process IDs, times.

use std::process;
use std::time::Duration;

use serde_json::Value;
use shmtls::{Cache, Context, Expiry, Options, SessionId};

use crate::support::{COMMANDS, Name, assert_golden, busy, json, stdout, wait_for, with};

#[test]
fn create() {
    let name = Name::new();
    let words = Words::of(&name, None);
    let args = ["create", name.get(), "--size", "4MiB", "--lifetime", "5m", "--max-session"];
    let args = [&args[..], &["4KiB", "--if-missing"]].concat();
    assert_golden("create.txt", &words.text(&stdout(&args)));
    assert_golden("create-exists.txt", &words.text(&stdout(&args)));
    let mut report = json(&args);
    assert!(report["group"].is_string(), "{report}");
    report["group"] = "GROUP".into();
    assert_golden("create.json", &words.json(report));
}

#[test]
fn list() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    // Other tests and other people have segments too.
    let text = stdout(&["list"]);
    let is_ours = |line: &&str| line.split(' ').next().is_some_and(|it| it == name.get());
    let ours = text.lines().filter(|line| line.starts_with("SEGMENT") || is_ours(line));
    assert_golden("list.txt", &words.text(&ours.collect::<Vec<_>>().join("\n")));
    let mut report = json(&["list"]);
    let rows = report["segments"].as_array_mut().expect("rows");
    rows.retain(|row| row["segment"] == name.get());
    assert_golden("list.json", &words.json(report));
}

#[test]
fn procs() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    assert_golden("procs.txt", &words.text(&stdout(&["procs", name.get()])));
    let mut report = json(&["procs", name.get()]);
    let counters = report["processes"][0].as_object_mut().and_then(|it| it.remove("counters"));
    assert_eq!(counters.expect("all counters")["stored_new"], 4);
    assert_golden("procs.json", &words.json(report));
}

#[test]
fn stat() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    assert_golden("stat.txt", &words.text(&stdout(&["stat", name.get()])));
    let mut report = json(&["stat", name.get()]);
    let counters = report.as_object_mut().and_then(|it| it.remove("counters"));
    assert_eq!(counters.expect("all counters")["hits"], 2);
    // Slots are rounded up in each bucket, and the seed decides who lies with whom.
    let used = std::mem::replace(&mut report["used_bytes"], "BYTES".into());
    assert!((1000..1100).contains(&used.as_u64().expect("a number")), "{used}");
    assert_golden("stat.json", &words.json(report));
}

#[test]
fn ls() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    // The seed varies, and with it the digests, the buckets and the order.
    let mut text = String::new();
    for context in ["example.org", "example.net"] {
        let args = ["ls", name.get(), "--context", context, "--sort", "left", "--limit", "2"];
        text += &words.text(&without_digests(&stdout(&args)));
    }
    assert_golden("ls.txt", &text);
    let args = ["ls", name.get(), "--sort", "hits", "--limit", "2"];
    let mut report = json(&args);
    for row in report["sessions"].as_array_mut().expect("rows") {
        row["digest"] = "DIGEST".into();
        row["bucket"] = "BUCKET".into();
    }
    assert_golden("ls.json", &words.json(report));
}

#[test]
fn locks() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    assert_golden("locks.txt", &words.text(&stdout(&["locks", name.get(), "--for", "0"])));
    assert_golden("locks.json", &words.json(json(&["locks", name.get(), "--for", "0"])));
}

#[test]
fn events() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    let run = with(&["events", name.get()]);
    let note = "note: the segment keeps the last 32 events of each process\n";
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), note));
    let mut events = json(&["events", name.get()]);
    let mut text = run.stdout;
    for (n, event) in events["events"].as_array_mut().expect("events").iter_mut().enumerate() {
        let digest = event["digest"].as_str().expect("a digest");
        text = text.replace(digest, &format!("DIGEST-{n}"));
        event["digest"] = "DIGEST".into();
    }
    assert_golden("events.txt", &words.text(&text));
    assert_golden("events.json", &words.json(events));
}

#[test]
fn check() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    assert_golden("check.txt", &words.text(&stdout(&["check", name.get()])));
    assert_golden("check.json", &words.json(json(&["check", name.get()])));
}

#[test]
fn doctor() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    assert_golden("doctor.txt", &words.text(&without_swap(&stdout(&["doctor", name.get()]))));
    let mut report = json(&["doctor", name.get()]);
    let findings = report["findings"].as_array_mut().expect("findings");
    findings.retain(|finding| finding["rule"] != "swappable");
    for finding in findings {
        finding["seen"] = words.text(finding["seen"].as_str().expect("text")).trim_end().into();
    }
    assert_golden("doctor.json", &words.json(report));
}

#[test]
fn doctor_of_a_sick_segment() {
    let name = Name::new();
    let words = Words::of(&name, None);
    stdout(&["create", name.get(), "--size", "1MiB", "--max-session", "4KiB", "--mode", "0604"]);
    let cache = Options::new().mode(0o604).attach(name.get()).expect("the segment");
    let (context, expiry) = (Context::named("example.org"), Expiry::after(Duration::from_secs(60)));
    for n in 0..30_u8 {
        let id = SessionId::new(&[n; 32]).expect("32 bytes");
        assert!(cache.insert(&context, &id, &[n; 200], expiry).is_stored());
        assert!(cache.remove(&context, &id).expect("in time"));
        assert!(!cache.insert(&context, &id, &[n; 5000], expiry).is_stored());
    }
    drop(cache);
    let run = with(&["doctor", name.get()]);
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_golden("doctor-sick.txt", &words.text(&without_swap(&run.stdout)));
}

#[test]
fn keys() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    assert_golden("keys.txt", &words.text(&stdout(&["keys", name.get()])));
    assert_golden("keys.json", &words.json(json(&["keys", name.get()])));
}

#[test]
fn keys_before_there_are_any() {
    let name = Name::created();
    let words = Words::of(&name, None);
    assert_golden("keys-none.txt", &words.text(&stdout(&["keys", name.get()])));
    assert_golden("keys-none.json", &words.json(json(&["keys", name.get()])));
}

#[test]
fn metrics() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    let varies = ["_timestamp_seconds", "_duration_seconds", "_age_seconds", "_used_bytes"];
    let line = |line: &str| match line.split_once('{') {
        Some((metric, _)) if varies.iter().any(|end| metric.ends_with(end)) => {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            format!("{series} VARIES\n")
        }
        _ => format!("{line}\n"),
    };
    let text: String = stdout(&["metrics", name.get()]).lines().map(line).collect();
    assert_golden("metrics.txt", &words.text(&text));
}

#[test]
fn purge() {
    let name = Name::new();
    let cache = busy(&name);
    let words = Words::of(&name, Some(&cache));
    let purge = |what: &[&str]| words.text(&stdout(&[&["purge", name.get()], what].concat()));
    let mut text = String::new();
    wait_for("a session of 2 s expires", || {
        text = purge(&["--expired"]);
        text.contains("removed 1 ")
    });
    text += &purge(&["--context", "example.net"]);
    assert_golden("purge.txt", &text);
    assert_golden("purge.json", &words.json(json(&["purge", name.get(), "--all"])));
    assert!(cache.is_empty());
}

/// Of a program with all its commands.
#[cfg(all(feature = "bench", feature = "probe"))]
#[test]
fn help() {
    assert_golden("help.txt", &stdout(&["--help"]));
    assert_golden("help-bench-contention.txt", &stdout(&["bench", "contention", "--help"]));
    for command in COMMANDS {
        let help = stdout(&[command, "--help"]);
        assert!(help.contains("\nExamples:\n  shmtls "), "{command}: {help}");
        assert_golden(&format!("help-{command}.txt"), &help);
    }
}

#[test]
fn an_error_has_a_tip() {
    let name = Name::created();
    let words = Words::of(&name, None);
    let run = with(&["create", name.get()]);
    assert_golden("error.txt", &words.text(&run.stderr));
}

/// Whether a machine has swap is its own affair: without the lines that tell.
fn without_swap(text: &str) -> String {
    let mut is_swap = false;
    let is_kept = |line: &&str| {
        if !line.starts_with(' ') {
            is_swap = line.starts_with('[') && line.contains("swap");
        }
        !is_swap
    };
    text.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// What to write for what varies.
struct Words(Vec<(String, &'static str)>);

impl Words {
    fn of(name: &Name, cache: Option<&Cache>) -> Self {
        let mut words = vec![(name.get().into(), "NAME")];
        if let Some(cache) = cache {
            words.push((cache.processes()[0].command().into(), "COMMAND"));
        }
        let me = nix::unistd::User::from_uid(nix::unistd::geteuid()).expect("users");
        words.push((me.map_or_else(String::new, |user| user.name), "USER"));
        words.push((process::id().to_string(), "PID"));
        words.retain(|(word, _)| !word.is_empty());
        Self(words)
    }

    fn replace(&self, text: &str) -> String {
        self.0.iter().fold(text.into(), |text, (from, to)| text.replace(from, to))
    }

    /// The widths of columns vary with what is in them: one space each. `1h` may be `59m 59s` a
    /// moment later: any number of times beside each other is one.
    fn text(&self, text: &str) -> String {
        let line = |line: &str| {
            let line = self.replace(line);
            let mut words: Vec<_> = line.split_whitespace().map(without_time).collect();
            words.dedup_by(|a, b| a == b && a == "TIME");
            words.join(" ") + "\n"
        };
        text.lines().map(line).collect()
    }

    fn json(&self, mut value: Value) -> String {
        self.walk("", &mut value);
        serde_json::to_string_pretty(&value).expect("JSON") + "\n"
    }

    fn walk(&self, key: &str, value: &mut Value) {
        match value {
            Value::Object(map) => map.iter_mut().for_each(|(key, value)| self.walk(key, value)),
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(key, item)),
            Value::Number(_) if is_time(key) => {
                *value = "TIME".into();
            }
            Value::Number(_) if key.ends_with("pid") => *value = "PID".into(),
            // A slot alone in its bucket takes a whole word.
            Value::Number(_) if key == "used_bytes" => *value = "BYTES".into(),
            Value::String(text) => *text = self.replace(text),
            _ => {}
        }
    }
}

fn is_time(key: &str) -> bool {
    let times = ["_unix_secs", "_unix_millis", "age_secs", "left_secs", "idle_secs"];
    times.iter().any(|end| key.ends_with(end)) || key == "unix_secs" || key == "unix_millis"
}

/// The first column of a row.
fn without_digests(text: &str) -> String {
    let is_digest = |word: &str| word.len() == 8 && word.bytes().all(|c| c.is_ascii_hexdigit());
    let line = |line: &str| match line.split_once(' ') {
        Some((first, rest)) if is_digest(first) => format!("DIGEST {rest}\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

/// `12s` and `4m` are `TIME`.
fn without_time(word: &str) -> String {
    let is_time = word
        .strip_suffix(['s', 'm', 'h', 'd'])
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()));
    let is_moment = word.len() == 24 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
    if is_time || is_moment { "TIME".into() } else { word.into() }
}
