//! Concurrent caches, bounded by the bytes of IDs and sessions. What they need themselves is not
//! counted. They give a clone of the value, so it is an `Arc`, and the bytes are copied from that.

use std::sync::Arc;

use super::{Id, Store, copy};
use crate::fault::Fault;
use crate::plan::Scale;

type Session = Arc<[u8]>;

pub(super) fn moka(scale: Scale) -> moka::sync::Cache<Id, Session> {
    moka::sync::Cache::builder()
        .weigher(|id: &Id, session: &Session| (id.len() + session.len()) as u32)
        .max_capacity(scale.bytes)
        .build()
}

impl Store for moka::sync::Cache<Id, Session> {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        Ok(moka::sync::Cache::get(self, id).map(|session| copy(&session, into)))
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        self.insert(*id, session.into());
        Ok(true)
    }
}

pub(super) fn quick_cache(scale: Scale) -> Arc<quick_cache::sync::Cache<Id, Session, Weight>> {
    let items = scale.sessions as usize;
    Arc::new(quick_cache::sync::Cache::with_weighter(items, scale.bytes, Weight))
}

#[derive(Debug, Clone)]
pub(super) struct Weight;

impl quick_cache::Weighter<Id, Session> for Weight {
    fn weight(&self, id: &Id, session: &Session) -> u64 {
        (id.len() + session.len()) as u64
    }
}

impl Store for Arc<quick_cache::sync::Cache<Id, Session, Weight>> {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        Ok(quick_cache::sync::Cache::get(self, id).map(|session| copy(&session, into)))
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        self.insert(*id, session.into());
        Ok(true)
    }
}
