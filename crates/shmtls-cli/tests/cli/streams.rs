//! Pipes that end, signals, repeated reports, colours, and segments that go away between two looks.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Lines, pipe};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use shmtls::Options;

use crate::support::{Name, busy, run, shmtls, with};

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let _something_to_list = Name::created();
    for args in [&["list"][..], &["man"], &["completions", "bash"], &["--help"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let child = shmtls().args(args).stdout(writer).stderr(Stdio::piped()).spawn();
        let output = child.expect("the program").wait_with_output().expect("its end");
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        assert!(output.stderr.is_empty(), "{args:?}: {output:?}");
    }
}

#[test]
fn a_watched_report_comes_again_until_an_interrupt() {
    let name = Name::new();
    let _cache = busy(&name);
    for report in ["procs", "keys"] {
        let (mut child, mut lines) = watch(&[report, name.get()]);
        for _ in 0..3 {
            let line = lines.next().expect("a report").expect("a line");
            assert!(line.starts_with(&format!("{{\"schema\":\"shmtls.{report}/1\",")), "{line}");
        }
        signal(&child, Signal::SIGINT);
        assert_eq!(child.wait().expect("its end").code(), Some(130));
    }
}

#[test]
fn watched_text_is_kept_apart_by_empty_lines() {
    let name = Name::new();
    let _cache = busy(&name);
    let (mut child, lines) = watch_as("text", &["keys", name.get()]);
    let text: Vec<_> = lines.map_while(Result::ok).take(10).collect();
    signal(&child, Signal::SIGINT);
    child.wait().expect("its end");
    let starts = text.iter().map(|line| line.starts_with("epoch 1"));
    let expected = [true, false, false, false, false, true, false, false, false, false];
    assert_eq!(starts.collect::<Vec<_>>(), expected, "{text:#?}");
    assert_eq!((text[4].as_str(), text[9].as_str()), ("", ""));
}

#[test]
fn a_watched_segment_that_is_removed() {
    let name = Name::created();
    let (child, mut lines) = watch(&["procs", name.get()]);
    lines.next().expect("a report").expect("a line");
    fs::remove_file(name.path()).expect("removed");
    let (code, stderr) = end(child);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("no segment"), "{stderr}");
}

#[test]
fn a_watched_segment_that_is_truncated() {
    let name = Name::created();
    let (child, mut lines) = watch(&["keys", name.get()]);
    lines.next().expect("a report").expect("a line");
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    file.set_len(64 << 10).expect("truncated");
    let (code, stderr) = end(child);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
}

#[test]
fn a_bus_error_has_words() {
    let name = Name::created();
    let (child, mut lines) = watch(&["keys", name.get()]);
    lines.next().expect("a report").expect("a line");
    signal(&child, Signal::SIGBUS);
    let (code, stderr) = end(child);
    assert_eq!(code, Some(4), "{stderr}");
    assert!(stderr.contains("cut short") && stderr.contains("tip:"), "{stderr}");
}

/// The tool once died of a SIGBUS in the middle of its message: its handler is called after the
/// standard library's, which restores the default action.
#[test]
fn a_segment_that_is_cut_while_it_is_looked_at() {
    let name = Name::created();
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    let whole = file.metadata().expect("stat").len();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                file.set_len(16 << 10).expect("cut");
                file.set_len(whole).expect("grown");
            }
        });
        let runs: Vec<_> = (0..60).map(|_| with(&["procs", name.get()])).collect();
        done.store(true, Relaxed);
        for run in runs {
            assert!(matches!(run.code, Some(0 | 4)), "{run:?}");
        }
    });
}

/// One that went away after it was found was once listed as sick.
#[test]
fn a_list_of_segments_that_come_and_go() {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                let name = Name::new();
                Options::new().size(1 << 20).create(name.get()).expect("a segment");
            }
        });
        let runs: Vec<_> = (0..60).map(|_| with(&["list"])).collect();
        done.store(true, Relaxed);
        for run in runs {
            assert_eq!(run.code, Some(0), "{run:?}");
            assert!(!run.stdout.contains("no segment '"), "{run:?}");
        }
    });
}

#[test]
fn colours_are_for_terminals() {
    let name = Name::created();
    let look = |args: &[&str]| with(&[&["list"], args].concat()).stdout;
    assert!(!look(&[]).contains('\x1b'));
    assert!(!look(&["--color", "never"]).contains('\x1b'));
    assert!(look(&["--color", "always"]).contains("\x1b[1mSEGMENT"));
    let stderr = with(&["keys", "/nowhere/at-all", "--color", "always"]).stderr;
    assert!(stderr.contains("\x1b[31m") || stderr.contains("\x1b[1m"), "{stderr:?}");
    let forced = run(shmtls().args(["list"]).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1"));
    assert!(!forced.stdout.contains('\x1b') && forced.stdout.contains(name.get()), "{forced:?}");
}

/// `args` every 100 ms as JSON.
fn watch(args: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    watch_as("json", args)
}

fn watch_as(format: &str, args: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = shmtls()
        .args(args)
        .args(["--format", format, "-w", "100ms"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    let lines = BufReader::new(child.stdout.take().expect("its stdout")).lines();
    (child, lines)
}

fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("its end");
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).expect("a signal");
}
