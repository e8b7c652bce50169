//! One lookup, as it runs under the bucket's lock, and what comes of it.

use crate::bucket::Found;
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
    pub(crate) taken: bool,
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

    /// Looks the key up in its locked bucket and copies the record to `bytes`, which have the
    /// room. What has expired is wiped.
    pub(crate) fn apply(
        self,
        bucket: BucketRef<'_>,
        geometry: &Geometry,
        (place, key): (Place, &Key),
        (bytes, departures): (&mut Vec<u8>, &mut Departures),
    ) -> Result<Copied, Miss> {
        let now = departures.now.secs();
        let entry = match bucket.find(place.tag, key) {
            Found::Entry(entry) => entry,
            Found::OtherContext => return Err(Miss::OtherContext),
            Found::Absent => return Err(why_absent(bucket, place, departures)),
        };
        let head = entry.head;
        if head.expiry.passed_at(now) {
            let writer = Writer::begin(bucket, geometry);
            writer.remove(&entry, Removal::Expired, departures);
            writer.finish();
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
        if taken {
            let writer = Writer::begin(bucket, geometry);
            writer.take(&entry, bytes, departures);
            writer.finish();
        } else {
            bucket.touch(&entry, geometry.use_tick(now));
            bucket.copy_out(&entry, bytes);
        }
        Ok(Copied { head, library, taken })
    }
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
        (seed, seal): (u64, Option<Seal<'_>>),
        reader: u16,
    ) -> Result<Session, Miss> {
        if !record::is_whole(seed, &record) || !record::is_of(&record, &self.head, key) {
            return Err(Miss::Damaged);
        }
        let payload_at = record::open(&mut record, &self.head, key, seal).ok_or(Miss::Forged)?;
        Ok(Session {
            record,
            payload_at,
            payload_len: self.head.payload_len,
            expiry: self.head.expiry,
            created_secs: self.head.created_secs,
            protocol: self.head.protocol,
            library: self.library,
            single_use: self.head.is_single_use(),
            foreign: self.head.writer != reader,
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
