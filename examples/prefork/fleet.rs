//! Worker processes, each with a TLS context and a loopback port of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use openssl::ssl::{Ssl, SslContext, SslStream};

use crate::child;

pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Fleet {
    pub(crate) ports: Vec<u16>,
    pub(crate) workers: Vec<Pid>,
    verdicts: UnixDatagram,
}

impl Fleet {
    /// Forks the workers; each calls `make` for its context.
    pub(crate) fn fork(
        size: u32,
        make: impl Fn() -> Result<SslContext, String>,
    ) -> Result<Fleet, String> {
        let failed = |e| format!("cannot open a socket: {e}");
        let (verdicts, report) = UnixDatagram::pair().map_err(failed)?;
        verdicts.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut fleet = Fleet { ports: Vec::new(), workers: Vec::new(), verdicts };
        for worker in 0..size {
            let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
            fleet.ports.push(listener.local_addr().map_err(failed)?.port());
            let (make, report) = (&make, &report);
            // The listener moves, so that a dead worker's port refuses connections.
            let work = move || serve(worker, &listener, &make()?, report);
            fleet.workers.push(child::spawn(work)?);
        }
        Ok(fleet)
    }

    /// Whether early data was accepted on one connection: what a worker that has any reports.
    pub(crate) fn verdict(&self) -> Result<bool, String> {
        let mut accepted = [0];
        match self.verdicts.recv(&mut accepted) {
            Ok(_) => Ok(accepted == [1]),
            Err(e) => Err(format!("a worker does not say what became of a flight: {e}")),
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for &worker in &self.workers {
            let _ = child::end(worker, Signal::SIGKILL);
        }
    }
}

fn serve(
    worker: u32,
    listener: &TcpListener,
    context: &SslContext,
    report: &UnixDatagram,
) -> Result<(), String> {
    thread::scope(|threads| {
        loop {
            let (socket, _) = listener.accept().map_err(|e| format!("cannot accept: {e}"))?;
            // A client that fails here sees it, and says so.
            threads.spawn(move || answer(worker, socket, context, report));
        }
    })
}

/// One line in, one line out.
fn answer(
    worker: u32,
    socket: TcpStream,
    context: &SslContext,
    report: &UnixDatagram,
) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).ok()?;
    socket.set_write_timeout(Some(PATIENCE)).ok()?;
    let mut stream = SslStream::new(Ssl::new(context).ok()?, socket).ok()?;

    let mut early = false;
    if context.max_early_data() > 0 {
        let mut flight = [0; 64];
        early = stream.read_early_data(&mut flight).ok()? > 0;
        report.send(&[u8::from(early)]).ok()?;
        while early && stream.read_early_data(&mut flight).ok()? > 0 {}
    }
    stream.accept().ok()?;

    let mut stream = BufReader::new(stream);
    stream.read_line(&mut String::new()).ok()?;
    let mut stream = stream.into_inner();
    let reused = stream.ssl().session_reused();
    writeln!(stream, "worker={worker} reused={reused} early={early}").ok()?;
    stream.shutdown().ok()?;
    Some(())
}
