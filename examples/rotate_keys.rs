//! Ticket keys that rotate in several processes at once: whichever comes first makes the next key,
//! everybody has it at once, and one that is killed is not missed.
//!
//! Prints the ring for a few seconds and ends with OK and status 0 if all went as it should. It
//! needs no TLS at all: these are the keys under it.

#[path = "common/child.rs"]
mod child;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use shmtls::{Cache, KeyRole, KeyStatus, Rotation};

const PROCESSES: usize = 3;
const SECONDS: u32 = 6;
/// In this second the first of them is killed.
const KILL_AT: u32 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("\nOK");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let cache = shmtls::Options::new()
        .size(1 << 20)
        .create_memfd()
        .map_err(|e| format!("no segment: {e}\nhint: {}", e.hint()))?;
    // A server would say 12 hours, and leave the rest as it is.
    let rotation = Rotation::every(Duration::from_secs(1))
        .activation_delay(Duration::from_secs(2))
        .ticket_lifetime(Duration::from_secs(2));

    let mut workers = Workers(Vec::new());
    for _ in 0..PROCESSES {
        workers.0.push(child::spawn(|| take_part(&cache, rotation))?);
    }
    let started = Instant::now();
    for second in 1..=SECONDS {
        thread::sleep(Duration::from_secs(second.into()).saturating_sub(started.elapsed()));
        if second == KILL_AT {
            let victim = workers.0.remove(0);
            child::end(victim, Signal::SIGKILL)?;
            println!("\nkilled process {victim}");
        }
        let status = cache.keys().status().ok_or("nobody has made a key")?;
        print(&status, &cache);
    }

    let epoch = cache.keys().epoch();
    // One rotation a second, however many take part, and none is left out for a death.
    let expected = u64::from(SECONDS) - 2..=u64::from(SECONDS) + 1;
    if !expected.contains(&epoch) {
        return Err(format!("epoch {epoch} after {SECONDS} s, expected {expected:?}"));
    }
    let behind =
        |process: &shmtls::ProcessInfo| process.is_alive() && process.key_epoch() + 1 < epoch;
    match cache.processes().iter().find(|process| behind(process)) {
        Some(process) => Err(format!("process {} is behind", process.pid())),
        None => Ok(()),
    }
}

/// A worker of a server would serve meanwhile.
fn take_part(cache: &Cache, rotation: Rotation) -> Result<(), String> {
    let _rotator = cache.rotate_keys(rotation).map_err(|e| format!("{e}\nhint: {}", e.hint()))?;
    loop {
        thread::park();
    }
}

fn print(status: &KeyStatus, cache: &Cache) {
    let age = SystemTime::now().duration_since(status.published).unwrap_or_default();
    println!(
        "\nepoch {}, by {:?} in process {}, {} s ago",
        status.epoch,
        status.source,
        status.writer_pid,
        age.as_secs()
    );
    for key in &status.keys {
        let does = match key.role {
            KeyRole::Next => "decrypts already",
            KeyRole::Current => "encrypts",
            KeyRole::Previous => "decrypts still",
            _ => "is over",
        };
        println!("  key {}  {does}", key.fingerprint);
    }
    for process in cache.processes() {
        let state = if process.is_alive() { "" } else { ", dead" };
        println!("  process {} has epoch {}{state}", process.pid(), process.key_epoch());
    }
}

/// None of them stays, however this process leaves.
struct Workers(Vec<Pid>);

impl Drop for Workers {
    fn drop(&mut self) {
        for &worker in &self.0 {
            let _ = child::end(worker, Signal::SIGKILL);
        }
    }
}
