//! Automatic rotation of the ticket keys: any number of processes take part, and of each round
//! exactly one makes the key.
//!
//! There is no leader to lose. When a rotation is due, every participant tries; the ring's lock and
//! epoch let one through, and the others find that the ring is younger than the interval. A
//! participant that dies is simply not there next time. Due is a matter of uptime, not of the
//! wall clock, which may jump.

use std::mem;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cache::Cache;
use crate::keyring::{KeySource, Ring};
use crate::keys::{Published, TicketKeys};
use crate::session::{Expiry, now_secs};
use crate::sys::process::uptime_ms;
use crate::ticket_key::{KeyError, MAX_KEYS, TicketKey};

/// How ticket keys are rotated.
///
/// ```
/// use std::time::Duration;
/// use shmtls::{Options, Rotation};
///
/// let cache = Options::new().size(1 << 20).create_memfd()?;
/// let rotation = Rotation::every(Duration::from_secs(12 * 3600));
/// let first = cache.keys().rotate_if_due(&rotation)?.expect("there were no keys");
/// assert_eq!((first.epoch, cache.keys().rotate_if_due(&rotation)?), (1, None));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    interval: Duration,
    activation_delay: Duration,
    ticket_lifetime: Duration,
}

impl Rotation {
    /// A new key every `interval`, at least 100 ms. It is published a minute (or half the
    /// interval, if that is less) before anybody encrypts with it, and decrypts for an hour after
    /// the next one has taken over.
    ///
    /// RFC 9325, section 3.4, asks for keys to be changed "regularly"; HAProxy's manual says every
    /// 12 hours. The shorter, the less a stolen key opens.
    pub fn every(interval: Duration) -> Self {
        let interval = interval.max(Duration::from_millis(100));
        Self {
            interval,
            activation_delay: Duration::from_secs(60).min(interval / 2),
            ticket_lifetime: Duration::from_secs(3600),
        }
    }

    /// How long before its first use a key is published, at the least and in whole seconds: so long
    /// may a process take to hear of it. A minute by default; the interval at the most, or the ring
    /// would fill with keys whose time never comes.
    pub fn activation_delay(self, delay: Duration) -> Self {
        Self { activation_delay: delay.min(self.interval), ..self }
    }

    /// How long tickets live: so long a key decrypts after it has stopped to encrypt. Should be
    /// the lifetime that the TLS contexts give to sessions; seven days at the most (RFC 8446,
    /// section 4.6.1). An hour by default, as [`Options::lifetime`](crate::Options::lifetime) is.
    pub fn ticket_lifetime(self, lifetime: Duration) -> Self {
        Self { ticket_lifetime: lifetime, ..self }
    }

    /// How long until `ring` is to be rotated; zero if it is due.
    fn due_in(&self, ring: Option<&Ring>) -> Duration {
        let Some(ring) = ring else { return Duration::ZERO };
        let age = Duration::from_millis(uptime_ms().saturating_sub(ring.published_uptime_ms));
        self.interval.saturating_sub(age)
    }

    /// The keys after `ring`: a new one in front, those before it with an end.
    fn next_keys(&self, ring: Option<&Ring>, now: u32) -> Result<Vec<TicketKey>, KeyError> {
        let new = TicketKey::random()?;
        let Some(ring) = ring else { return Ok(vec![new]) };
        // A clock that was set back far enough leaves nothing that encrypts: then that is urgent.
        let is_urgent = self.activation_delay.is_zero() || ring.keys.encrypting(now).is_none();
        let delay = if is_urgent { 0 } else { NOW_ROUNDING + secs_up(self.activation_delay) };
        let starts = Expiry::from_unix(now.saturating_add(delay));
        // A ticket can be issued until `starts`, and its lifetime begins with the next second.
        let lifetime = NOW_ROUNDING + secs_up(self.ticket_lifetime);
        let ends = Expiry::from_unix(starts.unix_secs().saturating_add(lifetime));
        let mut keys = vec![new.not_before(starts)];
        for key in ring.keys.live(now) {
            // One that starts later than that (HAProxy's last line) is other machines' to encrypt
            // with: it has no end yet.
            let has_end = key.not_before < ends;
            let ends = if has_end { key.not_after.min(ends) } else { key.not_after };
            keys.push(key.clone().not_after(ends));
        }
        make_room(&mut keys, now);
        Ok(keys)
    }
}

/// Drops what there is no room for: first keys that never get to encrypt because a newer one starts
/// no later, then the oldest, but not the one that encrypts. The caller is warned of those.
fn make_room(keys: &mut Vec<TicketKey>, now: u32) {
    while keys.len() > MAX_KEYS {
        let starts_no_later =
            |at: usize, newer: &TicketKey| newer.not_before <= keys[at].not_before;
        let is_useless = |at: &usize| {
            let has_started = keys[*at].not_before.passed_at(now);
            !has_started && keys[..*at].iter().any(|newer| starts_no_later(*at, newer))
        };
        let current = keys.iter().position(|key| key.encrypts_at(now));
        let oldest_first = || (0..keys.len()).rev();
        let victim = oldest_first().find(is_useless);
        let victim = victim.or_else(|| oldest_first().find(|at| Some(*at) != current));
        keys.remove(victim.unwrap_or(0));
    }
}

impl TicketKeys<'_> {
    /// Rotates the keys if the ring is as old as the interval, and nobody else does it first.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the ring stays as it was.
    pub fn rotate_if_due(&self, rotation: &Rotation) -> Result<Option<Published>, KeyError> {
        // Of the ring in the segment, which is not the one in use if that cannot be read.
        let epoch = self.epoch();
        let ring = self.current();
        if !rotation.due_in(ring.as_deref()).is_zero() {
            return Ok(None);
        }
        let keys = rotation.next_keys(ring.as_deref(), now_secs())?;
        match self.publish_over(epoch, keys, KeySource::Rotation) {
            Ok(published) => Ok(Some(published)),
            Err(KeyError::Stale { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A process's part in the rotation: a thread, until it is dropped. A forked child has none.
#[derive(Debug)]
#[must_use = "rotation stops when this is dropped"]
pub struct Rotator {
    /// Who started the thread.
    pid: u32,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Cache {
    /// Takes part in the rotation of the ticket keys. Call it in every worker, after the fork: as
    /// long as one of them lives the keys are rotated on time, also when no handshake comes.
    ///
    /// # Errors
    ///
    /// That of the first rotation, which is made before this returns if there are no keys yet.
    pub fn rotate_keys(&self, rotation: Rotation) -> Result<Rotator, KeyError> {
        self.keys().rotate_if_due(&rotation)?;
        let (stop, stopped) = mpsc::channel();
        let cache = self.clone();
        let thread = thread::Builder::new().name("shmtls-rotate".into()).spawn(move || {
            loop {
                let due = rotation.due_in(cache.keys().current().as_deref());
                let wait = due.clamp(MIN_WAIT, MAX_WAIT);
                if stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                // What fails now is tried again at the next look; keys that had to go while their
                // tickets lived are counted (`Stats::keys_dropped`).
                let _ = cache.keys().rotate_if_due(&rotation);
            }
        });
        let thread = thread.map_err(KeyError::Thread)?;
        Ok(Rotator { pid: std::process::id(), stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Rotator {
    fn drop(&mut self) {
        let (stop, thread) = (self.stop.take(), self.thread.take());
        if self.pid != std::process::id() {
            // A forked child has no such thread: to join it, or to wait for a lock that it held at
            // the fork, would be for ever.
            mem::forget((stop, thread));
            return;
        }
        drop(stop);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn secs_up(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX / 4)
}

/// Times are whole seconds, rounded down: it can be almost a second later than that.
const NOW_ROUNDING: u32 = 1;
/// Between two looks at the ring: others may have changed it.
const MAX_WAIT: Duration = Duration::from_secs(1);
const MIN_WAIT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
