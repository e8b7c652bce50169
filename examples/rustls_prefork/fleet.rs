//! Worker processes, each with a server config and a loopback port of its own.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rustls::ServerConfig;

use crate::{child, connection};

pub(crate) struct Fleet {
    pub(crate) ports: Vec<u16>,
    workers: Vec<Pid>,
}

impl Fleet {
    /// Forks the workers; each calls `make` for its config.
    pub(crate) fn fork(
        size: u32,
        make: impl Fn() -> Result<Arc<ServerConfig>, String>,
    ) -> Result<Fleet, String> {
        let failed = |e| format!("cannot open a socket: {e}");
        let mut fleet = Fleet { ports: Vec::new(), workers: Vec::new() };
        for worker in 0..size {
            let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(failed)?;
            fleet.ports.push(listener.local_addr().map_err(failed)?.port());
            let make = &make;
            // The listener moves, so that a dead worker's port refuses connections.
            let work = move || serve(worker, &listener, &make()?);
            fleet.workers.push(child::spawn(work)?);
        }
        Ok(fleet)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for &worker in &self.workers {
            let _ = child::end(worker, Signal::SIGKILL);
        }
    }
}

/// Until the process is killed, with a thread for each connection.
pub(crate) fn serve(
    worker: u32,
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
) -> Result<(), String> {
    thread::scope(|threads| {
        loop {
            let (socket, _) = listener.accept().map_err(|e| format!("cannot accept: {e}"))?;
            // A client that fails here sees it, and says so.
            threads.spawn(move || connection::serve(worker, socket, config));
        }
    })
}
