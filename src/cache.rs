//! The cache: one segment as seen by one process. Each operation hashes the ID, locks one bucket,
//! copies words, unlocks, counts, and then tells the hooks.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::access::Access;
use crate::bucket::Found;
use crate::departures::Departures;
use crate::events::{Happening, Note};
use crate::hash::Place;
use crate::hook::{Event, EventKind, HookId, Hooks, Origin, Removal};
use crate::keys::{KeySlot, TicketKeys};
use crate::lookup::{self, Want};
use crate::members::{self, ProcessInfo};
use crate::miss::{Busy, Miss};
use crate::record::Key;
use crate::robust::Patience;
use crate::sealing::{Seal, Sealer};
use crate::segment::Segment;
use crate::session::{Context, Library, Session, SessionId, now_secs};
use crate::stats::{Counter, Stats};
use crate::sys::clock::Now;
use crate::writer::Writer;

mod look;
mod store;

/// A session cache that all attached processes share.
///
/// Clones are cheap and share everything. A forked child may go on using what it inherited: it
/// gets its own line in the process table. Calls are safe from any thread. Do not call it in a
/// `vfork` child.
///
/// From a signal handler call nothing that looks up or stores, unless the handler cannot interrupt
/// malloc: every hit and every store allocates, and in a handler that interrupted malloc may wait
/// for itself for ever. Where the handler interrupted a call that holds a lock, all that needs a
/// lock is `Busy` at once; a lookup that finds what it need not take needs none, and succeeds.
///
/// ```
/// use std::time::Duration;
/// use shmtls::{Context, Expiry, Miss, Options, SessionId};
///
/// let cache = Options::new().size(1 << 20).create_memfd()?;
/// let (context, id) = (Context::named("example.org"), SessionId::new(&[1; 32])?);
/// let _ = cache.insert(&context, &id, b"session", Expiry::after(Duration::from_secs(300)));
/// assert_eq!(cache.take(&context, &id)?.bytes(), b"session");
/// assert_eq!(cache.take(&context, &id).unwrap_err(), Miss::Absent);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cache {
    pub(crate) inner: Arc<Inner>,
    origin: Origin,
}

pub(crate) struct Inner {
    pub(crate) access: Access,
    keys: KeySlot,
    hooks: Hooks,
    path: Option<PathBuf>,
    sealer: Option<Sealer>,
    memory_locked: bool,
}

impl Cache {
    pub(crate) fn new(
        segment: Segment,
        sealer: Option<Sealer>,
        patience: Patience,
        memory_locked: bool,
    ) -> Self {
        let access = Access::new(segment, patience);
        access.line().heartbeat(now_secs());
        let inner = Inner {
            access,
            keys: KeySlot::default(),
            hooks: Hooks::new(),
            path: None,
            sealer,
            memory_locked,
        };
        Self { inner: Arc::new(inner), origin: Origin::Api }
    }

    pub(crate) fn at_path(mut self, path: PathBuf) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.path = Some(path);
        }
        self
    }

    /// The same cache, on behalf of somebody else: its events say so.
    pub fn with_origin(&self, origin: Origin) -> Self {
        Self { inner: self.inner.clone(), origin }
    }

    /// Copies a session into `buf` and returns its length in bytes. A session that is longer than
    /// `buf` is not copied at all.
    ///
    /// # Errors
    ///
    /// [`Miss`]: why there is nothing in `buf`. `ShortBuffer` says how long it has to be.
    pub fn get(&self, context: &Context, id: &SessionId, buf: &mut [u8]) -> Result<usize, Miss> {
        let want = Want { limit: buf.len(), ..Want::COPY };
        let session = self.look_up(context, id, want)?;
        let bytes = session.bytes();
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    /// A private copy of a session; the session stays, whatever its kind.
    ///
    /// # Errors
    ///
    /// [`Miss`].
    pub fn get_session(&self, context: &Context, id: &SessionId) -> Result<Session, Miss> {
        self.look_up(context, id, Want::COPY)
    }

    /// The length of a session in bytes. Not counted as a lookup, and no hook hears of it.
    ///
    /// # Errors
    ///
    /// [`Miss`].
    pub fn size_of(&self, context: &Context, id: &SessionId) -> Result<usize, Miss> {
        let key = Key { context: *context, id: *id };
        let (now, place) = (now_secs(), self.inner.access.locate(id));
        let found =
            self.inner.access.with_bucket(place.bucket, |bucket| bucket.find(place.tag, &key));
        match found.map_err(|Busy| Miss::Busy)? {
            Found::Entry(entry) if entry.head.expiry.passed_at(now) => Err(Miss::Expired),
            Found::Entry(entry) => Ok(entry.head.payload_len),
            Found::OtherContext => Err(Miss::OtherContext),
            Found::Absent => Err(Miss::Absent),
        }
    }

    /// Gets and removes a session under one lock: of any number of takers in any processes exactly
    /// one has it. If a process dies in the act the session may be lost, but is never had twice.
    ///
    /// # Errors
    ///
    /// [`Miss`].
    pub fn take(&self, context: &Context, id: &SessionId) -> Result<Session, Miss> {
        self.look_up(context, id, Want::TAKE)
    }

    /// What a handshake wants: takes a single-use session, copies any other, and leaves another
    /// library's bytes where they are.
    ///
    /// # Errors
    ///
    /// [`Miss`].
    pub fn resume(
        &self,
        context: &Context,
        id: &SessionId,
        library: Library,
    ) -> Result<Session, Miss> {
        self.look_up(context, id, Want::RESUME.of(library))
    }

    /// Removes a session and says whether it was there.
    ///
    /// # Errors
    ///
    /// [`Busy`] if the bucket could not be had before the deadline: the session may still be
    /// there.
    pub fn remove(&self, context: &Context, id: &SessionId) -> Result<bool, Busy> {
        let access = &self.inner.access;
        let key = Key { context: *context, id: *id };
        let place = access.locate(id);
        let mut departures = self.departures();
        let removed = access.with_bucket(place.bucket, |bucket| {
            let Found::Entry(entry) = bucket.find(place.tag, &key) else { return false };
            let writer = Writer::begin(bucket, access.geometry());
            writer.remove(&entry, Removal::Removed, &mut departures);
            writer.finish();
            true
        });
        let line = access.line();
        line.heartbeat(departures.now.secs());
        match removed {
            Ok(true) => line.count(Counter::Removed),
            Ok(false) => {}
            Err(Busy) => line.count(Counter::RemovesBusy),
        }
        self.settle(departures);
        removed
    }

    /// Calls `hook` after everything that this process does to the cache, through any clone.
    pub fn hook(&self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> HookId {
        self.inner.hooks.add(Arc::new(hook))
    }

    /// Takes a hook away; says whether it was there. A call that has begun may still reach it.
    pub fn unhook(&self, id: HookId) -> bool {
        self.inner.hooks.remove(id)
    }

    /// Counts a miss that only an adapter can see: an ID that is none, or bytes that its library
    /// cannot decode. The latter takes back the hit that the lookup counted.
    pub fn count_miss(&self, miss: Miss) {
        let line = self.inner.access.line();
        if miss == Miss::Undecodable {
            line.add(Counter::Hits, 1_u64.wrapping_neg());
        }
        if let Some(counter) = lookup::counter_of(miss) {
            line.count(counter);
            let (happening, origin) = (Happening::Missed(miss), self.origin);
            let note = Note { happening, origin, subject: 0, context: 0, len: 0 };
            self.inner.access.note(Now::read(), note);
        }
    }

    /// Counts for an adapter.
    #[cfg_attr(not(feature = "openssl"), allow(dead_code))]
    pub(crate) fn count(&self, counter: Counter) {
        self.inner.access.line().count(counter);
    }

    /// The ticket keys that all processes share.
    pub fn keys(&self) -> TicketKeys<'_> {
        TicketKeys::new(&self.inner.access, &self.inner.keys)
    }

    /// Sum of the counters of all processes that ever attached.
    pub fn stats(&self) -> Stats {
        members::totals(&self.inner.access.segment)
    }

    /// The processes in the table, dead ones included until somebody needs their line.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        members::list(&self.inner.access.segment)
    }

    /// Bytes of the largest session that is stored.
    pub fn max_session(&self) -> usize {
        self.inner.access.geometry().max_session as usize
    }

    /// The longest that any session lives.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.inner.access.geometry().lifetime_secs.into())
    }

    /// Bytes of the whole segment.
    pub fn segment_bytes(&self) -> u64 {
        self.inner.access.geometry().total_bytes
    }

    /// The segment's file, to be handed to other processes.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.access.segment.fd()
    }

    /// Where a named segment was created or found.
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// Whether the kernel keeps this mapping out of swap, as
    /// [`Options::lock_memory`](crate::Options::lock_memory) asked.
    pub fn is_memory_locked(&self) -> bool {
        self.inner.memory_locked
    }

    /// Whether sessions are sealed, as [`Options::sealed`](crate::Options::sealed) asked.
    pub fn is_sealed(&self) -> bool {
        self.inner.sealer.is_some()
    }

    /// What seals and opens the entries of a bucket.
    pub(crate) fn seal_of(&self, bucket: usize) -> Option<Seal<'_>> {
        self.inner.sealer.as_ref().map(|sealer| sealer.of_bucket(bucket))
    }

    pub(crate) fn departures(&self) -> Departures {
        self.inner.access.departures(!self.inner.hooks.is_empty())
    }

    /// Counts and tells who had to go.
    pub(crate) fn settle(&self, departures: Departures) {
        let line = self.inner.access.line();
        line.add(Counter::Evicted, departures.evicted);
        line.add(Counter::EvictedAgeSecs, departures.evicted_age_secs);
        line.add(Counter::Expired, departures.expired);
        line.add(Counter::RemovedAtOnce, departures.removed_at_once);
        line.add(Counter::HitsAtTwiceTheSize, departures.hit_at_twice_the_size.into());
        for gone in departures.gone() {
            let (subject, len) = (gone.digest.bits(), gone.len.try_into().unwrap_or(u16::MAX));
            let (happening, origin) = (Happening::Gone(gone.reason), self.origin);
            let note = Note { happening, origin, subject, context: gone.context, len };
            self.inner.access.note(departures.now, note);
        }
        for (key, reason) in departures.told.into_iter().flatten() {
            self.tell(&key, EventKind::Remove(reason));
        }
    }

    /// Notes what happened to the session of `key`, for the tools.
    pub(crate) fn note(
        &self,
        departures: &Departures,
        happening: Happening,
        (place, key, len): (Place, &Key, usize),
    ) {
        let note = Note::of(happening, self.origin, place.digest, &key.context, len);
        self.inner.access.note(departures.now, note);
    }

    fn tell(&self, key: &Key, kind: EventKind) {
        if self.inner.hooks.is_empty() {
            return;
        }
        let event = Event { context: &key.context, id: &key.id, kind, origin: self.origin };
        let panicked = self.inner.hooks.dispatch(&event);
        self.inner.access.line().add(Counter::HookPanics, panicked);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("path", &self.inner.path)
            .field("bytes", &self.inner.access.geometry().total_bytes)
            .field("hooks", &self.inner.hooks)
            .finish_non_exhaustive()
    }
}
