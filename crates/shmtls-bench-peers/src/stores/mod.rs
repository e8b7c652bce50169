//! The stores, each as a TLS library would use it: a lookup leaves a copy of the session in a
//! buffer of the caller's.

use std::any::Any;

use std::fmt;
use std::os::unix::net::UnixStream;

use crate::fault::Fault;
use crate::plan::{Peer, Scale};

mod caches;
mod httpd;
mod lmdb;
mod maps;
mod memcached;
mod redis;
mod shmcache;
mod shmtls;

pub(crate) use httpd::{Cache, Httpd};

pub(crate) type Id = [u8; 32];

/// One worker's hold on a store.
pub(crate) trait Store: Send {
    /// The length of the session, which is then at the start of `into`.
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault>;
    /// Whether it was stored. It takes what room it needs from others.
    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault>;
}

/// What there is of a store while workers use it; it goes when this is dropped.
pub(crate) struct Host {
    /// For [`open`].
    pub(crate) place: String,
    /// Workers that it has started itself, and who wait for their orders there.
    pub(crate) waiting: Vec<UnixStream>,
    keeps: Box<dyn Any>,
}

impl Host {
    fn new(place: impl Into<String>, keeps: impl Any) -> Self {
        Self { place: place.into(), waiting: Vec::new(), keeps: Box::new(keeps) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Makes or starts an empty store for so many workers. The error says why it cannot be compared.
pub(crate) fn host(peer: Peer, scale: Scale, workers: u32) -> Result<Host, Fault> {
    match peer {
        Peer::Shmtls => shmtls::host(scale),
        Peer::Lmdb => lmdb::host(scale),
        Peer::Shmcache => shmcache::host(scale),
        Peer::Httpd => httpd::host(scale, workers),
        Peer::Memcached => memcached::host(scale),
        Peer::Redis => redis::host(scale),
        // Such a one lives in the process of its workers.
        Peer::Dashmap | Peer::Papaya | Peer::Moka | Peer::QuickCache => Ok(Host::new("", ())),
    }
}

/// A hold on it for each thread of this process.
pub(crate) fn open(
    peer: Peer,
    (place, scale): (&str, Scale),
    threads: u32,
) -> Result<Vec<Box<dyn Store>>, Fault> {
    let one: Box<dyn Store> = match peer {
        Peer::Shmtls => return Ok(for_each_thread(shmtls::open(place)?, threads)),
        Peer::Dashmap => return Ok(for_each_thread(maps::dashmap(scale), threads)),
        Peer::Papaya => return Ok(for_each_thread(maps::papaya(scale), threads)),
        Peer::Moka => return Ok(for_each_thread(caches::moka(scale), threads)),
        Peer::QuickCache => return Ok(for_each_thread(caches::quick_cache(scale), threads)),
        Peer::Lmdb => Box::new(lmdb::open(place, scale)?),
        Peer::Shmcache => shmcache::open(place, scale)?,
        Peer::Httpd => return Err("httpd starts its workers".into()),
        Peer::Memcached => Box::new(memcached::open(place)?),
        Peer::Redis => Box::new(redis::open(place)?),
    };
    Ok(vec![one])
}

fn for_each_thread<S: Store + Clone + 'static>(store: S, threads: u32) -> Vec<Box<dyn Store>> {
    (0..threads).map(|_| Box::new(store.clone()) as Box<dyn Store>).collect()
}

/// Copies what a store lends or gives.
#[inline]
fn copy(session: &[u8], into: &mut [u8]) -> usize {
    into[..session.len()].copy_from_slice(session);
    session.len()
}
