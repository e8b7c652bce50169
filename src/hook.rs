//! Hooks: what this process wants to be told of the cache. Called in the thread that did it,
//! after the fact and after the unlock, in the order in which they were set.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;

use crate::miss::Miss;
use crate::session::{Context, SessionId};

/// Something that this process did to the cache.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
/// use std::{sync::Arc, time::Duration};
/// use shmtls::{Context, EventKind, Expiry, Options, SessionId};
///
/// let cache = Options::new().size(1 << 20).create_memfd()?;
/// let stored = Arc::new(AtomicUsize::new(0));
/// let count = stored.clone();
/// cache.hook(move |event| {
///     if let EventKind::New(_) = event.kind {
///         count.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// let id = SessionId::new(b"id")?;
/// let expiry = Expiry::after(Duration::from_secs(9));
/// let _ = cache.insert(&Context::named("doc"), &id, b"bytes", expiry);
/// assert_eq!(stored.load(Ordering::Relaxed), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The session's context, as it was asked for or stored.
    pub context: &'a Context,
    /// The session's ID. For a TLS 1.3 ticket it is a secret.
    pub id: &'a SessionId,
    /// What happened.
    pub kind: EventKind,
    /// On whose behalf.
    pub origin: Origin,
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// It was stored. A session that was refused, or was there already, has no event.
    New(Stored),
    /// It was looked up.
    Get(Lookup),
    /// It is gone.
    Remove(Removal),
}

/// How a session came to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stored {
    /// Under a new key.
    Stored,
    /// In place of another one, whose removal is told first.
    Replaced,
}

/// What a lookup found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lookup {
    /// The session.
    Hit,
    /// Nothing that may be used, and why.
    Miss(Miss),
}

/// Why a session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Removal {
    /// A caller removed it, or cleared the cache.
    Removed,
    /// A caller or a resumption took it. The lookup is told first.
    Taken,
    /// Another session was stored under its key.
    Replaced,
    /// It had to go for another one.
    Evicted,
    /// Its lifetime was over.
    Expired,
}

/// On whose behalf something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Origin {
    /// A caller of the API.
    #[default]
    Api,
    /// A TLS handshake.
    Handshake,
    /// Another machine: what a replicator must not send back.
    Remote,
}

/// Names a hook for [`unhook`](crate::Cache::unhook).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HookId(u64);

type HookFn = dyn Fn(&Event<'_>) + Send + Sync;

/// The hooks of this process. A list that is replaced whole, so that a hook may set hooks, and a
/// fork never inherits a lock that somebody holds.
pub(crate) struct Hooks {
    list: ArcSwap<Vec<(HookId, Arc<HookFn>)>>,
    next: AtomicU64,
    /// Whether the list is worth a look: every lookup asks.
    any: AtomicBool,
}

impl Hooks {
    pub(crate) fn new() -> Self {
        let (next, any) = (AtomicU64::new(1), AtomicBool::new(false));
        Self { list: ArcSwap::default(), next, any }
    }

    pub(crate) fn add(&self, hook: Arc<HookFn>) -> HookId {
        let id = HookId(self.next.fetch_add(1, Relaxed));
        self.list.rcu(|list| {
            let mut list = Vec::clone(list);
            list.push((id, hook.clone()));
            list
        });
        // It stays so when the last hook is gone: one that comes meanwhile must not be missed.
        self.any.store(true, Release);
        id
    }

    pub(crate) fn remove(&self, id: HookId) -> bool {
        let before = self
            .list
            .rcu(|list| list.iter().filter(|(other, _)| *other != id).cloned().collect::<Vec<_>>());
        before.iter().any(|(other, _)| *other == id)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Acquire) || self.list.load().is_empty()
    }

    /// Calls every hook; returns how many panicked.
    pub(crate) fn dispatch(&self, event: &Event<'_>) -> u64 {
        let list = self.list.load_full();
        let panicked =
            list.iter().filter(|(_, hook)| catch_unwind(AssertUnwindSafe(|| hook(event))).is_err());
        panicked.count() as u64
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooks({})", self.list.load().len())
    }
}
