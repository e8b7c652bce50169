//! One lookup, as it runs beside the owner of a bucket, or as its owner, and what comes of it.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;

use crate::bucket::{Entry, Found};
use crate::departures::Departures;
use crate::geometry::Geometry;
use crate::hash::Place;
use crate::hook::Removal;
use crate::miss::Miss;
use crate::record::{self, Head, Key};
use crate::sealing::Seal;
use crate::secret::SecretBytes;
use crate::segment::BucketRef;
use crate::session::{Library, Session};
use crate::stats::Counter;
use crate::words::WORD;
use crate::writer::Writer;

/// What a lookup wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Want {
    pub(crate) take: Take,
    /// Other libraries' bytes are a miss, and stay.
    pub(crate) library: Option<Library>,
    /// Longer sessions are not copied.
    pub(crate) limit: usize,
}

/// Whether a lookup removes what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    Never,
    IfSingleUse,
    Always,
}

/// A record that was copied out of the segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Copied {
    head: Head,
    library: Library,
    taken: bool,
}

/// What a look without the lock came to.
#[derive(Debug)]
pub(crate) enum Glimpse {
    Copied(Copied),
    Missed(Miss),
    /// It takes the lock. The record has so many words, as far as can be told.
    Unsure {
        words: usize,
    },
}

/// What a look with the lock came to.
#[derive(Debug)]
pub(crate) enum Applied {
    Copied(Copied),
    Missed(Miss),
    /// The record is longer than it seemed: nothing was done.
    NoRoom,
}

impl Want {
    /// A copy of whatever is there.
    pub(crate) const COPY: Self = Self { take: Take::Never, library: None, limit: usize::MAX };
    /// Whatever is there, and nobody else gets it.
    pub(crate) const TAKE: Self = Self { take: Take::Always, ..Self::COPY };
    /// What is single-use nobody else gets.
    pub(crate) const RESUME: Self = Self { take: Take::IfSingleUse, ..Self::COPY };

    /// Only what is this library's.
    pub(crate) fn of(self, library: Library) -> Self {
        Self { library: Some(library), ..self }
    }

    /// Looks the key up without the lock, beside whoever changes the bucket.
    ///
    /// A record carries a check over all of it, so a hit needs no bucket at rest: `bytes` hold the
    /// record, and [`Copied::into_session`] tells whether it is one. What is not there, or may not
    /// be used, is told only if nobody changed the bucket meanwhile. What is to be changed, the
    /// lock's owner does: [`apply`](Self::apply).
    pub(crate) fn glimpse(
        self,
        bucket: BucketRef<'_>,
        geometry: &Geometry,
        (place, key): (Place, &Key),
        (bytes, departures): (&mut SecretBytes, &mut Departures),
    ) -> Glimpse {
        let generation = bucket.header.generation.load(Acquire);
        let now = departures.now.secs();
        let missed = match bucket.find(place.tag, key) {
            Found::Entry(entry) => {
                let words = entry.head.words();
                match self.judge(&entry.head, now) {
                    Ok((library, false)) => {
                        let is_at_rest = || is_unchanged(bucket, generation);
                        if !copy_beside(bucket, &entry, bytes, is_at_rest) {
                            return Glimpse::Unsure { words };
                        }
                        bucket.touch(&entry, geometry.use_tick(now), is_at_rest);
                        return Glimpse::Copied(Copied { head: entry.head, library, taken: false });
                    }
                    Ok((_, true)) | Err(Miss::Expired) => return Glimpse::Unsure { words },
                    Err(miss) => miss,
                }
            }
            Found::OtherContext => Miss::OtherContext,
            Found::Absent => why_absent(bucket, place, departures),
        };
        if is_unchanged(bucket, generation) {
            Glimpse::Missed(missed)
        } else {
            departures.hit_at_twice_the_size = false;
            Glimpse::Unsure { words: 0 }
        }
    }

    /// Looks the key up in its locked bucket and copies the record to `bytes`, if they have the
    /// room. What has expired is wiped.
    pub(crate) fn apply(
        self,
        bucket: BucketRef<'_>,
        geometry: &Geometry,
        (place, key): (Place, &Key),
        (bytes, departures): (&mut Vec<u8>, &mut Departures),
    ) -> Applied {
        let now = departures.now.secs();
        let entry = match bucket.find(place.tag, key) {
            Found::Entry(entry) => entry,
            Found::OtherContext => return Applied::Missed(Miss::OtherContext),
            Found::Absent => return Applied::Missed(why_absent(bucket, place, departures)),
        };
        let (library, taken) = match self.judge(&entry.head, now) {
            Ok(verdict) => verdict,
            Err(miss) => {
                if miss == Miss::Expired {
                    let writer = Writer::begin(bucket, geometry);
                    writer.remove(&entry, Removal::Expired, departures);
                    writer.finish();
                }
                return Applied::Missed(miss);
            }
        };
        if entry.head.words() * WORD > bytes.capacity() {
            return Applied::NoRoom;
        }
        if taken {
            let writer = Writer::begin(bucket, geometry);
            writer.take(&entry, bytes, departures);
            writer.finish();
        } else {
            // The lock is ours, so the slot is the one that was found.
            bucket.touch(&entry, geometry.use_tick(now), || true);
            bucket.copy_out(&entry, bytes);
        }
        Applied::Copied(Copied { head: entry.head, library, taken })
    }

    /// Whether a session may be had: whose it is, and whether it is to be taken.
    fn judge(self, head: &Head, now: u32) -> Result<(Library, bool), Miss> {
        if head.expiry.passed_at(now) {
            return Err(Miss::Expired);
        }
        let library = head.library().filter(|found| self.library.is_none_or(|want| *found == want));
        let library = library.ok_or(Miss::OtherLibrary)?;
        if head.payload_len > self.limit {
            return Err(Miss::ShortBuffer { needed: head.payload_len });
        }
        let taken = match self.take {
            Take::Never => false,
            Take::IfSingleUse => head.is_single_use(),
            Take::Always => true,
        };
        Ok((library, taken))
    }
}

/// Whether nobody has changed the bucket since its generation was this one.
fn is_unchanged(bucket: BucketRef<'_>, generation: u32) -> bool {
    fence(Acquire);
    generation.is_multiple_of(2) && bucket.header.generation.load(Relaxed) == generation
}

/// Copies a record beside whoever changes the bucket; `false` if it was being changed itself.
///
/// What is copied from a bucket at rest is the record. Elsewhere its check has to tell, which takes
/// one of 2^32 mixtures for a record: so it must be the same mixture twice.
fn copy_beside(
    bucket: BucketRef<'_>,
    entry: &Entry,
    bytes: &mut SecretBytes,
    is_at_rest: impl FnOnce() -> bool,
) -> bool {
    let copy = || {
        let mut bytes = SecretBytes::with_capacity(entry.head.words() * WORD);
        bucket.copy_out(entry, &mut bytes);
        bytes
    };
    *bytes = copy();
    is_at_rest() || **bytes == *copy()
}

/// Whether a session that is not there had to go for others, and whether it would still be there
/// if the bucket had room for as many sessions again as it has now.
#[cold]
fn why_absent(bucket: BucketRef<'_>, place: Place, departures: &mut Departures) -> Miss {
    let Some(since) = bucket.evicted_since(place.digest.ghost()) else { return Miss::Absent };
    departures.hit_at_twice_the_size = since < bucket.len();
    Miss::Evicted
}

impl Copied {
    /// The session in `record`, opened if it is sealed, unless the record is not as its writer made
    /// it, or not the one that was found.
    pub(crate) fn into_session(
        self,
        mut record: SecretBytes,
        key: &Key,
        (geometry, seal): (&Geometry, Option<Seal<'_>>),
        reader: u16,
    ) -> Result<Session, Miss> {
        if !record::is_whole(geometry.seed, &record) || !record::is_of(&record, &self.head, key) {
            return Err(Miss::Damaged);
        }
        let payload_at = record::open(&mut record, &self.head, key, seal).ok_or(Miss::Forged)?;
        Ok(Session {
            record,
            payload_at,
            payload_len: self.head.payload_len,
            expiry: self.head.expiry,
            created_secs: self.head.created_secs(geometry.span_secs()),
            protocol: self.head.protocol(),
            library: self.library,
            single_use: self.head.is_single_use(),
            foreign: self.head.writer != reader,
            taken: self.taken,
        })
    }
}

/// The counter of a miss. A short buffer is none: the session is there.
pub(crate) fn counter_of(miss: Miss) -> Option<Counter> {
    Some(match miss {
        Miss::Absent => Counter::MissesAbsent,
        Miss::Evicted => Counter::MissesEvicted,
        Miss::Expired => Counter::MissesExpired,
        Miss::OtherContext => Counter::MissesContext,
        Miss::OtherLibrary => Counter::MissesLibrary,
        Miss::Busy => Counter::MissesBusy,
        Miss::Damaged => Counter::MissesDamaged,
        Miss::Forged => Counter::MissesForged,
        Miss::Undecodable => Counter::MissesUndecodable,
        Miss::InvalidId => Counter::MissesInvalidId,
        Miss::ShortBuffer { .. } => return None,
    })
}

#[cfg(test)]
mod tests;
