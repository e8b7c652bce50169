//! The workers: processes that share a port and answer one connection at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::sockopt::ReusePort;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket,
};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream,
    SslVersion,
};
use shmtls::Cache;
use shmtls::openssl::{Config, attach};

use crate::child;
use crate::identity::Identity;
use crate::message;
use crate::plan::{Caching, Line};

/// As long as nobody should ever wait here.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Workers {
    pub(crate) address: SocketAddr,
    pids: Vec<Pid>,
}

impl Workers {
    /// Each has a socket of its own at the same port: the kernel chooses one by the client's port.
    pub(crate) fn fork(count: usize, who: &Identity, line: Line) -> Result<Self, String> {
        let segment = shmtls::Options::new().size(4 << 20).create_memfd();
        let cache = segment.map_err(|e| format!("no segment: {e}\nhint: {}", e.hint()))?;
        let failed = |e| format!("cannot listen: {e}");
        let mut listeners = vec![shared_listener(0).map_err(failed)?];
        let address = listeners[0].local_addr().map_err(|e| format!("no address: {e}"))?;
        for _ in 1..count {
            listeners.push(shared_listener(address.port()).map_err(failed)?);
        }
        let mut workers = Self { address, pids: Vec::new() };
        for listener in &listeners {
            let serve = || {
                let context = context(who, line, &cache)?;
                loop {
                    let (socket, _) = listener.accept().map_err(|e| format!("no client: {e}"))?;
                    // A client for which this fails sees it, and says so.
                    let _ = answer(socket, &context);
                }
            };
            workers.pids.push(child::spawn(serve)?);
        }
        Ok(workers)
    }

    /// Time on a core so far, of all of them, in the kernel too.
    pub(crate) fn cpu_time(&self) -> Result<Duration, String> {
        let of = |&pid| clock_getcpuclockid(pid).and_then(clock_time);
        let times: Result<Vec<_>, _> = self.pids.iter().map(of).collect();
        Ok(times.map_err(|e| format!("a worker has no clock: {e}"))?.iter().sum())
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for &pid in &self.pids {
            let _ = child::end(pid, Signal::SIGKILL);
        }
    }
}

fn clock_time(clock: ClockId) -> nix::Result<Duration> {
    clock_gettime(clock).map(Duration::from)
}

fn shared_listener(port: u16) -> nix::Result<TcpListener> {
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, ReusePort, &true)?;
    bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new([127, 0, 0, 1].into(), port)))?;
    listen(&fd, Backlog::MAXCONN)?;
    Ok(fd.into())
}

fn context(who: &Identity, line: Line, cache: &Cache) -> Result<SslContext, String> {
    let failed = |e: ErrorStack| format!("cannot make a server context: {e}");
    let mut builder = without_cache(who, line.version).map_err(failed)?;
    match line.caching {
        Caching::Nobody => {}
        Caching::PerWorker => own_cache(&mut builder).map_err(failed)?,
        Caching::Shmtls | Caching::ShmtlsNewClients => {
            attach(&mut builder, cache, &Config::new("localhost"))
                .map_err(|e| format!("cannot attach the cache: {e}"))?;
        }
    }
    Ok(builder.build())
}

fn without_cache(who: &Identity, version: SslVersion) -> Result<SslContextBuilder, ErrorStack> {
    let mut builder = SslContext::builder(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(version))?;
    builder.set_max_proto_version(Some(version))?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_options(SslOptions::NO_TICKET);
    builder.set_num_tickets(0)?;
    who.install(&mut builder)?;
    Ok(builder)
}

/// OpenSSL's, with one ticket for a handshake, as shmtls issues them.
fn own_cache(builder: &mut SslContextBuilder) -> Result<(), ErrorStack> {
    builder.set_session_cache_mode(SslSessionCacheMode::SERVER);
    builder.set_num_tickets(1)?;
    builder.set_session_id_context(b"localhost")
}

/// One request, one answer, and a clean end.
fn answer(socket: TcpStream, context: &SslContext) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut stream = SslStream::new(Ssl::new(context).ok()?, socket).ok()?;
    stream.accept().ok()?;
    let mut request = [0; message::REQUEST];
    stream.read_exact(&mut request).ok()?;
    let resumed = stream.ssl().session_reused();
    stream.write_all(&message::answer(request, resumed)).ok()?;
    stream.shutdown().ok()?;
    Some(())
}
