//! Who had to leave a bucket: noted under its lock, for the counters, the events and the hooks,
//! which are told when the lock is released.

use crate::bucket::Entry;
use crate::geometry::Geometry;
use crate::hash::IdDigest;
use crate::hook::Removal;
use crate::record::{self, Key};
use crate::segment::BucketRef;
use crate::sys::clock::Now;

/// What left a bucket in one call.
#[derive(Debug)]
pub(crate) struct Departures {
    pub(crate) now: Now,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) evicted_age_secs: u64,
    /// Sessions that a caller removed as soon as they had been stored.
    pub(crate) removed_at_once: u64,
    /// A lookup missed a session that a segment of twice the size would still have.
    pub(crate) hit_at_twice_the_size: bool,
    /// The keys, where a hook wants to be told. The room was reserved before the lock was taken.
    pub(crate) told: Option<Vec<(Key, Removal)>>,
    gone: [Gone; GONE_MAX],
    gone_count: usize,
    seed: u64,
    span_secs: u32,
}

/// One that left, for the events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone {
    pub(crate) digest: IdDigest,
    pub(crate) context: u32,
    pub(crate) len: usize,
    pub(crate) reason: Removal,
}

/// So many of one call are noted as events; the rest is only counted.
const GONE_MAX: usize = 8;

impl Departures {
    /// `with_keys`: a hook is waiting.
    pub(crate) fn new(with_keys: bool, geometry: &Geometry, now: Now) -> Self {
        let none =
            Gone { digest: IdDigest::from_bits(0), context: 0, len: 0, reason: Removal::Removed };
        Self {
            now,
            expired: 0,
            evicted: 0,
            evicted_age_secs: 0,
            removed_at_once: 0,
            hit_at_twice_the_size: false,
            told: with_keys.then(|| Vec::with_capacity(geometry.bucket_slots as usize + 1)),
            gone: [none; GONE_MAX],
            gone_count: 0,
            seed: geometry.seed,
            span_secs: geometry.span_secs(),
        }
    }

    /// Notes an entry before it leaves, and says who it is.
    pub(crate) fn note(
        &mut self,
        bucket: BucketRef<'_>,
        entry: &Entry,
        reason: Removal,
    ) -> IdDigest {
        let age = self.now.secs().saturating_sub(entry.head.created_secs(self.span_secs));
        match reason {
            Removal::Expired => self.expired += 1,
            Removal::Evicted => {
                self.evicted += 1;
                self.evicted_age_secs += u64::from(age);
            }
            Removal::Removed => self.removed_at_once += u64::from(age <= 1),
            Removal::Taken | Removal::Replaced => {}
        }
        let key = record::load_key(bucket.body, entry.at, &entry.head);
        let digest = IdDigest::of(self.seed, &key.id);
        if let Some(gone) = self.gone.get_mut(self.gone_count) {
            let (context, len) = (key.context.start(), entry.head.payload_len);
            *gone = Gone { digest, context, len, reason };
            self.gone_count += 1;
        }
        if let Some(told) = self.told.as_mut().filter(|told| told.len() < told.capacity()) {
            told.push((key, reason));
        }
        digest
    }

    /// The first of those that left.
    pub(crate) fn gone(&self) -> &[Gone] {
        &self.gone[..self.gone_count]
    }
}
