//! What `procs` and `list` say of real workers: running, stopped, killed.

use std::env;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use shmtls::Options;

use crate::support::{Name, fill, json, wait_for};

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
