//! A socket that neither waits for ever nor tells the client too early.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long the client may take to close, once it has its answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Past the deadline nothing is ready, however the client spreads its bytes.
///
/// What is written stays here until there is something to be read, or until `send`. OpenSSL stores
/// a TLS 1.2 session when the handshake is over, after it has written the message that tells the
/// client so; a fast client would be back, at another worker, before its session is in the cache.
pub(crate) struct Socket {
    inner: TcpStream,
    deadline: Instant,
    unsent: Vec<u8>,
}

impl Socket {
    pub(crate) fn new(inner: TcpStream) -> Socket {
        Socket { inner, deadline: Instant::now(), unsent: Vec::new() }
    }

    /// Sets the deadline of all that follows.
    pub(crate) fn allow(&mut self, patience: Duration) {
        self.deadline = Instant::now() + patience;
    }

    pub(crate) fn send(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            self.inner.set_write_timeout(Some(self.left()?))?;
            let sent = self.inner.write(&self.unsent)?;
            self.unsent.drain(..sent);
        }
        Ok(())
    }

    /// Sends the rest and waits for the client to close: a socket closed with unread bytes resets
    /// the connection, and the client may lose what it has not read yet.
    pub(crate) fn close(&mut self) {
        self.allow(FAREWELL);
        // The client may have gone already.
        let _ = self.send();
        let _ = self.inner.shutdown(Shutdown::Write);
        while matches!(self.read(&mut [0; 4096]), Ok(1..)) {}
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::WouldBlock.into()) } else { Ok(left) }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.send()?;
        self.inner.set_read_timeout(Some(self.left()?))?;
        self.inner.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unsent.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// OpenSSL flushes at the end of a handshake, which is too early.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
