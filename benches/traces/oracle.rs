//! The oracles: all bytes are sessions and their IDs, and the one not used for longest goes, or the
//! one that came first.

use std::collections::{BTreeMap, HashMap};

use crate::clients::Cache;

pub(crate) struct Oracle {
    order: Order,
    lifetime: f64,
    room: u64,
    used: u64,
    now: f64,
    turn: u64,
    /// Turn of the last use, length, end of life.
    sessions: HashMap<u64, (u64, u64, f64)>,
    by_use: BTreeMap<u64, u64>,
}

/// Who goes first.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Order {
    Lru,
    Fifo,
}

impl Oracle {
    pub(crate) fn new(order: Order, room: u64, lifetime: f64) -> Self {
        let (sessions, by_use) = (HashMap::new(), BTreeMap::new());
        Self { order, lifetime, room, used: 0, now: 0.0, turn: 0, sessions, by_use }
    }

    fn remove(&mut self, id: u64) -> Option<(u64, u64, f64)> {
        let session = self.sessions.remove(&id)?;
        self.by_use.remove(&session.0);
        self.used -= session.1;
        Some(session)
    }

    fn add(&mut self, id: u64, bytes: u64, end: f64) {
        self.turn += 1;
        self.sessions.insert(id, (self.turn, bytes, end));
        self.by_use.insert(self.turn, id);
        self.used += bytes;
    }
}

impl Cache for Oracle {
    fn set_time(&mut self, seconds: f64) {
        self.now = seconds;
    }

    fn store(&mut self, id: u64, len: usize) {
        self.remove(id);
        self.add(id, len as u64 + 32, self.now + self.lifetime);
        while self.used > self.room {
            let (_, oldest) = self.by_use.first_key_value().expect("what fills the room");
            self.remove(*oldest);
        }
    }

    fn find(&mut self, id: u64, take: bool) -> bool {
        let Some(&(_, bytes, end)) = self.sessions.get(&id) else { return false };
        let alive = end > self.now;
        if take || !alive || self.order == Order::Lru {
            self.remove(id);
            if alive && !take {
                self.add(id, bytes, end);
            }
        }
        alive
    }
}
