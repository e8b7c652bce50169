//! The way in: a session is checked, encoded and sealed in private memory, and then copied under
//! the bucket's lock.

use super::Cache;
use crate::bucket::Found;
use crate::hook::{EventKind, Removal, Stored};
use crate::miss::{Busy, Inserted};
use crate::record::{self, Key};
use crate::session::{Context, Expiry, NewSession, SessionId, now_secs};
use crate::stats::Counter;
use crate::writer::Writer;

impl Cache {
    /// Stores a reusable session of the caller's own format; see [`store`](Self::store).
    pub fn insert(
        &self,
        context: &Context,
        id: &SessionId,
        bytes: &[u8],
        expiry: Expiry,
    ) -> Inserted {
        self.store(context, id, &NewSession::new(bytes, expiry))
    }

    /// Stores a session. One of the same key is replaced; the very same session again is left as
    /// it is. Where there is no room, expired sessions go first, then those not used for longest.
    ///
    /// An expiry further away than the segment's lifetime is cut to it.
    pub fn store(&self, context: &Context, id: &SessionId, session: &NewSession<'_>) -> Inserted {
        let (now, max) = (now_secs(), self.max_session());
        if session.bytes.len() > max {
            let line = self.inner.access.line();
            line.count(Counter::RefusedTooLarge);
            line.raise(Counter::LargestRefused, session.bytes.len() as u64);
            return Inserted::TooLarge { len: session.bytes.len(), max };
        }
        if session.expiry.passed_at(now) {
            self.inner.access.line().count(Counter::RefusedExpired);
            return Inserted::Expired;
        }
        let latest =
            Expiry::from_unix(now.saturating_add(self.inner.access.geometry().lifetime_secs));
        let session = NewSession { expiry: session.expiry.min(latest), ..*session };
        self.store_checked(&Key { context: *context, id: *id }, &session, now)
    }

    fn store_checked(&self, key: &Key, session: &NewSession<'_>, now: u32) -> Inserted {
        let access = &self.inner.access;
        let line = access.line();
        line.heartbeat(now);
        let place = access.locate(&key.id);
        let (seed, seal) = (access.geometry().seed, self.seal_of(place.bucket));
        let staged = record::encode(seed, key, session, line.writer(), now, seal);
        let Some(staged) = staged else {
            line.count(Counter::RefusedUnsealed);
            return Inserted::Unsealed;
        };
        let mut departures = self.departures();
        let stored = access.with_bucket(place.bucket, |bucket| {
            let found = match bucket.find(place.tag, key) {
                Found::Entry(entry) => Some(entry),
                Found::OtherContext | Found::Absent => None,
            };
            if found
                .is_some_and(|e| record::is_same_session(bucket.records, e.at, &e.head, &staged))
            {
                return None;
            }
            let writer = Writer::begin(bucket, access.geometry());
            if let Some(entry) = found {
                writer.remove(&entry, Removal::Replaced, &mut departures);
            }
            writer.insert(&staged, place.tag, now, &mut departures);
            writer.finish();
            Some(found.is_some())
        });
        let (outcome, counter) = match stored {
            Err(Busy) => (Inserted::Busy, Counter::RefusedBusy),
            Ok(None) => (Inserted::Unchanged, Counter::StoredUnchanged),
            Ok(Some(true)) => (Inserted::Replaced, Counter::StoredReplaced),
            Ok(Some(false)) if departures.evicted > 0 => {
                (Inserted::Evicted(departures.evicted as u16), Counter::StoredNew)
            }
            Ok(Some(false)) => (Inserted::New, Counter::StoredNew),
        };
        line.count(counter);
        self.settle(departures);
        match stored {
            Ok(Some(true)) => self.tell(key, EventKind::New(Stored::Replaced)),
            Ok(Some(false)) => self.tell(key, EventKind::New(Stored::Stored)),
            Ok(None) | Err(Busy) => {}
        }
        outcome
    }
}
