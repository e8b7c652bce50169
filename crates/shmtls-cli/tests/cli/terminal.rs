//! `shmtls top` on a terminal: what it draws, which keys it obeys, and that the terminal is as it
//! was however it ends.

use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;

use crate::canary::{self, Forms};
use crate::support::{Name, busy, json};
use crate::workers::{Worker, work_if_told};
use top::Top;

mod top;

const ESC: &str = "\x1b";

/// Every key that the first line of the help names, with what comes of it.
#[test]
fn keys_are_obeyed() {
    if work_if_told() {
        return;
    }
    let name = Name::new();
    let _cache = busy(&name);
    let mut worker = Worker::start("terminal::keys_are_obeyed", &name);
    worker.tell("store 0 20 300 a.example");
    worker.tell("get 0 10 a.example");
    let mut top = Top::start(&name, (30, 110));
    top.see(&[
        name.get(),
        "lookups/s",
        "processes",
        &worker.pid().to_string(),
        "running",
        "q quit",
    ]);
    top.press("e", &["events  the newest first", "hit", "stored", "300", "api"]);
    top.press("j", &["1 newer ones"]);
    top.press("jj", &["3 newer ones"]);
    top.press("k", &["2 newer ones"]);
    worker.tell("take 0 a.example");
    top.see(&["newer ones"]);
    top.press("g", &["taken"]);
    top.press("b", &["25 buckets", "bucket 0", "nobody has waited yet"]);
    top.press("\x1b[C", &["bucket 1 "]);
    top.press("t", &["ticket keys  epoch 1", "current", "who has them"]);
    top.press("p", &["by GET/S"]);
    top.press("s", &["by NEW/S"]);
    top.press("sssssss", &["by GET/S"]);
    top.press(" ", &["PAUSED"]);
    top.press(" ", &["UTC"]);
    top.press("?", &["heat map of the buckets", "this help"]);
    top.press("?", &["by GET/S"]);
    top.until("the help is gone", |screen| !screen.contents().contains("this help"));
    top.press("K", &["who has them"]);
    top.press(ESC, &["by GET/S"]);
    assert_eq!(top.end_by_key("q").code(), Some(0));
}

#[test]
fn an_interrupt_ends_it() {
    let name = Name::new();
    let _cache = busy(&name);
    let mut top = Top::start(&name, (24, 80));
    top.see(&[name.get()]);
    assert_eq!(top.end_by_key("\x03").code(), Some(130));
    let mut top = Top::start(&name, (24, 80));
    top.see(&[name.get()]);
    assert_eq!(top.end_by(Signal::SIGINT).code(), Some(130));
}

/// They end it as they end any program, but for the terminal.
#[test]
fn signals_end_it_and_leave_the_terminal_whole() {
    let name = Name::new();
    let _cache = busy(&name);
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut top = Top::start(&name, (24, 80));
        top.see(&[name.get()]);
        assert_eq!(top.end_by(signal).signal(), Some(signal as i32));
    }
}

/// A fault in the midst of a look is told where it can be read.
#[test]
fn a_bus_error_leaves_the_terminal_whole() {
    let name = Name::new();
    let _cache = busy(&name);
    let mut top = Top::start(&name, (24, 80));
    top.see(&[name.get()]);
    assert_eq!(top.end_by(Signal::SIGBUS).code(), Some(4));
    top.see(&["error: the segment was cut short while it was read", "tip: "]);
}

/// A segment that is cut short or replaced is said to be, and the view goes on.
#[test]
fn it_outlives_its_segment() {
    let name = Name::new();
    let cache = busy(&name);
    let mut top = Top::start(&name, (24, 100));
    top.see(&[name.get(), "4 sessions"]);
    let file = OpenOptions::new().write(true).open(name.path()).expect("the segment");
    file.set_len(20_000).expect("cut");
    top.see(&["(truncated)", "4 sessions"]);
    std::mem::forget(cache); // to leave would be to read behind the end
    std::fs::remove_file(name.path()).expect("removed");
    top.see(&["no segment"]);
    let _cache = busy(&name);
    top.see(&["this is a new segment in the place of another"]);
    assert_eq!(top.end_by_key("q").code(), Some(0));
}

/// From no room at all to more than there is to show; every view at each size.
#[test]
fn any_size_is_drawn_on() {
    let name = Name::new();
    let _cache = busy(&name);
    let mut top = Top::start(&name, (24, 80));
    top.see(&[name.get()]);
    for (rows, columns) in [(1, 1), (2, 4), (5, 20), (12, 40), (24, 80), (60, 250), (200, 500)] {
        top.resize((rows, columns));
        for key in ["p", "e", "b", "t", "?", "?"] {
            top.type_in(key);
        }
        if rows >= 24 {
            top.press("e", &["events  the newest first", "stored"]);
            top.press("p", &["by GET/S"]);
            top.until("the last line", |screen| {
                screen.contents_between(rows - 1, 0, rows - 1, columns).contains("q quit")
            });
        }
    }
    assert_eq!(top.end_by_key("q").code(), Some(0));
}

/// Of a key and a change of the size that came at the same moment one was lost: a key did nothing
/// until the next one, or half of the screen was missing.
#[test]
fn a_key_and_a_size_at_the_same_moment() {
    let name = Name::new();
    let _cache = busy(&name);
    let mut top = Top::start(&name, (24, 80));
    for (key, text) in [("e", "events  the newest first"), ("b", "25 buckets"), ("p", "by GET/S")] {
        top.see(&["q quit"]);
        top.signal(Signal::SIGSTOP);
        top.resize((5, 20));
        top.resize((24, 80));
        top.type_in(key);
        top.signal(Signal::SIGCONT);
        top.see(&[text, name.get(), "q quit"]);
    }
    assert_eq!(top.end_by_key("q").code(), Some(0));
}

/// As no command does: `canary.rs`.
#[test]
fn no_view_shows_a_secret() {
    let (name, forms) = (Name::new(), Forms::of_all());
    let cache = busy(&name);
    canary::store(&cache);
    let mut top = Top::start(&name, (50, 200));
    top.see(&["5 sessions"]);
    for (key, text) in [("p", "by GET/S"), ("e", "stored"), ("b", "bucket 0"), ("t", "who has")] {
        top.press(key, &[text]);
        assert_eq!(forms.found_in(&top.contents()), None);
    }
}

/// Without colours all the same is said.
#[test]
fn colours_are_a_choice() {
    let name = Name::new();
    let _cache = busy(&name);
    for (choice, has_colors) in [("always", true), ("never", false)] {
        let mut top = Top::start_with(&name, (24, 80), &["--color", choice]);
        top.see(&[name.get(), "running"]);
        let screen = top.screen();
        let cells = (0..24).flat_map(|row| (0..80).map(move |column| (row, column)));
        let mut colors =
            cells.filter_map(|(row, column)| Some(screen.cell(row, column)?.fgcolor()));
        assert_eq!(colors.any(|color| color != vt100::Color::Default), has_colors);
        assert_eq!(top.end_by_key("q").code(), Some(0));
    }
}

/// An event of a process that has given its line back had the PID 0.
#[test]
fn events_of_who_has_left_have_no_pid() {
    let name = Name::new();
    drop(busy(&name));
    let mut top = Top::start(&name, (30, 120));
    top.press("e", &["the newest first", "stored"]);
    let rows = top.contents();
    let mut events = rows.lines().filter(|line| line.contains(" stored "));
    let has_no_pid = |line: &str| line.split_whitespace().nth(1) == Some("-");
    assert!(events.all(has_no_pid), "{rows}");
}

/// `top` told of 221 bytes on average where `stat` told of 158: it counted what the segment keeps
/// of each session besides.
#[test]
fn the_mean_size_is_that_of_stat() {
    let name = Name::new();
    let _cache = busy(&name);
    assert_eq!(json(&["stat", name.get()])["mean_session_bytes"], 200);
    Top::start(&name, (30, 120)).see(&["avg 200 B"]);
}
