//! LMDB through heed, on tmpfs, without any sync: one transaction for each operation.
//!
//! It evicts nothing by itself and answers MDB_MAP_FULL, after which not even a deletion succeeds.
//! So the order of arrival is kept beside the sessions, and the transaction that stores one deletes
//! the oldest while there are more than the map has room for.
#![allow(unsafe_code)]

use std::path::Path;

use heed::byteorder::BE;
use heed::types::{Bytes, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, Error, MdbError, PutFlags};
use nix::sys::statvfs::statvfs;
use tempfile::TempDir;

use super::{Host, Id, Store, copy};
use crate::fault::Fault;
use crate::plan::Scale;

/// Where a file is memory.
const TMPFS: &str = "/dev/shm";
/// How much of a map one session of the mean size takes, with its key, its place in the order, and
/// the empty parts of pages: the test below.
const SESSION_BYTES: u64 = 1340;
/// Beyond the limit, for old pages: while a lookup is preempted no page is used again that was
/// freed since, and the map would be full, however few sessions it has.
const RESERVE_BYTES: u64 = 128 << 20;

pub(super) fn host(scale: Scale) -> Result<Host, Fault> {
    let there = statvfs(TMPFS).map_err(|error| format!("{TMPFS}: {error}"))?;
    let free = there.blocks_available() * there.fragment_size();
    let needs = scale.bytes + RESERVE_BYTES;
    if free < needs {
        return Err(format!("{TMPFS} has {free} bytes free, and needs {needs}").into());
    }
    let folder = TempDir::with_prefix_in("shmtls-bench-peers-", TMPFS)?;
    let place = folder.path().to_str().ok_or("a path that is no UTF-8")?.to_owned();
    Ok(Host::new(place, folder))
}

pub(super) fn open(place: &str, scale: Scale) -> Result<Lmdb, Fault> {
    let env = environment(Path::new(place), scale)?;
    let mut txn = env.write_txn()?;
    let sessions = env.create_database(&mut txn, Some("sessions"))?;
    let order = env.create_database(&mut txn, Some("order"))?;
    txn.commit()?;
    Ok(Lmdb { env, sessions, order, capacity: scale.bytes / SESSION_BYTES })
}

fn environment(folder: &Path, scale: Scale) -> Result<Env, Fault> {
    const PAGE: u64 = 4096;
    let mut options = EnvOpenOptions::new();
    let bytes = (scale.bytes + RESERVE_BYTES).next_multiple_of(PAGE);
    options.map_size(bytes as usize).max_dbs(2);
    // SAFETY: no sync means that a crash of the machine can lose the file, which is in memory, made
    // by this run and read by nobody after it. A writable map means that a stray write of this
    // process could damage it, and this process is safe code but for LMDB itself.
    unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC | EnvFlags::WRITE_MAP) };
    // SAFETY: the folder was made by this run, and only its workers know it: they open it once per
    // process, alike, and nobody truncates the file or takes its lock file away.
    Ok(unsafe { options.open(folder) }?)
}

pub(super) struct Lmdb {
    env: Env,
    sessions: Database<Bytes, Bytes>,
    /// The IDs, in the order in which they came.
    order: Database<U64<BE>, Bytes>,
    /// How many sessions the map holds.
    capacity: u64,
}

impl Store for Lmdb {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        let txn = self.env.read_txn()?;
        Ok(self.sessions.get(&txn, id)?.map(|session| copy(session, into)))
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        match self.store(id, session) {
            Ok(()) => Ok(true),
            Err(Error::Mdb(MdbError::MapFull)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Lmdb {
    fn store(&self, id: &Id, session: &[u8]) -> Result<(), Error> {
        let mut txn = self.env.write_txn()?;
        if self.sessions.get(&txn, id)?.is_none() {
            while self.order.len(&txn)? >= self.capacity {
                let Some((turn, oldest)) = self.order.first(&txn)? else { break };
                let oldest = oldest.to_owned();
                self.order.delete(&mut txn, &turn)?;
                self.sessions.delete(&mut txn, &oldest)?;
            }
            let turn = self.order.last(&txn)?.map_or(0, |(turn, _)| turn + 1);
            self.order.put_with_flags(&mut txn, PutFlags::APPEND, &turn, id)?;
        }
        self.sessions.put(&mut txn, id, session)?;
        txn.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Mix;
    use crate::sessions;
    use crate::workload::{Operation, Workload};

    /// What the map holds is about what the limit allows: else the peer would be compared with less
    /// or more memory than the others.
    #[test]
    fn it_fills_its_limit() {
        let scale = Scale::new(Mix::Half, 4000);
        let host = host(scale).expect("tmpfs");
        let mut lmdb = open(&host.place, scale).expect("a new folder");
        let mut workload = Workload::new(Mix::Half, scale, (0, 1));
        let mut store = |workload: &mut Workload, key| {
            lmdb.put(&sessions::id(key), workload.compose(key)).expect("no other error")
        };
        while let Some(key) = workload.next_to_fill() {
            assert!(store(&mut workload, key), "key {key}");
        }
        for _ in 0..20_000 {
            if let Operation::Put(key) = workload.next() {
                assert!(store(&mut workload, key), "key {key}");
            }
        }
        let used = lmdb.env.non_free_pages_size().expect("no error");
        let part = used as f64 / scale.bytes as f64;
        assert!((0.9..1.05).contains(&part), "{part}");
    }
}
