//! What `procs` and `list` say of real workers: running, stopped, killed.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Name, busy, json, run, stdout, wait_for};
use crate::workers::{Worker, work_if_told};

#[test]
fn workers_run_stop_and_die() {
    if work_if_told() {
        return;
    }
    let name = Name::created();
    let mut worker = Worker::start("processes::workers_run_stop_and_die", &name);
    worker.tell("fill");
    let pid = worker.pid();
    let state = || {
        let report = json(&["procs", name.get()]);
        let processes = report["processes"].as_array().expect("processes").clone();
        let ours = processes.into_iter().find(|process| process["pid"] == pid);
        ours.map_or(Value::Null, |process| process["state"].clone())
    };
    assert_eq!(state(), "running");
    worker.signal(Signal::SIGSTOP);
    wait_for("the worker is stopped", || state() == "stopped");
    worker.signal(Signal::SIGKILL);
    wait_for("the worker is a zombie", || state() == "zombie");
    worker.kill();
    assert_eq!(state(), "dead");

    let report = json(&["list"]);
    let rows = report["segments"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["segment"] == name.get()).expect("a row");
    assert_eq!((&row["processes_alive"], &row["processes_dead"]), (&0.into(), &1.into()));
    assert_eq!(json(&["keys", name.get()])["processes_with_keys"], 0);
}

/// A process that had joined and done nothing yet was seen `20785d 15h` ago: 0 was taken for 1970.
#[test]
fn one_that_has_not_used_the_cache_yet() {
    let name = Name::new();
    let _cache = busy(&name);
    // As the line of a forked worker is that has only looked at the keys.
    let file = OpenOptions::new().read(true).write(true).open(name.path()).expect("the segment");
    let mut offset = [0; 8];
    file.read_exact_at(&mut offset, 32).expect("members_offset");
    let heartbeat = u64::from_ne_bytes(offset) + 24;
    file.write_all_at(&[0; 8], heartbeat).expect("written");

    let process = json(&["procs", name.get()])["processes"][0].clone();
    assert_eq!(process["last_seen_unix_secs"], Value::Null, "{process}");
    assert!(process["attached_unix_secs"].as_u64() > Some(0), "{process}");
    let text = stdout(&["procs", name.get()]);
    let words: Vec<_> = text.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(words[4], "-", "{text}");
}

/// From another PID namespace, a sidecar's say, the numbers in the table mean nothing.
#[test]
fn workers_of_another_pid_namespace_are_neither_alive_nor_dead() {
    let elsewhere = |program: &str, args: &[&str]| {
        let unshare = ["--user", "--map-root-user", "--pid", "--fork", program];
        run(Command::new("unshare").args(unshare).args(args).env_remove("SHMTLS_SEGMENT"))
    };
    if elsewhere("true", &[]).code != Some(0) {
        eprintln!("not tested: a PID namespace of one's own is not allowed here");
        return;
    }
    let name = Name::new();
    let _cache = busy(&name);
    let report = |command: &str| -> Value {
        let args = [command, name.get(), "--format", "json"];
        let run = elsewhere(env!("CARGO_BIN_EXE_shmtls"), &args);
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
    };
    assert_eq!(report("procs")["processes"][0]["state"], "unknown");
    assert_eq!(report("keys")["processes_with_keys"], 1);
    let doctor = report("doctor");
    let findings = doctor["findings"].as_array().expect("findings");
    let died = findings.iter().find(|it| it["rule"] == "dead-processes").expect("a finding");
    assert_eq!(died["severity"], "unknown");
    let purge = elsewhere(env!("CARGO_BIN_EXE_shmtls"), &["purge", name.get(), "--all"]);
    assert_eq!(purge.code, Some(3), "{purge:?}");
    assert!(purge.stderr.contains("PID namespace") && purge.stderr.contains("tip:"), "{purge:?}");
}
