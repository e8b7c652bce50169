//! The way out: a lookup beside whoever changes the bucket, and with its lock where that does not
//! do.

use super::Cache;
use crate::departures::Departures;
use crate::events::Happening;
use crate::hash::Place;
use crate::hook::{EventKind, Lookup};
use crate::lookup::{self, Applied, Glimpse, Want};
use crate::miss::{Busy, Miss};
use crate::record::Key;
use crate::secret::SecretBytes;
use crate::session::{Context, Session, SessionId};
use crate::stats::Counter;
use crate::words::WORD;

impl Cache {
    pub(crate) fn look_up(
        &self,
        context: &Context,
        id: &SessionId,
        want: Want,
    ) -> Result<Session, Miss> {
        let access = &self.inner.access;
        let line = access.line();
        let key = Key { context: *context, id: *id };
        let place = access.locate(id);
        let mut departures = self.departures();
        line.heartbeat(departures.now.secs());
        let session = self.find((place, &key), want, &mut departures);
        match &session {
            Ok(session) => {
                line.count(Counter::Hits);
                line.add(Counter::ForeignHits, session.is_foreign().into());
                line.add(Counter::Taken, session.taken.into());
                let happening = Happening::Hit { foreign: session.is_foreign() };
                self.note(&departures, happening, (place, &key, session.bytes().len()));
                self.tell(&key, EventKind::Get(Lookup::Hit));
            }
            Err(miss) => {
                if *miss == Miss::Damaged {
                    // If it is busy, somebody else will find the same.
                    let _ = access.repair(place.bucket);
                }
                if let Some(counter) = lookup::counter_of(*miss) {
                    line.count(counter);
                    self.note(&departures, Happening::Missed(*miss), (place, &key, 0));
                    self.tell(&key, EventKind::Get(Lookup::Miss(*miss)));
                }
            }
        }
        self.settle(departures);
        session
    }

    /// A lookup without the lock, and with it where that does not do.
    fn find(
        &self,
        (place, key): (Place, &Key),
        want: Want,
        departures: &mut Departures,
    ) -> Result<Session, Miss> {
        let access = &self.inner.access;
        let (geometry, reader) = (access.geometry(), access.line().writer());
        let keys = (geometry, self.seal_of(place.bucket));
        let bucket = access.segment.bucket(place.bucket);
        let mut record = SecretBytes::with_capacity(0);
        let glimpse = want.glimpse(bucket, geometry, (place, key), (&mut record, departures));
        let mut room = match glimpse {
            Glimpse::Missed(miss) => return Err(miss),
            Glimpse::Copied(copied) => {
                match copied.into_session(record, key, keys, reader) {
                    // Somebody moved it, or put another in its place.
                    Err(Miss::Damaged) => geometry.max_record_bytes(),
                    session => return session,
                }
            }
            Glimpse::Unsure { words } => words * WORD,
        };
        loop {
            let mut record = SecretBytes::with_capacity(room);
            let applied = access.with_bucket(place.bucket, |bucket| {
                want.apply(bucket, geometry, (place, key), (&mut record, departures))
            });
            match applied {
                Err(Busy) => return Err(Miss::Busy),
                Ok(Applied::Missed(miss)) => return Err(miss),
                Ok(Applied::Copied(copied)) => {
                    return copied.into_session(record, key, keys, reader);
                }
                Ok(Applied::NoRoom) => room = geometry.max_record_bytes(),
            }
        }
    }
}
