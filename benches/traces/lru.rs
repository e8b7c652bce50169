//! The oracle: all bytes are sessions and their IDs, and the one not used for longest goes.

use std::collections::{BTreeMap, HashMap};

use crate::clients::{Cache, LIFETIME};

pub(crate) struct Lru {
    room: u64,
    used: u64,
    now: f64,
    turn: u64,
    /// Turn of the last use, length, end of life.
    sessions: HashMap<u64, (u64, u64, f64)>,
    by_use: BTreeMap<u64, u64>,
}

impl Lru {
    pub(crate) fn new(room: u64) -> Self {
        let (sessions, by_use) = (HashMap::new(), BTreeMap::new());
        Self { room, used: 0, now: 0.0, turn: 0, sessions, by_use }
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

impl Cache for Lru {
    fn set_time(&mut self, seconds: f64) {
        self.now = seconds;
    }

    fn store(&mut self, id: u64, len: usize) {
        self.add(id, len as u64 + 32, self.now + LIFETIME);
        while self.used > self.room {
            let (_, oldest) = self.by_use.first_key_value().expect("what fills the room");
            self.remove(*oldest);
        }
    }

    fn find(&mut self, id: u64, take: bool) -> bool {
        let Some((_, bytes, end)) = self.remove(id) else { return false };
        if end <= self.now {
            return false;
        }
        if !take {
            self.add(id, bytes, end);
        }
        true
    }
}
