//! memcached over a Unix socket: one request in flight for each worker.
//!
//! The two commands are written here because the memcache crate asks for the server's version
//! before each of them. Keys are text, so IDs are in hexadecimal, as httpd's mod_socache_memcache
//! has them.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use nix::unistd::{User, geteuid};

use super::{Host, Id, Store};
use crate::fault::Fault;
use crate::plan::Scale;
use crate::server::Server;

const LIFETIME_SECONDS: u32 = 3600;

pub(super) fn host(scale: Scale) -> Result<Host, Fault> {
    let user = User::from_uid(geteuid())?.ok_or("a user without a name")?.name;
    let (server, socket) = Server::at_socket("memcached", |socket| {
        // With less it does not start.
        let megabytes = (scale.bytes >> 20).max(2).to_string();
        // Root has to say whom it wants to be.
        ["-s", socket, "-m", &megabytes, "-u", &user].map(String::from).into()
    })?;
    Ok(Host::new(socket, server))
}

pub(super) fn open(place: &str) -> Result<Memcached, Fault> {
    let stream = BufReader::with_capacity(16 << 10, UnixStream::connect(place)?);
    Ok(Memcached { stream, request: Vec::new(), answer: String::new() })
}

pub(super) struct Memcached {
    stream: BufReader<UnixStream>,
    request: Vec<u8>,
    answer: String,
}

impl Store for Memcached {
    fn get(&mut self, id: &Id, into: &mut [u8]) -> Result<Option<usize>, Fault> {
        let mut key = [0; 64];
        self.start("get ", hex_of(id, &mut key)?);
        self.request.extend_from_slice(b"\r\n");
        match self.ask()? {
            "END" => Ok(None),
            // VALUE <key> <flags> <bytes>
            value => {
                let bytes = value.strip_prefix("VALUE ").and_then(|it| it.rsplit(' ').next());
                let bytes = bytes.and_then(|it| it.parse().ok());
                let len: usize = bytes.ok_or_else(|| format!("memcached says {value:?}"))?;
                let into = into.get_mut(..len).ok_or("memcached has more than was stored")?;
                self.stream.read_exact(into)?;
                self.stream.read_exact(&mut [0; b"\r\nEND\r\n".len()])?;
                Ok(Some(len))
            }
        }
    }

    fn put(&mut self, id: &Id, session: &[u8]) -> Result<bool, Fault> {
        let mut key = [0; 64];
        self.start("set ", hex_of(id, &mut key)?);
        write!(self.request, " 0 {LIFETIME_SECONDS} {}\r\n", session.len())?;
        self.request.extend_from_slice(session);
        self.request.extend_from_slice(b"\r\n");
        match self.ask()? {
            "STORED" => Ok(true),
            refusal if refusal.starts_with("SERVER_ERROR out of memory") => Ok(false),
            other => Err(format!("memcached says {other:?}").into()),
        }
    }
}

impl Memcached {
    fn start(&mut self, command: &str, key: &[u8]) {
        self.request.clear();
        self.request.extend_from_slice(command.as_bytes());
        self.request.extend_from_slice(key);
    }

    /// Sends the request at once, and returns the first line of the answer.
    fn ask(&mut self) -> Result<&str, Fault> {
        self.stream.get_mut().write_all(&self.request)?;
        self.answer.clear();
        self.stream.read_line(&mut self.answer)?;
        self.answer.strip_suffix("\r\n").ok_or_else(|| "memcached has gone".into())
    }
}

fn hex_of<'a>(id: &Id, into: &'a mut [u8; 64]) -> Result<&'a [u8], Fault> {
    hex::encode_to_slice(id, into)?;
    Ok(into)
}
