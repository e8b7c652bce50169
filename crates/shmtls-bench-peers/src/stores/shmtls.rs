//! The library as it comes: default options, a memfd.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::time::Duration;

use shmtls::{Cache, Context, Expiry, Options, SessionId};

use super::{Host, Id, Store};
use crate::fault::Fault;
use crate::plan::Scale;

const LIFETIME: Duration = Duration::from_secs(3600);

pub(super) fn host(scale: Scale) -> Result<Host, Fault> {
    let cache = Options::new().size(scale.bytes).create_memfd()?;
    let place = format!("/proc/{}/fd/{}", std::process::id(), cache.fd().as_raw_fd());
    Ok(Host::new(place, cache))
}

pub(super) fn open(place: &str) -> Result<Shmtls, Fault> {
    let file = File::options().read(true).write(true).open(place)?;
    let cache = Options::new().attach_fd(file.into())?;
    Ok(Shmtls { cache, context: Context::named("bench.example") })
}

#[derive(Clone)]
pub(super) struct Shmtls {
    cache: Cache,
    context: Context,
}

impl Store for Shmtls {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        let id = SessionId::new(id)?;
        Ok(self.cache.get(&self.context, &id, into).ok())
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        let id = SessionId::new(id)?;
        let expiry = Expiry::after(LIFETIME);
        let inserted = self.cache.insert(&self.context, &id, session, expiry);
        Ok(inserted.is_stored())
    }
}
