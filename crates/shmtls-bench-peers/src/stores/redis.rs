//! Redis over a Unix socket, through the redis crate: one request in flight for each worker.

use redis::{Client, Connection, cmd};

use super::{Host, Id, Store, copy};
use crate::fault::Fault;
use crate::plan::Scale;
use crate::server::Server;

const LIFETIME_SECONDS: u32 = 3600;

/// No file is written; what was used least recently goes.
pub(super) fn host(scale: Scale) -> Result<Host, Fault> {
    let (server, socket) = Server::at_socket("redis-server", |socket| {
        let bytes = scale.bytes.to_string();
        let options = [
            ("--port", "0"),
            ("--unixsocket", socket),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--maxmemory", &bytes),
            ("--maxmemory-policy", "allkeys-lru"),
        ];
        options.iter().flat_map(|(name, value)| [*name, *value]).map(String::from).collect()
    })?;
    Ok(Host::new(socket, server))
}

pub(super) fn open(place: &str) -> Result<Redis, Fault> {
    Ok(Redis(Client::open(format!("unix://{place}"))?.get_connection()?))
}

pub(super) struct Redis(Connection);

impl Store for Redis {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        let session: Option<Vec<u8>> = cmd("GET").arg(id).query(&mut self.0)?;
        Ok(session.map(|session| copy(&session, into)))
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        let mut set = cmd("SET");
        set.arg(id).arg(session).arg("EX").arg(LIFETIME_SECONDS);
        set.exec(&mut self.0)?;
        Ok(true)
    }
}
