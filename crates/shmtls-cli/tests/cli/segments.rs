//! What a user may call a segment: a name, a path, a process, a descriptor, or nothing.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process;

use shmtls::Options;

use crate::support::{Name, busy, fill, json, run, shmtls, stdout, with};

#[test]
fn by_name_path_and_environment() {
    let name = Name::new();
    let _cache = busy(&name);
    let path = name.path();
    let expected = json(&["keys", name.get()])["keys"].clone();
    assert_eq!(json(&["keys", path.to_str().expect("UTF-8")])["keys"], expected);
    let run = run(shmtls().args(["keys", "--format", "json"]).env("SHMTLS_SEGMENT", name.get()));
    let found: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!((&found["keys"], &found["segment"]), (&expected, &name.get().into()));
}

/// `SHMTLS_SEGMENT=` counted as a segment without a name, where it is to have none. An empty word
/// of the command line stays a mistake: who purges `"$SEGMENT"` does not mean the only one.
#[test]
fn an_empty_environment_is_none() {
    let names = [Name::created(), Name::created()];
    let without = |args: &[&str]| run(shmtls().args(args).env("SHMTLS_SEGMENT", ""));
    let several = without(&["keys"]);
    assert!(several.stderr.contains("there are several segments: "), "{several:?}");
    let metrics = without(&["metrics"]);
    assert!(metrics.stdout.contains(names[0].get()), "{metrics:?}");
    let mistake = without(&["purge", "", "--all"]);
    assert_eq!(mistake.code, Some(2), "{mistake:?}");
    assert!(mistake.stderr.contains("\"\" is no segment name"), "{mistake:?}");
}

#[test]
fn of_several_one_must_be_named() {
    let names = [Name::created(), Name::created()];
    let run = with(&["keys"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    for name in &names {
        assert!(run.stderr.contains(name.get()), "{run:?}");
    }
    assert!(run.stderr.contains("tip: name one, or set SHMTLS_SEGMENT"), "{run:?}");
}

#[test]
fn without_a_name_by_process() {
    let cache = Options::new().size(1 << 20).create_memfd().expect("a memfd");
    fill(&cache);
    let by_pid = format!("pid:{}:{}", process::id(), cache.fd().as_raw_fd());
    assert_eq!(json(&["keys", &by_pid])["epoch"], 1);
    let purged = stdout(&["purge", &by_pid, "--context", "example.net"]);
    assert!(purged.starts_with("removed 1 session from pid:"), "{purged}");

    let row = row_of(&by_pid);
    assert_eq!((&row["backing"], &row["sessions"]), (&"memfd".into(), &3.into()));
    assert_eq!(row["problem"], serde_json::Value::Null);
}

#[test]
fn handed_over_by_number_and_by_name() {
    let name = Name::new();
    let _cache = busy(&name);
    // A shell's redirection, as a unit's OpenFile= does it.
    let script = format!(
        "exec 3<{path} 4<{path}; export LISTEN_FDS=2 LISTEN_FDNAMES=other:web; \
         for fd in fd:3 fd:web; do {} keys $fd || exit; done; {} keys fd:api",
        env!("CARGO_BIN_EXE_shmtls"),
        env!("CARGO_BIN_EXE_shmtls"),
        path = name.path().display(),
    );
    let run = run(process::Command::new("sh").args(["-c", &script]));
    assert_eq!(run.stdout.matches("epoch 1").count(), 2, "{run:?}");
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.contains("'api' was handed over (LISTEN_FDNAMES: other, web)"), "{run:?}");
}

/// Who creates a segment has it under a name that it never had (`/dev/shm/#48432 (deleted)`), so
/// `pid:PID` found every process of a server but the one that made the segment.
#[test]
fn by_the_process_that_created_it() {
    let name = Name::new();
    let cache = busy(&name);
    let by_pid = format!("pid:{}:{}", process::id(), cache.fd().as_raw_fd());
    assert_eq!(json(&["keys", &by_pid])["epoch"], 1);
    let list = json(&["list"]);
    let rows = list["segments"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["segment"] != by_pid.as_str()), "by its name alone: {list}");
}

/// `list` and `metrics` told only of what lies in /dev/shm itself, and of memfds.
#[test]
fn at_a_path_and_after_its_name_was_removed() {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("sessions");
    let path = path.to_str().expect("UTF-8");
    let creator = Options::new().size(1 << 20).create(path).expect("a segment");
    // Its descriptor says where the segment is, unlike that of who made it.
    let other = Options::new().attach(path).expect("attached");
    drop(creator);
    assert_eq!(row_of(path)["backing"], "named");
    let metrics = stdout(&["metrics"]);
    assert!(metrics.contains(&format!("shmtls_up{{segment=\"{path}\"}} 1")), "{metrics}");

    fs::remove_file(path).expect("removed");
    let by_pid = format!("pid:{}:{}", process::id(), other.fd().as_raw_fd());
    let row = row_of(&by_pid);
    assert_eq!(row["backing"], "memfd");
    assert!(row["problem"].as_str().is_some_and(|it| it.contains("file was removed")), "{row}");
}

fn row_of(segment: &str) -> serde_json::Value {
    let list = json(&["list"]);
    let rows = list["segments"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["segment"] == segment);
    row.unwrap_or_else(|| panic!("{segment} is not in {list}")).clone()
}

/// A process that has one segment open twice has one; with two it must be said which.
#[test]
fn a_process_with_several() {
    let (one, two) = (Name::created(), Name::created());
    let open = |name: &Name| OwnedFd::from(File::open(name.path()).expect("the segment"));
    let held =
        process::Command::new("sleep").arg("60").stdin(open(&one)).stdout(open(&one)).spawn();
    let mut held = held.expect("sleep");
    let by_pid = format!("pid:{}", held.id());
    let single = with(&["keys", &by_pid]);
    held.kill().and_then(|()| held.wait()).expect("killed");
    assert_eq!(single.code, Some(0), "{single:?}");

    let held =
        process::Command::new("sleep").arg("60").stdin(open(&one)).stdout(open(&two)).spawn();
    let mut held = held.expect("sleep");
    let by_pid = format!("pid:{}", held.id());
    let (several, first) = (with(&["keys", &by_pid]), with(&["keys", &format!("{by_pid}:0")]));
    held.kill().and_then(|()| held.wait()).expect("killed");
    assert_eq!((several.code, first.code), (Some(2), Some(0)), "{several:?} {first:?}");
    assert!(several.stderr.contains(&format!("name one: {by_pid}:0, {by_pid}:1")), "{several:?}");
}

#[test]
fn created_for_a_group() {
    let name = Name::new();
    let group = nix::unistd::getegid().to_string();
    let args = ["create", name.get(), "--size", "1MiB", "--mode", "0660", "--group", &group];
    let run = with(&args);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("note: servers attach with Options::mode(0o660)"), "{run:?}");
    let report = json(&["list"]);
    let rows = report["segments"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["segment"] == name.get()).expect("a row");
    assert_eq!((&row["mode"], &row["problem"]), (&"0660".into(), &serde_json::Value::Null));
    Options::new().mode(0o660).attach(name.get()).expect("a server attaches");
}
