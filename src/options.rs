//! How a segment is made and found: [`Options`].

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::backing::{self, Trust};
use crate::cache::Cache;
use crate::error::{AttachError, CreateError, OpenError};
use crate::geometry::{Geometry, Plan, Size};
use crate::inspect::Inspector;
use crate::robust::Patience;
use crate::sealing::{Sealer, SealingKey};
use crate::segment::Segment;
use crate::sys::random::random_u64;

/// What a segment is to be like, and how to wait in it.
///
/// The creator's choices are written into the segment and hold for everyone. Who attaches with
/// a choice that differs is refused, not obeyed.
///
/// ```
/// use std::time::Duration;
/// use shmtls::Options;
///
/// let cache = Options::new()
///     .sessions(10_000)
///     .lifetime(Duration::from_secs(300))
///     .create_memfd()?;
/// assert!(cache.is_empty());
/// # Ok::<(), shmtls::CreateError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    size: Option<Size>,
    max_session: Option<u32>,
    lifetime: Option<Duration>,
    processes: Option<u32>,
    events: Option<u32>,
    mode: u32,
    owner: Option<u32>,
    sealing: Option<SealingKey>,
    lock_memory: bool,
    populate: bool,
    patience: Patience,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// 32 MiB, sessions of up to 10 KiB that live an hour, 128 processes, mode 0600. That is room
    /// for some 51,000 sessions of which a third bring client certificates, or 125,000 without.
    pub fn new() -> Self {
        Self {
            size: None,
            max_session: None,
            lifetime: None,
            processes: None,
            events: None,
            mode: 0o600,
            owner: None,
            sealing: None,
            lock_memory: false,
            populate: true,
            patience: Patience {
                deadline: Duration::from_millis(50),
                slice: Duration::from_millis(10),
            },
        }
    }

    /// Bytes of the whole segment, rounded down to whole buckets. At least one bucket (32 KiB)
    /// and the tables before it, at most 1 TiB. 32 MiB by default: half of Docker's /dev/shm.
    pub fn size(self, bytes: u64) -> Self {
        Self { size: Some(Size::Bytes(bytes)), ..self }
    }

    /// Room for about `n` sessions, at 704 bytes each. Sessions without client certificates take
    /// less than half of that, those with an RSA certificate twice as much.
    pub fn sessions(self, n: u64) -> Self {
        Self { size: Some(Size::Sessions(n)), ..self }
    }

    /// Bytes of the largest session that is stored: 256 to 49,152, by default 10,240.
    pub fn max_session(self, bytes: u32) -> Self {
        Self { max_session: Some(bytes), ..self }
    }

    /// The longest that any session lives: one second to seven days (RFC 8446, section 4.6.1),
    /// an hour by default. An expiry further away is cut to it.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// Lines of the process table: 1 to 4096, by default 128. A process that finds it full works
    /// all the same; it is not listed and its counters are its own.
    pub fn processes(self, n: u32) -> Self {
        Self { processes: Some(n), ..self }
    }

    /// Events that each process keeps for tools that look on, see [`Inspector::events`]: a power of
    /// two up to 65,536, or 0 for none; by default 32. An event takes 32 bytes, for each line of
    /// the process table.
    pub fn events(self, n: u32) -> Self {
        Self { events: Some(n), ..self }
    }

    /// Permission bits of a named segment, 0600 by default. Who attaches refuses a segment with
    /// more bits than these.
    pub fn mode(self, bits: u32) -> Self {
        Self { mode: bits & 0o777, ..self }
    }

    /// Whose segment is believed besides root's: by default the effective user's own.
    pub fn owner(self, uid: u32) -> Self {
        Self { owner: Some(uid), ..self }
    }

    /// Seals every session with AES-256-GCM under `key`, which never enters the segment: forked
    /// workers inherit it with the [`Cache`], and all others who attach must give the same one. So
    /// nobody reads a session out of the segment, and nobody puts one there, who has not got it. A
    /// record is bound to its context, ID, bucket, expiry and flags: one that was moved or changed
    /// is [`Miss::Forged`](crate::Miss::Forged).
    ///
    /// Context, ID, length and times of an entry stay readable, and so do the ticket keys. Who may
    /// write to the segment can still empty it, and can put back an earlier record of the same
    /// entry: one that was taken or replaced, before it expires. The same session stored again
    /// counts as replaced.
    ///
    /// Off by default. Costs each store and each lookup about a microsecond, and 32 bytes an entry.
    #[cfg(feature = "sealing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sealing")))]
    pub fn sealed(self, key: &SealingKey) -> Self {
        Self { sealing: Some(key.clone()), ..self }
    }

    /// Whether to ask the kernel to keep this mapping out of swap; see
    /// [`Cache::is_memory_locked`] for its answer.
    pub fn lock_memory(self, yes: bool) -> Self {
        Self { lock_memory: yes, ..self }
    }

    /// Whether to map every page at once, so that no lookup pays for a first touch. On by
    /// default; costs a tenth of a millisecond per process and 32 MiB where the creator got huge
    /// pages, and ten milliseconds where it got small ones.
    pub fn populate(self, yes: bool) -> Self {
        Self { populate: yes, ..self }
    }

    /// The longest that an operation waits for a bucket, 50 ms by default: then a lookup is a
    /// miss, and a store is dropped.
    pub fn lock_deadline(self, deadline: Duration) -> Self {
        Self { patience: Patience { deadline, ..self.patience }, ..self }
    }

    /// Creates a segment named `name`: `/dev/shm/shmtls.NAME`, or any path on a tmpfs if there is
    /// a `/` in it. It appears whole or not at all, and stays until the file is removed.
    ///
    /// # Errors
    ///
    /// [`CreateError`], above all `AlreadyExists` and `NoSpace`.
    pub fn create(&self, name: &str) -> Result<Cache, CreateError> {
        let path = backing::path_of(name).ok_or_else(|| CreateError::Name { name: name.into() })?;
        let (plan, sealer) = self.plan()?;
        let segment = backing::create_named(&path, &plan, self.mode)?;
        Ok(self.open(segment, sealer).at_path(path))
    }

    /// Creates a segment that has no name. Children inherit it over `fork`; others get its
    /// [`fd`](Cache::fd) (SCM_RIGHTS, systemd's fd store). It is gone with its last user.
    ///
    /// # Errors
    ///
    /// [`CreateError`].
    pub fn create_memfd(&self) -> Result<Cache, CreateError> {
        let (plan, sealer) = self.plan()?;
        Ok(self.open(backing::create_memfd(&plan)?, sealer))
    }

    /// Attaches the segment named `name`.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: everything that is not a whole, trusted segment of this layout is refused.
    pub fn attach(&self, name: &str) -> Result<Cache, AttachError> {
        let path = backing::path_of(name).ok_or_else(|| AttachError::Name { name: name.into() })?;
        let segment = backing::attach_named(&path, self.trust(false))?;
        self.check_wishes(segment.geometry())?;
        let sealer = self.sealer_of(segment.geometry())?;
        Ok(self.open(segment, sealer).at_path(path))
    }

    /// Attaches the segment behind a file descriptor.
    ///
    /// # Errors
    ///
    /// [`AttachError`], as for [`attach`](Self::attach); a memfd must be sealed.
    pub fn attach_fd(&self, fd: OwnedFd) -> Result<Cache, AttachError> {
        let segment = backing::attach_fd(fd, self.trust(false))?;
        self.check_wishes(segment.geometry())?;
        let sealer = self.sealer_of(segment.geometry())?;
        Ok(self.open(segment, sealer))
    }

    /// Attaches the segment named `name`, or creates it. Of any number of processes that start at
    /// once, one creates it and the others attach.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; a segment that is there but cannot be attached is never replaced.
    pub fn open_or_create(&self, name: &str) -> Result<Cache, OpenError> {
        for _ in 0..OPEN_TRIES {
            match self.attach(name) {
                Err(AttachError::NotFound { .. }) => {}
                result => return Ok(result?),
            }
            match self.create(name) {
                Err(CreateError::AlreadyExists { .. }) => {}
                result => return Ok(result?),
            }
        }
        Ok(self.attach(name)?)
    }

    /// Looks into the segment named `name` without ever writing to it or taking a lock. Works
    /// from another PID namespace too.
    ///
    /// # Errors
    ///
    /// [`AttachError`], as for [`attach`](Self::attach).
    pub fn inspect(&self, name: &str) -> Result<Inspector, AttachError> {
        let path = backing::path_of(name).ok_or_else(|| AttachError::Name { name: name.into() })?;
        Ok(Inspector::new(backing::attach_named(&path, self.trust(true))?))
    }

    /// Looks into the segment behind a file descriptor, as [`inspect`](Self::inspect) does.
    ///
    /// # Errors
    ///
    /// [`AttachError`], as for [`attach`](Self::attach).
    pub fn inspect_fd(&self, fd: OwnedFd) -> Result<Inspector, AttachError> {
        Ok(Inspector::new(backing::attach_fd(fd, self.trust(true))?))
    }

    fn plan(&self) -> Result<(Plan, Option<Sealer>), CreateError> {
        let io = |action, target: &str| {
            let target = target.into();
            move |source| CreateError::Io { action, target, source }
        };
        let seed = random_u64().map_err(io("draw random bytes for", "the segment's seed"))?;
        let sealer = self.sealing.as_ref().map(|key| Sealer::new(key, seed)).transpose();
        let sealer = sealer.map_err(io("derive", "the sealing key"))?;
        let plan = Plan {
            size: self.size.unwrap_or(Size::Bytes(DEFAULT_BYTES)),
            max_session: self.max_session.unwrap_or(DEFAULT_MAX_SESSION),
            members: self.processes.unwrap_or(DEFAULT_PROCESSES),
            events: self.events.unwrap_or(DEFAULT_EVENTS),
            lifetime: self.lifetime.unwrap_or(DEFAULT_LIFETIME),
            seed,
            sealing: sealer.as_ref().map_or(0, Sealer::check),
        };
        Ok((plan, sealer))
    }

    fn trust(&self, read_only: bool) -> Trust {
        Trust { owner: self.owner, mode: self.mode, read_only }
    }

    /// Compares what was asked for with what is there.
    fn check_wishes(&self, found: &Geometry) -> Result<(), AttachError> {
        let of_size = |size| {
            let members = found.member_count;
            let lifetime = Duration::from_secs(found.lifetime_secs.into());
            let max_session = found.max_session;
            let events = found.event_slots;
            let plan = Plan { size, max_session, members, events, lifetime, seed: 0, sealing: 0 };
            match (Geometry::plan(&plan), size) {
                (Ok(geometry), _) => geometry.total_bytes,
                (Err(_), Size::Bytes(bytes)) => bytes,
                (Err(_), Size::Sessions(_)) => u64::MAX,
            }
        };
        let wishes = [
            ("a size in bytes of", found.total_bytes, self.size.map(of_size)),
            ("a session limit of", found.max_session.into(), self.max_session.map(u64::from)),
            ("a process table of", found.member_count.into(), self.processes.map(u64::from)),
            ("a ring of events of", found.event_slots.into(), self.events.map(u64::from)),
            (
                "a lifetime in seconds of",
                found.lifetime_secs.into(),
                self.lifetime.map(|d| d.as_secs()),
            ),
        ];
        for (what, found, wanted) in wishes {
            if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                return Err(AttachError::Differs { what, found, wanted });
            }
        }
        Ok(())
    }

    /// The key must be the creator's, and there must be none where the creator had none.
    fn sealer_of(&self, found: &Geometry) -> Result<Option<Sealer>, AttachError> {
        let Some(key) = &self.sealing else {
            return if found.sealing == 0 { Ok(None) } else { Err(AttachError::SealingKeyMissing) };
        };
        if found.sealing == 0 {
            return Err(AttachError::SealingKeyUnused);
        }
        let sealer = Sealer::new(key, found.seed).map_err(|source| AttachError::Io {
            action: "derive",
            target: "the sealing key".into(),
            source,
        })?;
        if sealer.check() != found.sealing {
            return Err(AttachError::SealingKeyWrong);
        }
        Ok(Some(sealer))
    }

    fn open(&self, segment: Segment, sealer: Option<Sealer>) -> Cache {
        if self.populate {
            segment.mapping().populate();
        }
        let locked = self.lock_memory && segment.mapping().lock().is_ok();
        Cache::new(segment, sealer, self.patience, locked)
    }
}

impl Cache {
    /// Attaches the segment named `name` with the default [`Options`].
    ///
    /// # Errors
    ///
    /// See [`Options::attach`].
    pub fn attach(name: &str) -> Result<Self, AttachError> {
        Options::new().attach(name)
    }
}

const DEFAULT_BYTES: u64 = 32 << 20;
const DEFAULT_MAX_SESSION: u32 = 10 << 10;
const DEFAULT_PROCESSES: u32 = 128;
const DEFAULT_EVENTS: u32 = 32;
/// Long enough for a returning visitor, short enough that a stolen session soon is worthless.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);
/// Rounds of "not there, so create it; there by now, so attach it".
const OPEN_TRIES: usize = 20;
