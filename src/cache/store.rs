//! The way in: a session is checked, encoded and sealed in private memory, and then copied under
//! the bucket's lock.

use super::Cache;
use crate::bucket::Found;
use crate::departures::Departures;
use crate::events::{Happening, Note, Refusal};
use crate::hash::Place;
use crate::hook::{EventKind, Removal, Stored};
use crate::miss::{Busy, Inserted};
use crate::record::{self, Key};
use crate::session::{Context, Expiry, NewSession, SessionId};
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
        let key = Key { context: *context, id: *id };
        let place = self.inner.access.locate(id);
        let mut departures = self.departures();
        let stored = match self.try_store((place, &key), session, &mut departures) {
            Ok(stored) => stored,
            Err(refusal) => {
                let happening = Happening::Refused(refusal);
                self.note(&departures, happening, (place, &key, session.bytes.len()));
                return self.refused(refusal, session.bytes.len());
            }
        };
        let (outcome, counter) = match stored {
            None => (Inserted::Unchanged, Counter::StoredUnchanged),
            Some(Stored::Replaced) => (Inserted::Replaced, Counter::StoredReplaced),
            Some(Stored::Stored) if departures.evicted > 0 => {
                (Inserted::Evicted(departures.evicted as u16), Counter::StoredNew)
            }
            Some(Stored::Stored) => (Inserted::New, Counter::StoredNew),
        };
        self.inner.access.line().count(counter);
        let now = departures.now;
        self.settle(departures);
        if let Some(how) = stored {
            let (happening, len) = (Happening::Stored(how), session.bytes.len());
            let note = Note::of(happening, self.origin, place.digest, context, len);
            self.inner.access.note(now, note);
            self.tell(&key, EventKind::New(how));
        }
        outcome
    }

    /// `None`: the very same session was there.
    fn try_store(
        &self,
        (place, key): (Place, &Key),
        session: &NewSession<'_>,
        departures: &mut Departures,
    ) -> Result<Option<Stored>, Refusal> {
        let access = &self.inner.access;
        let (line, now) = (access.line(), departures.now.secs());
        if session.bytes.len() > self.max_session() {
            return Err(Refusal::TooLarge);
        }
        if session.expiry.passed_at(now) {
            return Err(Refusal::Expired);
        }
        line.heartbeat(now);
        let latest = Expiry::from_unix(now.saturating_add(access.geometry().lifetime_secs));
        let session = NewSession { expiry: session.expiry.min(latest), ..*session };
        let (geometry, seal) = (access.geometry(), self.seal_of(place.bucket));
        let staged = record::encode(geometry, key, &session, line.writer(), now, seal)
            .ok_or(Refusal::Unsealed)?;
        let stored = access.with_bucket(place.bucket, |bucket| {
            let found = match bucket.find(place.tag, key) {
                Found::Entry(entry) => Some(entry),
                Found::OtherContext | Found::Absent => None,
            };
            if found.is_some_and(|e| record::is_same_session(bucket.body, e.at, &e.head, &staged)) {
                return None;
            }
            let writer = Writer::begin(bucket, geometry);
            if let Some(entry) = found {
                writer.remove(&entry, Removal::Replaced, departures);
            }
            writer.insert(&staged, place.tag, now, departures);
            writer.finish();
            Some(if found.is_some() { Stored::Replaced } else { Stored::Stored })
        });
        stored.map_err(|Busy| Refusal::Busy)
    }

    /// Counts a refusal, and tells the caller.
    fn refused(&self, refusal: Refusal, len: usize) -> Inserted {
        let line = self.inner.access.line();
        let (counter, outcome) = match refusal {
            Refusal::TooLarge => {
                line.raise(Counter::LargestRefused, len as u64);
                let max = self.max_session();
                (Counter::RefusedTooLarge, Inserted::TooLarge { len, max })
            }
            Refusal::Expired => (Counter::RefusedExpired, Inserted::Expired),
            Refusal::Busy => (Counter::RefusedBusy, Inserted::Busy),
            Refusal::Unsealed => (Counter::RefusedUnsealed, Inserted::Unsealed),
        };
        line.count(counter);
        outcome
    }
}
