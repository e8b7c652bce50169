//! A TCP connection on which everything together has one deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a server may take to close, once the client has.
const FAREWELL: Duration = Duration::from_secs(1);

/// Past the deadline nothing is ready, however the server spreads its bytes.
pub(super) struct Socket {
    inner: TcpStream,
    deadline: Instant,
}

impl Socket {
    pub(super) fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Socket> {
        let deadline = Instant::now() + timeout;
        let inner = TcpStream::connect_timeout(&address, timeout)?;
        inner.set_nodelay(true)?;
        Ok(Socket { inner, deadline })
    }

    /// Nothing follows: a server that waits for a request sees the end of it, and has a moment left
    /// to close in its turn.
    pub(super) fn finish_sending(&mut self) -> io::Result<()> {
        self.deadline = self.deadline.min(Instant::now() + FAREWELL);
        self.inner.shutdown(Shutdown::Write)
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// The kernel's word for a timeout is that nothing is there yet, which OpenSSL would try again.
fn timed_out(e: io::Error) -> io::Error {
    if e.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { e }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.set_read_timeout(Some(self.left()?))?;
        self.inner.read(buffer).map_err(timed_out)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.set_write_timeout(Some(self.left()?))?;
        self.inner.write(bytes).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
