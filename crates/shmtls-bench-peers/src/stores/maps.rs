//! Concurrent maps. They evict nothing: the order of arrival is kept beside them, and the oldest
//! goes while IDs and sessions are more bytes than allowed. What maps need themselves is not
//! counted.

use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Id, Store, copy};
use crate::fault::Fault;
use crate::plan::Scale;

type Session = Box<[u8]>;

pub(super) fn dashmap(scale: Scale) -> Arc<Bounded<dashmap::DashMap<Id, Session>>> {
    Bounded::new(dashmap::DashMap::new(), scale)
}

pub(super) fn papaya(scale: Scale) -> Arc<Bounded<papaya::HashMap<Id, Session>>> {
    Bounded::new(papaya::HashMap::new(), scale)
}

pub(super) trait Map: Send + Sync {
    fn read(&self, id: &Id, into: &mut [u8]) -> Option<usize>;
    /// Whether there was none of that ID.
    fn insert(&self, id: Id, session: Session) -> bool;
    /// The length of what was removed.
    fn remove(&self, id: &Id) -> Option<usize>;
}

impl Map for dashmap::DashMap<Id, Session> {
    fn read(&self, id: &Id, into: &mut [u8]) -> Option<usize> {
        self.get(id).map(|session| copy(&session, into))
    }

    fn insert(&self, id: Id, session: Session) -> bool {
        self.insert(id, session).is_none()
    }

    fn remove(&self, id: &Id) -> Option<usize> {
        self.remove(id).map(|(_, session)| session.len())
    }
}

impl Map for papaya::HashMap<Id, Session> {
    fn read(&self, id: &Id, into: &mut [u8]) -> Option<usize> {
        self.pin().get(id).map(|session| copy(session, into))
    }

    fn insert(&self, id: Id, session: Session) -> bool {
        self.pin().insert(id, session).is_none()
    }

    fn remove(&self, id: &Id) -> Option<usize> {
        self.pin().remove(id).map(|session| session.len())
    }
}

#[derive(Debug)]
pub(super) struct Bounded<M> {
    map: M,
    order: Mutex<VecDeque<Id>>,
    bytes: AtomicU64,
    limit: u64,
}

impl<M: Map> Bounded<M> {
    fn new(map: M, scale: Scale) -> Arc<Self> {
        let (order, bytes) = (Mutex::default(), AtomicU64::new(0));
        Arc::new(Self { map, order, bytes, limit: scale.bytes })
    }

    fn evict(&self) {
        while self.bytes.load(Relaxed) > self.limit {
            let oldest = self.order.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(oldest) = oldest else { return };
            if let Some(len) = self.map.remove(&oldest) {
                self.bytes.fetch_sub(weight(len), Relaxed);
            }
        }
    }
}

impl<M: Map> Store for Arc<Bounded<M>> {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        Ok(self.map.read(id, into))
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        // Sessions of one ID are of one length: a renewed one changes no sum.
        if self.map.insert(*id, session.into()) {
            self.order.lock().unwrap_or_else(PoisonError::into_inner).push_back(*id);
            self.bytes.fetch_add(weight(session.len()), Relaxed);
            self.evict();
        }
        Ok(true)
    }
}

fn weight(len: usize) -> u64 {
    (size_of::<Id>() + len) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_bytes_do_not_suffice() {
        let mut map = dashmap(Scale { sessions: 3, bytes: 3 * weight(100) });
        let mut buffer = [0; 200];
        for n in 0..5 {
            assert!(map.put(&[n; 32], &[n; 100]).expect("no error"));
        }
        let found: Vec<_> = (0..5).map(|n| map.get(&[n; 32], &mut buffer).expect("none")).collect();
        assert_eq!(found, [None, None, Some(100), Some(100), Some(100)]);
        assert_eq!(buffer[..100], [4; 100]);
    }
}
