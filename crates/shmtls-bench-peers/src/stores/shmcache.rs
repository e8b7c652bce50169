//! The crate shmcache: a slot of 1152 bytes for each hash, sessions up to 1 KiB, and whoever comes
//! later takes the slot.

use super::{Host, Store};
use crate::fault::Fault;
use crate::plan::Scale;

#[cfg(not(feature = "shmcache"))]
pub(super) fn host(_: Scale) -> Result<Host, Fault> {
    Err("built without the feature `shmcache`, which is under GPL-3.0".into())
}

#[cfg(not(feature = "shmcache"))]
pub(super) fn open(_: &str, scale: Scale) -> Result<Box<dyn Store>, Fault> {
    host(scale).and(Err("there is none".into()))
}

#[cfg(feature = "shmcache")]
pub(super) use there::{host, open};

#[cfg(feature = "shmcache")]
mod there {
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::Relaxed;

    use shmcache::{Error, ShmCache};

    use super::super::{Id, copy};
    use super::{Fault, Host, Scale, Store};

    const SLOT_BYTES: u64 = 1152;

    pub(in super::super) fn host(scale: Scale) -> Result<Host, Fault> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("peers-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        // One that a killed run left would be opened as it is.
        ShmCache::unlink(&name)?;
        open(&name, scale)?;
        Ok(Host::new(name.clone(), Name(name)))
    }

    pub(in super::super) fn open(place: &str, scale: Scale) -> Result<Box<dyn Store>, Fault> {
        Ok(Box::new(ShmCache::open(place, (scale.bytes / SLOT_BYTES) as usize)?))
    }

    /// Unlinks it.
    struct Name(String);

    impl Drop for Name {
        fn drop(&mut self) {
            let _ = ShmCache::unlink(&self.0);
        }
    }

    impl Store for ShmCache {
        fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
            Ok(self.read(id).map(|session| copy(&session, into)))
        }

        fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
            match self.write(id, session) {
                Ok(()) => Ok(true),
                Err(Error::ValueTooLong { .. }) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
    }
}
