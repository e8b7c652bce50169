//! Hostile segments without a fuzzer: every input that once mattered, and some thousands that a
//! seed repeats. `make fuzz` looks for more.
#![allow(unsafe_code)] // A second mapping of the segment.

#[path = "hostile/mod.rs"]
mod hostile;
#[path = "common/payload.rs"]
mod payload;
#[path = "common/scoreboard.rs"]
mod scoreboard;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hostile::Victim;
use nix::unistd::alarm;
use payload::Rng;

/// Of one input, which takes milliseconds.
const ALARM_SECS: u32 = 60;

/// Names the input of the execution that panics.
struct Replay<'a>(&'a str, &'a [u8]);

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("hostile input {}: {:?}", self.0, self.1);
        }
    }
}

/// There is one alarm in a process.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn execute(victim: &mut Victim, name: &str, input: &[u8]) {
    // What hangs ends this process.
    alarm::set(ALARM_SECS);
    let replay = Replay(name, input);
    victim.execute(replay.1);
    victim.recover();
    alarm::cancel();
}

/// Each file was the end of a process once, or comes where no other input does.
#[test]
fn every_input_that_once_mattered_is_survived() {
    let _turn = alone();
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/hostile");
    let mut victim = Victim::new();
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).expect("the corpus") {
        let path = entry.expect("a file").path();
        let input = std::fs::read(&path).expect("a file");
        execute(&mut victim, &path.display().to_string(), &input);
        count += 1;
    }
    assert!(count > 5, "only {count} inputs in {corpus}");
}

#[test]
fn noise_is_survived() {
    let _turn = alone();
    let mut random = Rng::new(0x6e6f_6973);
    let mut victim = Victim::new();
    for round in 0..1000 {
        let len = random.within(4, 300);
        let input: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        execute(&mut victim, &format!("noise {round}"), &input);
    }
}
