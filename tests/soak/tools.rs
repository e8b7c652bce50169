//! Who else uses the segment: programs that attach by its name, and programs that only look.

use std::env;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use nix::unistd::alarm;
use shmtls::{Cache, Expiry, Inserted, KeyStatus, Miss, Options};

use crate::SEGMENT;
use crate::board::Board;
use crate::payload::{check, context, id, payload, soon};
use crate::plan::{LINES, capacity};
use crate::worker::ALARM_SECS;

const PAUSE: Duration = Duration::from_millis(20);
/// Visits from one time that somebody attaches to the next.
const VISITS: u64 = 15;
/// For one look around.
const SWEEPS: usize = 8;

/// Attaches, uses the cache, and leaves; again and again.
pub(crate) fn attach_for_ever(name: &str, board: &Board) {
    for serial in 0.. {
        alarm::set(ALARM_SECS);
        let cache = Cache::attach(name).expect("there, and whole");
        use_it(&cache, serial);
        drop(cache);
        board.attached.fetch_add(1, SeqCst);
        // What it stores must not be more beside fewer visits.
        let next = board.all_visits() + VISITS;
        while board.all_visits() < next && !board.is_over() {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Stores a session of its own and takes it, and looks at everything.
fn use_it(cache: &Cache, serial: u64) {
    let (number, bytes) = (serial % 1000, payload(serial % 1000, serial, 150));
    let stored = cache.insert(&context(), &id(number), &bytes, soon());
    match (stored, cache.take(&context(), &id(number))) {
        (_, Ok(session)) => assert_eq!(check(number, session.bytes()), serial),
        // The next one needed the room; or somebody stood still in there.
        (_, Err(Miss::Absent | Miss::Evicted | Miss::Busy)) => {}
        (stored, missed) => panic!("stored {stored:?}, and then {missed:?}"),
    }
    assert_ne!(stored, Inserted::Expired);
    // And one that nobody takes, for others to clear away.
    if serial.is_multiple_of(4) {
        let brief = Expiry::after(Duration::from_secs(2));
        let _ = cache.insert(&context(), &id(1000 + number), &bytes, brief);
    }
    assert!(cache.processes().len() <= LINES as usize);
    assert!(cache.processes().iter().any(|process| process.pid() == std::process::id()));
    sound(&cache.keys().status().expect("keys"));
}

/// Locks every bucket, again and again: this is who dies in them.
pub(crate) fn sweep_for_ever(name: &str, board: &Board) {
    loop {
        alarm::set(ALARM_SECS);
        let cache = Cache::attach(name).expect("there, and whole");
        for _ in 0..SWEEPS {
            let _ = cache.sweep();
        }
        let mut seen = 0;
        let _ = cache.for_each(|_, _| seen += 1);
        assert!(seen <= capacity());
        drop(cache);
        board.attached.fetch_add(1, SeqCst);
        thread::sleep(Duration::from_millis(2));
    }
}

/// Looks from outside, and writes nothing.
pub(crate) fn inspect_for_ever(name: &str, board: &Board) {
    loop {
        alarm::set(ALARM_SECS);
        let inspector = Options::new().inspect(name).expect("there, and whole");
        let mut seen = 0;
        let _ = inspector.for_each(|_| seen += 1);
        assert!(seen <= capacity() && inspector.len() <= capacity());
        assert!(inspector.stats().lookups() >= inspector.stats().misses());
        assert!(inspector.processes().len() <= LINES as usize);
        sound(&inspector.keys().expect("keys"));
        board.inspected.fetch_add(1, SeqCst);
        thread::sleep(PAUSE);
    }
}

fn sound(status: &KeyStatus) {
    assert!(status.epoch > 0 && !status.keys.is_empty(), "{status:?}");
}

/// Has [`visit`] done by a program that inherits nothing.
pub(crate) fn execute(name: &str) {
    let visitor = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", "a_server_that_is_killed_all_day_stays_as_it_was", "--nocapture"])
        .env(SEGMENT, name)
        .stdin(Stdio::null())
        .output()
        .expect("this test can be run");
    let said = String::from_utf8_lossy(&visitor.stdout);
    let complaint = String::from_utf8_lossy(&visitor.stderr);
    assert!(visitor.status.success() && said.contains("1 passed"), "{said}\n{complaint}");
}

/// What a tool does that was started by hand.
pub(crate) fn visit(name: &str) {
    let cache = Cache::attach(name).expect("there, and whole");
    use_it(&cache, u64::from(std::process::id()));
    let inspector = Options::new().inspect(name).expect("there, and whole");
    assert!(inspector.processes().iter().any(|process| process.pid() == std::process::id()));
    assert!(inspector.len() <= capacity());
}
