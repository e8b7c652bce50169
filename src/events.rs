//! What happened lately, for tools that look on: each line of the process table has a ring of
//! events, written by its process alone. Nothing waits for a reader, and nothing depends on one.
//!
//! An event carries a check over its number and its words, so a reader believes only what one
//! writer wrote as a whole, and never an older event in its place.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::hash::IdDigest;
use crate::hook::{Origin, Removal, Stored};
use crate::layout::{EventSlot, MemberLine};
use crate::miss::Miss;
use crate::session::Context;
use crate::sys::clock::Now;

mod code;

/// What happened to a session, or to a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// A session was stored.
    Stored(Stored),
    /// A session was not stored.
    Refused(Refusal),
    /// A session was found.
    Hit {
        /// Another process had stored it.
        foreign: bool,
    },
    /// A session was not found, or not to be used.
    Missed(Miss),
    /// A session is gone.
    Gone(Removal),
    /// A lock was taken over from a dead owner, or a bucket found damaged, and repaired.
    Recovered(Recovery),
}

/// Why a session was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is larger than the segment takes.
    TooLarge,
    /// Its expiry has passed.
    Expired,
    /// The bucket could not be had before the deadline.
    Busy,
    /// There were no random bytes to seal it with.
    Unsealed,
}

/// How it came to light that a bucket needed repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recovery {
    /// The kernel had marked the lock of a dead owner.
    Kernel,
    /// A waiter found the owner dead.
    TakenOver,
    /// The lock held the ID that its finder has now.
    OwnId,
    /// Nobody had died in it: a record failed its check, or a change had ended in a panic.
    Damage,
}

/// An event to be noted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    pub(crate) happening: Happening,
    pub(crate) origin: Origin,
    /// The session, or the bucket.
    pub(crate) subject: u64,
    /// The start of the session's context.
    pub(crate) context: u32,
    pub(crate) len: u16,
}

impl Note {
    /// Of a session: its length is told where it is known.
    pub(crate) fn of(
        happening: Happening,
        origin: Origin,
        digest: IdDigest,
        context: &Context,
        len: usize,
    ) -> Self {
        let len = u16::try_from(len).unwrap_or(u16::MAX);
        Self { happening, origin, subject: digest.bits(), context: context.start(), len }
    }
}

/// Notes an event in the ring `slots` of the line that counts for this process.
pub(crate) fn note(line: &MemberLine, slots: &[EventSlot], now: Now, note: Note) {
    // The number of slots is a power of two.
    let Some(mask) = slots.len().checked_sub(1) else { return };
    let number = line.events.fetch_add(1, Relaxed);
    let slot = &slots[number as usize & mask];
    let words = [
        now.unix_millis() << 16 | u64::from(code::of(note.happening)) << 8 | origin_code(&note),
        note.subject,
        u64::from(note.context) | u64::from(note.len) << 32 | u64::from(line.writer()) << 48,
    ];
    slot.check.store(check(number, &words), Relaxed);
    slot.what.store(words[0], Relaxed);
    slot.subject.store(words[1], Relaxed);
    slot.about.store(words[2], Relaxed);
}

fn check(number: u64, words: &[u64; 3]) -> u64 {
    let mut bytes = [0; 24];
    for (chunk, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *chunk = word.to_ne_bytes();
    }
    xxh3_64_with_seed(&bytes, number)
}

fn origin_code(note: &Note) -> u64 {
    match note.origin {
        Origin::Handshake => 0,
        Origin::Api => 1,
        Origin::Remote => 2,
    }
}

/// Something that happened, as a tool sees it. Of sessions it knows a digest of the ID and the
/// start of the context, never the ID or a byte of the session.
///
/// ```
/// use shmtls::{Context, EventCursor, Happening, Miss, Options, SessionId};
///
/// let cache = Options::new().size(1 << 20).create_memfd()?;
/// let _ = cache.get_session(&Context::named("doc"), &SessionId::new(b"id")?);
/// let inspector = Options::new().inspect_fd(cache.fd().try_clone_to_owned()?)?;
/// let (events, _missed) = inspector.events(&mut EventCursor::default());
/// assert_eq!(events[0].happening(), Happening::Missed(Miss::Absent));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastEvent {
    pid: u32,
    number: u64,
    unix_millis: u64,
    happening: Happening,
    origin: Origin,
    subject: u64,
    about: u64,
}

impl PastEvent {
    /// The process in whose line it stands; an event from before it attached may be that of the
    /// line's owner before it: see [`writer`](Self::writer).
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The number of the process, as in [`ProcessInfo::writer`](crate::ProcessInfo::writer).
    pub fn writer(&self) -> u16 {
        (self.about >> 48) as u16
    }

    /// Counts the events of its line, from 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When the call began: the kernel's coarse clock, up to 10 ms late.
    pub fn at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.unix_millis)
    }

    /// What happened.
    pub fn happening(&self) -> Happening {
        self.happening
    }

    /// On whose behalf.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The session; `None` of a recovery, and of a miss that only an adapter saw.
    pub fn digest(&self) -> Option<IdDigest> {
        let is_of_a_session = !matches!(
            self.happening,
            Happening::Recovered(_) | Happening::Missed(Miss::InvalidId | Miss::Undecodable)
        );
        is_of_a_session.then(|| IdDigest::from_bits(self.subject))
    }

    /// The bucket of a recovery.
    pub fn bucket(&self) -> Option<u64> {
        matches!(self.happening, Happening::Recovered(_)).then_some(self.subject)
    }

    /// The first four bytes of the context.
    pub fn context_start(&self) -> u32 {
        self.about as u32
    }

    /// Bytes of the session; 0 where it is not known.
    pub fn session_len(&self) -> usize {
        usize::from((self.about >> 32) as u16)
    }
}

/// How far a reader has come in each ring.
#[derive(Debug, Clone, Default)]
pub struct EventCursor {
    lines: Vec<Progress>,
    /// It has been used, so what is overwritten from now on is lost to it.
    has_looked: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    next: u64,
    /// At `next` stood no whole event: perhaps it was just being written.
    waited: bool,
}

impl EventCursor {
    /// Appends to `found` what is new in the ring of the line `index`; says how many events are
    /// lost: overwritten before they were read, or never finished.
    pub(crate) fn read(
        &mut self,
        index: usize,
        (line, slots): (&MemberLine, &[EventSlot]),
        found: &mut Vec<PastEvent>,
    ) -> u64 {
        if self.lines.len() <= index {
            self.lines.resize(index + 1, Progress::default());
        }
        let progress = &mut self.lines[index];
        let (end, count) = (line.events.load(Acquire), slots.len() as u64);
        let oldest = end.saturating_sub(count);
        // Somebody has turned the ring's number back: start again.
        let from = if progress.next > end { oldest } else { progress.next };
        let mut missed = if self.has_looked { oldest.saturating_sub(from) } else { 0 };
        let mut next = from.max(oldest);
        while next < end {
            match event(line.pid.load(Relaxed), next, &slots[(next % count) as usize]) {
                Some(event) => found.push(event),
                None if progress.waited && progress.next == next => {
                    missed = missed.saturating_add(1);
                }
                // What comes behind it is read together with it next time.
                None if end - next <= UNFINISHED => {
                    *progress = Progress { next, waited: true };
                    return missed;
                }
                None => missed = missed.saturating_add(1),
            }
            next += 1;
        }
        *progress = Progress { next, waited: false };
        missed
    }

    /// A look at all rings is over.
    pub(crate) fn finish_look(&mut self) {
        self.has_looked = true;
    }
}

/// Threads of one process that may be writing events at the same moment.
const UNFINISHED: u64 = 16;

fn event(pid: u32, number: u64, slot: &EventSlot) -> Option<PastEvent> {
    let found = slot.check.load(Relaxed);
    let words = [slot.what.load(Relaxed), slot.subject.load(Relaxed), slot.about.load(Relaxed)];
    if found != check(number, &words) {
        return None;
    }
    let origin = match words[0] as u8 {
        0 => Origin::Handshake,
        1 => Origin::Api,
        _ => Origin::Remote,
    };
    let happening = code::happening((words[0] >> 8) as u8)?;
    let [what, subject, about] = words;
    Some(PastEvent { pid, number, unix_millis: what >> 16, happening, origin, subject, about })
}

#[cfg(test)]
pub(crate) fn all_codes() -> impl Iterator<Item = (u8, Happening)> {
    code::ALL.into_iter().map(|happening| (code::of(happening), happening))
}

#[cfg(test)]
mod tests;
