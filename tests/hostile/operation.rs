//! What the library is asked to do with a segment: all of it.

use std::ops::Range;
use std::time::Duration;

use shmtls::{
    Cache, EntryInfo, Expiry, Inspector, KeySource, Library, Miss, NewSession, Rotation, Session,
};

use super::window::{KEYS, MEMBERS_LOCK, RETIRED};
use super::{Input, Name, Victim, options, owned, soon};
use crate::payload::{self, payload};

/// Attaches, and afterwards looks around. Not 31: a fuzzer's favourite byte is 255, and of many
/// looks at one state all but the first are for nothing.
const ATTACH: u8 = 16;

impl Victim {
    /// One call. It goes to the cache that the input attached: one, for that costs most.
    pub(crate) fn operate(
        &mut self,
        what: u8,
        input: &mut Input<'_>,
        attached: &mut Option<Cache>,
    ) -> Option<()> {
        let argument = input.byte()?;
        if what % 32 == ATTACH && attached.is_none() {
            *attached = self.attach(argument);
            return Some(());
        }
        self.serial += 1;
        let call =
            Call { what: what % 32, name: Name::of(argument), argument, serial: self.serial };
        let cache = attached.as_ref().unwrap_or(&self.cache);
        match call.what {
            ATTACH | 28..31 => self.timed_on(&self.inspector, look_around),
            0..20 | 31 => self.timed_on(cache, |cache| call.on_a_session(cache)),
            20..26 => self.timed_on(cache, |cache| call.on_all(cache)),
            _ => self.timed_on(cache, |cache| call.on_the_keys(cache)),
        }
        Some(())
    }

    /// A header that is as it was is believed, one that differs is refused, unless somebody took
    /// the trouble to seal it.
    fn attach(&self, argument: u8) -> Option<Cache> {
        let is_as_was = |words: Range<usize>| {
            self.window.bytes(words.start, words.len())
                == self.pristine[words.start * 4..words.end * 4]
        };
        let is_unchanged = is_as_was(0..MEMBERS_LOCK)
            && is_as_was(MEMBERS_LOCK + 2..RETIRED.start)
            && is_as_was(RETIRED.end..KEYS);
        let is_sealed = self.window.is_header_sealed();
        let fits = |is_ok| if is_ok { is_sealed } else { !is_unchanged };
        let look = self.timed(|cache| options().inspect_fd(owned(cache)));
        assert!(fits(look.is_ok()), "{look:?}");
        if let Ok(inspector) = &look {
            self.timed_on(inspector, look_around);
        }
        let cache = self.timed(|cache| options().attach_fd(owned(cache)));
        assert!(fits(cache.is_ok()), "{cache:?}");
        let cache = cache.ok()?;
        if argument.is_multiple_of(2) {
            cache.hook(|event| drop(format!("{:?}", event.kind)));
        }
        Some(cache)
    }
}

/// One call of the library.
struct Call {
    what: u8,
    name: Name,
    argument: u8,
    serial: u64,
}

impl Call {
    fn on_a_session(&self, cache: &Cache) {
        let (context, id) = (self.name.context(), self.name.id());
        match self.what {
            0 | 1 => {
                let mut buf = [0xaa; 2000];
                let room = usize::from(self.argument) * 8 % buf.len();
                match cache.get(&context, &id, &mut buf[..room]) {
                    Ok(len) => {
                        payload::check(self.name.0, &buf[..len]);
                    }
                    Err(_) => assert!(buf.iter().all(|byte| *byte == 0xaa), "part of a session"),
                }
            }
            2..=4 => self.check(cache.get_session(&context, &id)),
            5..=7 => self.check(cache.take(&context, &id)),
            8 | 9 => self.check(cache.resume(&context, &id, Library::OpenSsl)),
            10 => self.check(cache.resume(&context, &id, Library::Raw)),
            11 => {
                let _ = cache.size_of(&context, &id);
            }
            12 | 13 => {
                let _ = cache.remove(&context, &id);
            }
            _ => self.store(cache),
        }
    }

    fn store(&self, cache: &Cache) {
        let len = match self.what {
            14 | 15 | 31 => self.name.len(),
            17 => 20 + usize::from(self.argument) * 40,
            18 => 10 << 10,
            _ => (10 << 10) + 1,
        };
        let bytes = payload(self.name.0, self.serial, len);
        let is_short = self.argument.is_multiple_of(32);
        let expiry = if is_short { Expiry::after(Duration::from_secs(1)) } else { soon() };
        let session = NewSession::new(&bytes, expiry)
            .single_use(self.argument.is_multiple_of(3))
            .library(if self.what == 15 { Library::OpenSsl } else { Library::Raw });
        let _ = cache.store(&self.name.context(), &self.name.id(), &session);
    }

    #[track_caller]
    fn check(&self, found: Result<Session, Miss>) {
        let Ok(session) = found else { return };
        payload::check(self.name.0, session.bytes());
        let _ = (session.expiry().remaining(), session.created(), session.protocol());
    }

    fn on_all(&self, cache: &Cache) {
        match self.what {
            20 | 21 => {
                let _ = cache.for_each(|entry, bytes| {
                    // A session under an ID of another length still is one of ours.
                    let number = bytes.first_chunk().map(|number| u64::from_le_bytes(*number));
                    payload::check(number.expect("a payload has a head"), bytes);
                    assert_eq!(entry.len(), bytes.len());
                    look_at(entry);
                });
            }
            22 => {
                let _ = (cache.len(), cache.sweep());
            }
            23 => {
                let _ = cache.remove_context(&self.name.context());
            }
            24 if self.argument < 64 => {
                let _ = cache.clear();
            }
            _ => look_at_table(cache.stats(), &cache.processes()),
        }
    }

    fn on_the_keys(&self, cache: &Cache) {
        let (keys, key) = (cache.keys(), shmtls::TicketKey::random().expect("random bytes"));
        match self.argument % 8 {
            0 => drop(keys.publish(vec![key])),
            1 => drop(keys.add(key, 3, KeySource::Api)),
            2 => drop(keys.rotate_if_due(&Rotation::every(Duration::ZERO))),
            3 => drop(keys.publish_over(keys.epoch(), vec![key], KeySource::File)),
            _ => drop((keys.epoch(), format!("{:?}", keys.status()))),
        }
    }
}

/// All that a reader sees.
fn look_around(inspector: &Inspector) {
    let _ = inspector.for_each(look_at);
    let _ = (inspector.len(), inspector.is_empty(), format!("{:?}", inspector.keys()));
    look_at_table(inspector.stats(), &inspector.processes());
}

fn look_at(entry: &EntryInfo) {
    let _ = (entry.id().as_bytes().len(), entry.context().as_bytes(), entry.created());
    let _ = (entry.expiry().remaining(), entry.library(), entry.is_single_use(), entry.writer());
}

fn look_at_table(stats: shmtls::Stats, processes: &[shmtls::ProcessInfo]) {
    let _ = (stats.lookups(), stats.misses(), stats.recoveries(), stats.fields());
    for process in processes {
        let _ = (process.attached(), process.last_seen(), process.command().len());
        let _ = (process.key_epoch(), process.stats().lookups());
    }
}
