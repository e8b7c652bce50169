//! The same workers as a server that stays up until SIGTERM or SIGINT.

use std::fs;
use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use shmtls::rustls::Tickets;
use shmtls::{Cache, OpenError, Rotation};

use crate::identity::Identity;
use crate::{child, fleet, tls};

const HELP: &str = "\
rustls workers that share their TLS sessions. Without options: a demonstration.

usage: rustls_prefork --listen ADDR:PORT [OPTION]...

  --listen ADDR:PORT    one socket for all workers
  --worker-ports BASE   worker I also listens on BASE+I, so that a client can choose its worker
  --workers N           worker processes, numbered from 0 [4]
  --tickets on|off      on: tickets under keys that all workers share; off: the sessions are in the
                        segment, and TLS 1.3 tickets resume once [off]
  --rotate SECS         a new ticket key so often [43200]
  --early-data BYTES    accept so much 0-RTT data; needs --tickets off [0]
  --segment WHERE       memfd, a NAME (/dev/shm/shmtls.NAME), or a PATH on a tmpfs [memfd]
  --cert FILE           certificate chain, PEM [self-made, for localhost]
  --key FILE            its private key, PEM

It prints `ready`, and answers each request with one line:
  pid=PID worker=I proto=TLSv1.3 reused=0|1 early=0|1 id=HEX8
";

pub(crate) fn main(args: &[String]) -> ExitCode {
    if args.iter().any(|arg| arg == "--help" || arg == "-h") {
        let _ = io::stdout().write_all(HELP.as_bytes());
        return ExitCode::SUCCESS;
    }
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("rustls_prefork: {why}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("rustls_prefork: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Options<'a> {
    listen: &'a str,
    worker_ports: Option<u16>,
    workers: u16,
    tickets: Tickets,
    rotate: u64,
    early_data: u32,
    segment: Option<&'a str>,
    identity: Option<(&'a str, &'a str)>,
}

impl<'a> Options<'a> {
    fn parse(args: &'a [String]) -> Result<Options<'a>, String> {
        let (mut listen, mut cert, mut key) = (None, None, None);
        let mut options = Options {
            listen: "",
            worker_ports: None,
            workers: 4,
            tickets: Tickets::Stateful,
            rotate: 12 * 3600,
            early_data: 0,
            segment: None,
            identity: None,
        };
        for pair in args.chunks(2) {
            let [name, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
            match name.as_str() {
                "--listen" => listen = Some(value),
                "--worker-ports" => options.worker_ports = Some(number(name, value)?),
                "--workers" => options.workers = number(name, value)?,
                "--tickets" if value == "on" => options.tickets = Tickets::SharedKeys,
                "--tickets" if value == "off" => options.tickets = Tickets::Stateful,
                "--rotate" => options.rotate = number(name, value)?,
                "--early-data" => options.early_data = number(name, value)?,
                "--segment" => options.segment = Some(&**value).filter(|place| *place != "memfd"),
                "--cert" => cert = Some(&**value),
                "--key" => key = Some(&**value),
                _ => return Err(format!("unknown option or value: {name} {value}")),
            }
        }
        options.listen = listen.ok_or("--listen is missing")?;
        options.identity = cert.zip(key);
        if cert.is_some() != key.is_some() {
            return Err("--cert and --key belong together".into());
        }
        Ok(options)
    }
}

fn number<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value:?} is not a number, or too large"))
}

fn serve(options: &Options<'_>) -> Result<(), String> {
    // Blocked before anything starts, so that none is missed.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    signals.thread_block().map_err(|e| format!("cannot block signals: {e}"))?;

    let identity = match options.identity {
        Some((cert, key)) => load_identity(cert, key)?,
        None => Identity::self_made().map_err(|e| format!("cannot make a certificate: {e}"))?,
    };
    let cache = open_segment(options)?;
    let rotation = Rotation::every(Duration::from_secs(options.rotate.max(1)));
    cache.keys().rotate_if_due(&rotation).map_err(|e| format!("no ticket key: {e}"))?;
    // Made and dropped, to refuse a bad configuration here and not in every worker.
    config(options, &identity, &cache)?;
    let shared = TcpListener::bind(options.listen)
        .map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;

    let mut workers = Vec::new();
    for worker in 0..options.workers {
        let own = options.worker_ports.map(|base| own_socket(base, worker)).transpose()?;
        workers.push(child::spawn(|| {
            signals.thread_unblock().map_err(|e| format!("cannot unblock signals: {e}"))?;
            // As long as one worker lives, the keys are rotated.
            let _rotator = cache.rotate_keys(rotation).map_err(|e| format!("no rotation: {e}"))?;
            let config = config(options, &identity, &cache)?;
            thread::scope(|threads| {
                let own = own
                    .as_ref()
                    .map(|own| threads.spawn(|| fleet::serve(worker.into(), own, &config)));
                fleet::serve(worker.into(), &shared, &config)?;
                own.map_or(Ok(()), |own| own.join().expect("a worker's thread"))
            })
        })?);
    }
    // Nobody may be reading; then nobody misses it.
    let _ = io::stdout().write_all(b"ready\n");
    signals.wait().map_err(|e| format!("cannot wait for signals: {e}"))?;
    workers.into_iter().try_for_each(|worker| child::end(worker, Signal::SIGTERM))
}

fn own_socket(base: u16, worker: u16) -> Result<TcpListener, String> {
    let port = base.checked_add(worker).ok_or("--worker-ports goes beyond port 65535")?;
    TcpListener::bind(("127.0.0.1", port)).map_err(|e| format!("cannot listen on {port}: {e}"))
}

fn config(
    options: &Options<'_>,
    identity: &Identity,
    cache: &Cache,
) -> Result<Arc<ServerConfig>, String> {
    let mut server = tls::plain(identity, &[&TLS12, &TLS13])?;
    server.max_early_data_size = options.early_data;
    tls::share(&mut server, cache, options.tickets)?;
    Ok(Arc::new(server))
}

fn open_segment(options: &Options<'_>) -> Result<Cache, String> {
    let segment = shmtls::Options::new();
    let opened = match options.segment {
        Some(place) => segment.open_or_create(place),
        None => segment.create_memfd().map_err(OpenError::Create),
    };
    opened.map_err(|e| format!("no segment: {e}\nhint: {}", e.hint()))
}

fn load_identity(cert: &str, key: &str) -> Result<Identity, String> {
    let read = |path| fs::read(path).map_err(|e| format!("cannot read {path}: {e}"));
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("no certificates in {cert}: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|e| format!("no private key in {key}: {e}"))?;
    Ok(Identity { chain, key })
}
