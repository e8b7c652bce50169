//! Workers killed with SIGKILL in the middle of storing a session, until some held the lock.

use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use shmtls::{Cache, Context, Expiry, Miss, SessionId};

use crate::child;
use crate::random::Random;

const KILLS_MAX: u32 = 1000;
const RECOVERIES_WANTED: u32 = 10;
const WITNESSES: usize = 1000;
/// As large as with a chain of client certificates: most of the victim's time is in the section.
const VICTIM_BYTES: usize = 8 << 10;
const WITNESS_BYTES: usize = 200;
const LIFETIME: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) kills: u32,
    /// The number of the first kill that left a lock behind.
    pub(crate) first: u32,
    pub(crate) recoveries: u32,
    /// Kills after which the session under way was there, with every byte; else it was lost.
    pub(crate) whole: u32,
    /// The longest recovering lookup.
    pub(crate) slowest: Duration,
    /// Lookups that gave up waiting.
    pub(crate) stuck: u32,
    /// Kills after which it had other bytes than were ever stored.
    pub(crate) wrong: u32,
    /// Sessions that nobody was storing, before and after.
    pub(crate) bystanders: usize,
    /// Of these, the ones that are not there with their own bytes.
    pub(crate) lost: usize,
}

pub(crate) fn kill_workers(
    cache: &Cache,
    mut progress: impl FnMut(&Outcome),
) -> Result<Outcome, String> {
    let context = Context::named("crash");
    let mut random = Random::seeded(2);
    let mut fresh = |len| (id(&mut random), random.bytes(len));

    // One ID is one bucket; the variants differ in every word, so that a mixture would show.
    let (victim, first) = fresh(VICTIM_BYTES.min(cache.max_session()));
    let variants: Vec<_> = (0..8).map(|_| fresh(first.len()).1).collect();
    store(cache, &context, &victim, &first)?;
    let mut bystanders: Vec<_> = (0..WITNESSES).map(|_| fresh(WITNESS_BYTES)).collect();
    for (id, bytes) in &bystanders {
        store(cache, &context, id, bytes)?;
    }
    // A full bucket evicts; that is before the first kill.
    bystanders.retain(|(id, _)| cache.get_session(&context, id).is_ok());

    let mut outcome = Outcome { bystanders: bystanders.len(), ..Outcome::default() };
    let mut random = Random::seeded(3);
    while outcome.recoveries < RECOVERIES_WANTED && outcome.kills < KILLS_MAX {
        let delay = Duration::from_micros(random.next() % 2000);
        kill_one(delay, || {
            // Refused or not: the next one is another.
            for bytes in variants.iter().cycle() {
                let _ = cache.insert(&context, &victim, bytes, Expiry::after(LIFETIME));
            }
        })?;
        outcome.kills += 1;

        let before = cache.stats().recoveries();
        let started = Instant::now();
        let found = cache.get_session(&context, &victim);
        let took = started.elapsed();
        if cache.stats().recoveries() > before {
            outcome.recoveries += 1;
            outcome.slowest = outcome.slowest.max(took);
            if outcome.first == 0 {
                outcome.first = outcome.kills;
            }
        }
        let is_whole = |bytes: &[u8]| variants.iter().chain([&first]).any(|v| v == bytes);
        match found {
            Ok(session) if is_whole(session.bytes()) => outcome.whole += 1,
            Ok(_) => outcome.wrong += 1,
            Err(Miss::Busy) => outcome.stuck += 1,
            // The one session in flight may be lost.
            Err(_) => {}
        }
        progress(&outcome);
    }

    for (id, bytes) in &bystanders {
        let found = cache.get_session(&context, id);
        outcome.lost += usize::from(!found.is_ok_and(|session| session.bytes() == bytes));
    }
    Ok(outcome)
}

/// Forks a worker, waits until it is at it, and kills it after the delay.
fn kill_one(delay: Duration, work: impl FnOnce()) -> Result<(), String> {
    let (mut started, mut start) = io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
    let worker = child::spawn(move || {
        start.write_all(b"!").map_err(|e| format!("cannot say that it has begun: {e}"))?;
        work();
        Ok(())
    })?;
    started.read_exact(&mut [0]).map_err(|e| format!("a worker did not begin: {e}"))?;
    thread::sleep(delay);
    child::end(worker, Signal::SIGKILL)
}

fn store(cache: &Cache, context: &Context, id: &SessionId, bytes: &[u8]) -> Result<(), String> {
    let stored = cache.insert(context, id, bytes, Expiry::after(LIFETIME)).is_stored();
    if stored { Ok(()) } else { Err("cannot store a session".into()) }
}

fn id(random: &mut Random) -> SessionId {
    SessionId::new(&random.bytes(32)).expect("32 bytes are an ID")
}
