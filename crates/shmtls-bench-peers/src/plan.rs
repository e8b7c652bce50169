//! What is compared: the stores, and the work.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Peer {
    Shmtls,
    Lmdb,
    Httpd,
    Shmcache,
    Memcached,
    Redis,
    Dashmap,
    Papaya,
    Moka,
    QuickCache,
}

impl Peer {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Shmtls => "shmtls",
            Self::Lmdb => "LMDB",
            Self::Httpd => "httpd shmcb",
            Self::Shmcache => "shmcache",
            Self::Memcached => "memcached",
            Self::Redis => "Redis",
            Self::Dashmap => "dashmap",
            Self::Papaya => "papaya",
            Self::Moka => "moka",
            Self::QuickCache => "quick_cache",
        }
    }

    /// Whether processes can share it.
    pub(crate) fn is_shared(self) -> bool {
        !self.is_a_map()
    }

    /// Whether only the threads of one process can have it.
    pub(crate) fn is_a_map(self) -> bool {
        matches!(self, Self::Dashmap | Self::Papaya | Self::Moka | Self::QuickCache)
    }

    /// Whether a process of its own does the work: then workers wait, as they must.
    pub(crate) fn is_a_server(self) -> bool {
        matches!(self, Self::Memcached | Self::Redis)
    }
}

/// Who works on a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Processes,
    /// Of one process.
    Threads,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Processes, Self::Threads];

    /// The library runs in both.
    pub(crate) fn has(self, peer: Peer) -> bool {
        match self {
            Self::Processes => peer.is_shared(),
            Self::Threads => peer.is_a_map() || peer == Peer::Shmtls,
        }
    }

    pub(crate) fn name(self, workers: u32) -> &'static str {
        match (self, workers) {
            (Self::Processes, 1) => "process",
            (Self::Processes, _) => "processes",
            (Self::Threads, 1) => "thread",
            (Self::Threads, _) => "threads",
        }
    }
}

/// A store, and how many work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) peer: Peer,
    pub(crate) kind: Kind,
    pub(crate) workers: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Mix {
    /// Lookups only, of sessions that are there
    #[value(name = "get")]
    #[serde(rename = "get")]
    Get,
    /// One in ten operations renews a session that is there
    #[value(name = "90/10")]
    #[serde(rename = "90/10")]
    Mixed,
    /// The store is full: every other operation stores a new session, the rest look recent ones up
    #[value(name = "50/50")]
    #[serde(rename = "50/50")]
    Half,
}

impl Mix {
    pub(crate) const ALL: [Self; 3] = [Self::Get, Self::Mixed, Self::Half];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Get => "100 % get, with room",
            Self::Mixed => "90 % get, 10 % insert, with room",
            Self::Half => "50 % get, 50 % insert, full",
        }
    }

    pub(crate) fn insert_percent(self) -> u32 {
        match self {
            Self::Get => 0,
            Self::Mixed => 10,
            Self::Half => 50,
        }
    }

    pub(crate) fn is_full(self) -> bool {
        self == Self::Half
    }
}

/// How much of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) sessions: u32,
    /// The memory of a store.
    pub(crate) bytes: u64,
}

impl Scale {
    /// What a session of the mean size and its ID need, and little more.
    const BYTES_FULL: u64 = 640;
    /// That, and room for the least economical store to hold all of them.
    const BYTES_WITH_ROOM: u64 = 1536;

    pub(crate) fn new(mix: Mix, sessions: u32) -> Self {
        let each = if mix.is_full() { Self::BYTES_FULL } else { Self::BYTES_WITH_ROOM };
        Self { sessions, bytes: u64::from(sessions) * each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_store_has_its_place() {
        for peer in Peer::value_variants() {
            assert!(Kind::ALL.iter().any(|kind| kind.has(*peer)), "{peer:?}");
        }
        assert!(Kind::ALL.iter().all(|kind| kind.has(Peer::Shmtls)));
    }
}
