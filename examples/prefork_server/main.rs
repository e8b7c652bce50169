//! A prefork TLS server that stays up until SIGTERM, for clients nobody here wrote.
//!
//! The parent opens the segment and the sockets, forks the workers, and forks a dead one again.
//! Each worker makes a TLS context of its own after the fork; all of them resume every session.
//! `--help` tells the rest.

#[path = "../common/certificate.rs"]
mod certificate;
#[path = "../common/child.rs"]
mod child;
mod connection;
#[path = "../common/identity.rs"]
mod identity;
mod keys;
mod options;
mod socket;
mod tls;
mod worker;

use std::env;
use std::error::Error;
use std::io::{self, PipeReader, Read, Write};
use std::iter;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use shmtls::{Cache, OpenError};

use crate::keys::Keys;
use crate::options::{Command, HELP, Options};
use crate::tls::Setup;
use crate::worker::Worker;

/// How long a session lives in a segment whose creator did not say.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(3600);

fn main() -> ExitCode {
    let args: Result<Vec<String>, _> = env::args_os().skip(1).map(|a| a.into_string()).collect();
    let command =
        args.map_err(|arg| format!("{} is not UTF-8", arg.display())).and_then(options::parse);
    let end = match command {
        Ok(Command::Help) => {
            let _ = io::stdout().write_all(HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(Command::Serve(options)) => serve(&options),
        Err(why) => {
            eprintln!("prefork_server: {why}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("prefork_server: {why}");
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &Options) -> Result<(), String> {
    // Blocked before anything starts, so that none is missed; `serve_until_told` waits for them.
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD, Signal::SIGHUP];
    let signals: SigSet = signals.into_iter().collect();
    signals.thread_block().map_err(|e| format!("cannot block signals: {e}"))?;

    let setup = Setup::load(options)?;
    let cache = open_segment(options)?;
    let mut keys = Keys::of(options);
    keys.prepare(&cache)?;
    // Made and dropped, to refuse a bad configuration here and not in every worker.
    setup.context(&cache)?;
    let sockets = Sockets::open(options)?;

    let mut pool = Pool { options, setup, cache, keys, signals, sockets, workers: Vec::new() };
    let ready = (0..options.workers).map(|_| pool.add()).collect::<Result<Vec<_>, _>>()?;
    for (index, mut pipe) in ready.into_iter().enumerate() {
        pipe.read_exact(&mut [0]).map_err(|_| format!("worker {index} did not start"))?;
    }
    say("ready");
    pool.serve_until_told()
}

fn open_segment(options: &Options) -> Result<Cache, String> {
    let mut segment = shmtls::Options::new();
    if let Some(size) = options.size {
        segment = segment.size(size);
    }
    // A shorter one is the context's own; so a segment can serve several.
    if let Some(ttl) = options.ttl.filter(|&ttl| ttl > LIFETIME_DEFAULT) {
        segment = segment.lifetime(ttl);
    }
    let opened = match &options.segment {
        Some(name) => segment.open_or_create(name),
        None => segment.create_memfd().map_err(OpenError::Create),
    };
    opened.map_err(|e| format!("no segment: {}\nhint: {}", with_causes(&e), e.hint()))
}

fn with_causes(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Opened before the fork, and never closed: what arrives while a worker is dead waits here.
struct Sockets {
    shared: Option<TcpListener>,
    /// One for each worker, or none.
    own: Vec<TcpListener>,
}

impl Sockets {
    fn open(options: &Options) -> Result<Sockets, String> {
        let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut shared = None;
        if let Some(address) = &options.listen {
            let failed = |e| format!("cannot listen on {address}: {e}");
            let socket = TcpListener::bind(address).map_err(failed)?;
            let bound = socket.local_addr().map_err(failed)?;
            eprintln!("listening on {bound}");
            host = bound.ip();
            shared = Some(socket);
        }
        let mut own = Vec::new();
        if let Some(base) = options.worker_ports {
            for port in base..=base + (options.workers - 1) {
                let socket = TcpListener::bind((host, port))
                    .map_err(|e| format!("cannot listen on {host} port {port}: {e}"))?;
                own.push(socket);
            }
            eprintln!("worker I listens on {host} port {base}+I");
        }
        Ok(Sockets { shared, own })
    }
}

struct Pool<'a> {
    options: &'a Options,
    setup: Setup<'a>,
    cache: Cache,
    keys: Keys,
    signals: SigSet,
    sockets: Sockets,
    workers: Vec<(Pid, Instant)>,
}

impl Pool<'_> {
    /// Forks the next worker; a byte comes out of the pipe when it accepts.
    fn add(&mut self) -> Result<PipeReader, String> {
        let (ready, worker) = self.fork(self.workers.len())?;
        self.workers.push((worker, Instant::now()));
        Ok(ready)
    }

    fn fork(&self, index: usize) -> Result<(PipeReader, Pid), String> {
        let (reader, writer) = io::pipe().map_err(|e| format!("cannot make a pipe: {e}"))?;
        let pid = child::spawn(|| {
            self.signals.thread_unblock().map_err(|e| format!("cannot unblock signals: {e}"))?;
            let _rotator = self.keys.rotate(&self.cache)?;
            let worker = Worker {
                index: u16::try_from(index).map_err(|e| e.to_string())?,
                context: self.setup.context(&self.cache)?,
                verbose: self.options.verbose,
            };
            let listeners = self.sockets.own.get(index).into_iter().chain(&self.sockets.shared);
            worker.run(&listeners.collect::<Vec<_>>(), writer);
            Ok(())
        })?;
        Ok((reader, pid))
    }

    fn serve_until_told(&mut self) -> Result<(), String> {
        loop {
            match self.signals.wait().map_err(|e| format!("cannot wait for signals: {e}"))? {
                Signal::SIGCHLD => self.replace_the_dead()?,
                // A bad file must not stop a server that runs.
                Signal::SIGHUP => {
                    if let Err(why) = self.keys.load(&self.cache) {
                        eprintln!("prefork_server: {why}");
                    }
                }
                _ => return self.end(),
            }
        }
    }

    /// One SIGCHLD may stand for many deaths.
    fn replace_the_dead(&mut self) -> Result<(), String> {
        for index in 0..self.workers.len() {
            let (pid, born) = self.workers[index];
            let end = match waitpid(pid, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => continue,
                Ok(WaitStatus::Signaled(_, signal, _)) => format!("was ended by {signal}"),
                Ok(WaitStatus::Exited(_, code)) => format!("ended with status {code}"),
                Ok(other) => format!("ended: {other:?}"),
                Err(e) => return Err(format!("cannot wait for worker {index}: {e}")),
            };
            // One that dies at once must not make this loop spin.
            if born.elapsed() < Duration::from_secs(1) {
                thread::sleep(Duration::from_millis(50));
            }
            let (_ready, new) = self.fork(index)?;
            self.workers[index] = (new, Instant::now());
            eprintln!("worker {index} (pid {pid}) {end}; forked again as pid {new}");
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        self.workers.drain(..).try_for_each(|(pid, _)| child::end(pid, Signal::SIGTERM))
    }
}

/// However this process leaves, no worker stays.
impl Drop for Pool<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn say(line: &str) {
    // Nobody may be reading; then nobody misses it.
    let _ = io::stdout().write_all(format!("{line}\n").as_bytes());
}
