//! What `procs` and `list` say of real workers: running, stopped, killed.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use shmtls::Options;

use crate::support::{Name, busy, fill, json, run, wait_for};

const WORKER_OF: &str = "SHMTLS_CLI_TEST_WORKER_OF";

#[test]
fn workers_run_stop_and_die() {
    if let Ok(name) = env::var(WORKER_OF) {
        return work(&name);
    }
    let name = Name::created();
    let mut worker = start(&name);
    let pid = worker.id();
    let state = || {
        let report = json(&["procs", name.get()]);
        let processes = report["processes"].as_array().expect("processes").clone();
        let ours = processes.into_iter().find(|process| process["pid"] == pid);
        ours.map_or(Value::Null, |process| process["state"].clone())
    };
    assert_eq!(state(), "running");
    let signal = |signal| kill(Pid::from_raw(pid as i32), signal).expect("a signal");
    signal(Signal::SIGSTOP);
    wait_for("the worker is stopped", || state() == "stopped");
    signal(Signal::SIGKILL);
    wait_for("the worker is a zombie", || state() == "zombie");
    worker.wait().expect("waited");
    assert_eq!(state(), "dead");

    let report = json(&["list"]);
    let rows = report["segments"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["segment"] == name.get()).expect("a row");
    assert_eq!((&row["processes_alive"], &row["processes_dead"]), (&0.into(), &1.into()));
    assert_eq!(json(&["keys", name.get()])["processes_with_keys"], 0);
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
    let purge = elsewhere(env!("CARGO_BIN_EXE_shmtls"), &["purge", name.get(), "--all"]);
    assert_eq!(purge.code, Some(3), "{purge:?}");
    assert!(purge.stderr.contains("PID namespace") && purge.stderr.contains("tip:"), "{purge:?}");
}

/// This test again, as a process that attaches.
fn start(name: &Name) -> Child {
    let mut worker = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "processes::workers_run_stop_and_die", "--nocapture"])
        .env(WORKER_OF, name.get())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a worker");
    let stdout = BufReader::new(worker.stdout.take().expect("its stdout"));
    let mut lines = stdout.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("attached")), "the worker ended early");
    worker
}

fn work(name: &str) {
    let cache = Options::new().attach(name).expect("the segment");
    fill(&cache);
    println!("attached");
    // Until the parent ends, if it does not kill us first.
    let _ = std::io::stdin().read(&mut [0]);
}
