//! The ticket keys as one process uses them: its own slot, stamped with the epoch, and the calls
//! that change the ring for everyone.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;

use crate::access::Access;
use crate::key_file::{KeyFiles, KeyFormat};
use crate::keyring::{self, KeySource, Ring, RingWriter, Staged};
use crate::session::{Expiry, now_secs};
use crate::stats::Counter;
use crate::ticket_key::{KeyError, KeyFingerprint, KeyRole, KeySet, TicketKey};

/// This process's slot: the ring of the most recent update that it has seen.
#[derive(Debug, Default)]
pub(crate) struct KeySlot(ArcSwapOption<Ring>);

impl KeySlot {
    /// The keys to use now. As long as nothing has changed that is a look at the ring's epoch and
    /// lock, which share a cache line, and at this process's own line.
    #[inline]
    pub(crate) fn current(&self, access: &Access) -> Option<Arc<Ring>> {
        let region = &access.segment.header().keys;
        keyring::settle_after_death(region, || access.may_lock());
        let epoch = keyring::epoch(region);
        let mut ring = self.0.load_full();
        if ring.as_ref().map_or(0, |ring| ring.epoch) != epoch {
            ring = self.refresh(access, ring);
        }
        // Not only after a refresh: a forked child inherits the keys, but not the line.
        access.line().uses_keys_of(ring.as_ref().map_or(0, |ring| ring.epoch));
        ring
    }

    /// Copies the ring; what was there before is wiped when its last user lets go of it.
    #[cold]
    fn refresh(&self, access: &Access, before: Option<Arc<Ring>>) -> Option<Arc<Ring>> {
        let region = &access.segment.header().keys;
        let Ok(ring) = keyring::read(region, access.geometry().seed) else { return before };
        let ring = ring.map(Arc::new);
        // Another thread may have been here with a newer one: the next call sees that.
        self.0.store(ring.clone());
        ring
    }
}

/// The ticket keys of a segment, as [`Cache::keys`](crate::Cache::keys) gives them.
///
/// ```
/// use shmtls::{Options, TicketKey};
///
/// let cache = Options::new().size(1 << 20).create_memfd()?;
/// assert_eq!(cache.keys().epoch(), 0);
/// let (newest, older) = (TicketKey::random()?, TicketKey::random()?);
/// let published = cache.keys().publish(vec![newest, older])?;
/// assert_eq!((published.epoch, cache.keys().epoch()), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TicketKeys<'a> {
    access: &'a Access,
    slot: &'a KeySlot,
}

/// What an update did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The ring's epoch now.
    pub epoch: u64,
    /// What the operator should know of.
    pub warnings: Vec<KeyWarning>,
}

/// An update that costs clients their sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyWarning {
    /// A key that has encrypted tickets is gone: they end in full handshakes.
    #[error("key {0} has left the ring while its tickets may still be alive")]
    DropsLiveTickets(KeyFingerprint),
    /// A key encrypts that nobody knew before: whoever has not refreshed cannot decrypt.
    #[error("key {0} encrypts at once, without having been published before")]
    NotKnownBefore(KeyFingerprint),
}

/// The ring, for people: never key material.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// Counts updates.
    pub epoch: u64,
    /// Where the last update came from.
    pub source: KeySource,
    /// When it was made.
    pub published: SystemTime,
    /// The process that made it.
    pub writer_pid: u32,
    /// The keys in their order, the newest first.
    pub keys: Vec<KeyInfo>,
}

/// One key, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// Digest of the key's name.
    pub fingerprint: KeyFingerprint,
    /// What it is good for now.
    pub role: KeyRole,
    /// From when on it encrypts.
    pub not_before: Expiry,
    /// Until when it decrypts.
    pub not_after: Expiry,
}

impl<'a> TicketKeys<'a> {
    pub(crate) fn new(access: &'a Access, slot: &'a KeySlot) -> Self {
        Self { access, slot }
    }

    /// Counts updates; 0 before the first one.
    pub fn epoch(&self) -> u64 {
        keyring::epoch(&self.access.segment.header().keys)
    }

    /// What the ring holds; `None` before the first update.
    pub fn status(&self) -> Option<KeyStatus> {
        self.current().map(|ring| status(&ring))
    }

    /// Replaces the ring. The newest key comes first: of those whose not-before has passed the
    /// first encrypts, and all decrypt. Every process uses the new ring from its next handshake on.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the ring stays as it was.
    pub fn publish(&self, keys: Vec<TicketKey>) -> Result<Published, KeyError> {
        self.publish_as(keys, KeySource::Api)
    }

    /// Replaces the ring that has epoch `expected`, and no other: for whoever decides from what
    /// the ring holds.
    ///
    /// # Errors
    ///
    /// [`KeyError::Stale`] if somebody was faster, or any other; the ring stays as it was.
    pub fn publish_over(
        &self,
        expected: u64,
        keys: Vec<TicketKey>,
        source: KeySource,
    ) -> Result<Published, KeyError> {
        let (keys, now) = (KeySet::new(keys)?, now_secs());
        let before = self.current();
        let seed = self.access.geometry().seed;
        let staged = Staged::new(expected, &keys, source, seed);
        if !self.access.may_lock() {
            return Err(KeyError::Busy);
        }
        let epoch = RingWriter::lock(self.region())?.publish(&staged)?;
        let warnings = warnings(before.as_deref(), &keys, now);
        let is_dropped = |warning: &&KeyWarning| matches!(warning, KeyWarning::DropsLiveTickets(_));
        let dropped = warnings.iter().filter(is_dropped).count();
        self.access.line().add(Counter::KeysDropped, dropped as u64);
        self.current();
        Ok(Published { epoch, warnings })
    }

    /// Puts a key in front of the ring, of which at most `keep` keys stay. It encrypts from its
    /// not-before on; those behind it decrypt until their not-after.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the ring stays as it was.
    pub fn add(
        &self,
        key: TicketKey,
        keep: usize,
        source: KeySource,
    ) -> Result<Published, KeyError> {
        loop {
            // Of the ring in the segment, which is not the one in use if that cannot be read.
            let epoch = self.epoch();
            let ring = self.current();
            let older = ring.iter().flat_map(|ring| ring.keys.live(now_secs()));
            let keys = std::iter::once(&key).chain(older).take(keep.max(1)).cloned().collect();
            match self.publish_over(epoch, keys, source) {
                Err(KeyError::Stale { .. }) => {}
                result => return result,
            }
        }
    }

    /// `TSSslTicketKeyUpdate`: N keys of 48 bytes (name, HMAC, AES), the newest first. The first
    /// encrypts, all decrypt.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the ring stays as it was. A length that is no multiple of 48 is refused whole.
    pub fn ticket_key_update(&self, bytes: &[u8]) -> Result<Published, KeyError> {
        self.publish(KeyFormat::Ats48.parse(bytes)?)
    }

    /// Replaces the ring by the keys of files.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the ring stays as it was, and the files still count as changed.
    pub fn load(&self, files: &mut KeyFiles) -> Result<Published, KeyError> {
        self.publish_as(files.read()?, KeySource::File).inspect_err(|_| files.forget())
    }

    /// Takes over the keys of an update that another machine made.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; the ring stays as it was.
    pub fn publish_remote(&self, keys: Vec<TicketKey>) -> Result<Published, KeyError> {
        self.publish_as(keys, KeySource::Remote)
    }

    /// The most recent update wins: based on whatever the ring is now.
    fn publish_as(&self, keys: Vec<TicketKey>, source: KeySource) -> Result<Published, KeyError> {
        loop {
            match self.publish_over(self.epoch(), keys.clone(), source) {
                Err(KeyError::Stale { .. }) => {}
                result => return result,
            }
        }
    }

    /// The ring as this process uses it.
    pub(crate) fn current(&self) -> Option<Arc<Ring>> {
        self.slot.current(self.access)
    }

    fn region(&self) -> &'a crate::layout::KeyRegion {
        &self.access.segment.header().keys
    }
}

impl fmt::Debug for TicketKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

pub(crate) fn status(ring: &Ring) -> KeyStatus {
    let info = |(key, role): (&TicketKey, KeyRole)| KeyInfo {
        fingerprint: key.fingerprint(),
        role,
        not_before: key.not_before,
        not_after: key.not_after,
    };
    KeyStatus {
        epoch: ring.epoch,
        source: ring.source,
        published: UNIX_EPOCH + Duration::from_secs(ring.published_secs.into()),
        writer_pid: ring.writer_pid,
        keys: ring.keys.roles(now_secs()).map(info).collect(),
    }
}

/// Compares an update with the ring before it (what wangle calls a valid rotation).
fn warnings(before: Option<&Ring>, after: &KeySet, now: u32) -> Vec<KeyWarning> {
    let Some(before) = before else { return Vec::new() };
    let is_in = |set: &KeySet, key: &TicketKey| set.keys().iter().any(|k| k.is_same_as(key));
    let has_encrypted = |role| matches!(role, KeyRole::Current | KeyRole::Previous);
    let dropped =
        before.keys.roles(now).filter(|(key, role)| has_encrypted(*role) && !is_in(after, key));
    let dropped = dropped.map(|(key, _)| KeyWarning::DropsLiveTickets(key.fingerprint()));
    let unknown = after.encrypting(now).filter(|key| !is_in(&before.keys, key));
    let unknown = unknown.map(|key| KeyWarning::NotKnownBefore(key.fingerprint()));
    dropped.chain(unknown).collect()
}

#[cfg(test)]
mod tests;
