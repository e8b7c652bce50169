//! The command line.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use shmtls::KeyFormat;

use crate::keys;

pub(crate) const HELP: &str = "\
A prefork TLS server whose workers share one session cache. It stays up until SIGTERM or SIGINT.

usage: prefork_server [OPTION]...

  --listen ADDR:PORT    one socket for all workers [127.0.0.1:8443, unless --worker-ports is given]
  --worker-ports BASE   worker I also listens on BASE+I, so that a client can choose its worker
  --workers N           worker processes, numbered from 0 [4]
  --segment WHERE       memfd, a NAME (/dev/shm/shmtls.NAME), or a PATH on a tmpfs [memfd]
  --cert FILE           certificate chain, PEM [self-made, for localhost]
  --key FILE            its private key, PEM
  --tls 1.2|1.3|both    protocol versions [both]
  --tickets on|off      on: stateless tickets, under keys that all workers share; off: session IDs
                        and stateful tickets, in the cache [off]
  --ticket-keys FILE[,FILE]...:FORMAT
                        keys from files, read again on SIGHUP; FORMAT is ats48, apache48, nginx48,
                        nginx80, haproxy48 or haproxy80 [made by rotation]
  --rotate SECS         a new ticket key that often [43200, unless --ticket-keys is given]
  --early-data BYTES    accept 0-RTT data, 16384 bytes at most, each flight once [0]
  --client-ca FILE      demand a client certificate from these authorities
  --context NAME        the name of this virtual host; sessions stay within it [localhost]
  --ttl SECS            how long a session may be resumed [the segment's own, 3600]
  --size BYTES          size of a new segment [the library's default]
  --verbose             also say on stderr why a connection failed
  --help

A named segment is created if it is not there, and is not removed at the end, so that after a
restart with the same --cert, --client-ca and --context clients resume where they left off.

Prints `ready` when all workers accept. Every request is answered with one line,
  pid=PID worker=I proto=TLSv1.3 reused=0|1 early=0|1 id=HEX8
where HEX8 begins the SHA-256 of the session ID. A request that came as early data is also
logged on stdout, as EARLYDATA worker=I.
";

/// What OpenSSL takes from one flight, unless told otherwise.
const EARLY_DATA_MAX: u32 = 16_384;
/// Seven days: RFC 8446, section 4.6.1.
const TTL_MAX: u64 = 7 * 24 * 3600;
const WORKERS_MAX: u16 = 256;

pub(crate) enum Command {
    Help,
    Serve(Box<Options>),
}

pub(crate) struct Options {
    pub(crate) listen: Option<String>,
    pub(crate) worker_ports: Option<u16>,
    pub(crate) workers: u16,
    /// A name or a path; none means a memfd.
    pub(crate) segment: Option<String>,
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    pub(crate) tls: Tls,
    pub(crate) tickets: bool,
    pub(crate) ticket_keys: Option<(Vec<String>, KeyFormat)>,
    pub(crate) rotate: Option<Duration>,
    pub(crate) early_data: u32,
    pub(crate) client_ca: Option<PathBuf>,
    pub(crate) context: String,
    pub(crate) ttl: Option<Duration>,
    pub(crate) size: Option<u64>,
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Tls {
    V1_2,
    V1_3,
    Both,
}

/// `--name value` and `--name=value`; each option at most once.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut options = Options::default();
    let (mut cert, mut key) = (None, None);
    let mut seen = BTreeSet::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let (name, inline) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        if !seen.insert(name.clone()) {
            return Err(format!("{name} is given twice"));
        }
        let is_flag = matches!(name.as_str(), "--help" | "-h" | "--verbose");
        if is_flag && inline.is_some() {
            return Err(format!("{name} takes no value"));
        }
        let mut value = || match inline.clone().or_else(|| args.next()) {
            Some(value) if !value.is_empty() => Ok(value),
            _ => Err(format!("{name} needs a value")),
        };
        match name.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--verbose" => options.verbose = true,
            "--listen" => options.listen = Some(address(value()?)?),
            "--worker-ports" => options.worker_ports = Some(number(&name, &value()?, 1, u16::MAX)?),
            "--workers" => options.workers = number(&name, &value()?, 1, WORKERS_MAX)?,
            "--segment" => options.segment = Some(value()?).filter(|place| place != "memfd"),
            "--cert" => cert = Some(value()?.into()),
            "--key" => key = Some(value()?.into()),
            "--tls" => options.tls = tls(&value()?)?,
            "--tickets" => options.tickets = on_off(&name, &value()?)?,
            "--ticket-keys" => options.ticket_keys = Some(keys::parse(&value()?)?),
            "--rotate" => {
                let seconds = number(&name, &value()?, 1, TTL_MAX)?;
                options.rotate = Some(Duration::from_secs(seconds));
            }
            "--early-data" => options.early_data = number(&name, &value()?, 0, u32::MAX)?,
            "--client-ca" => options.client_ca = Some(value()?.into()),
            "--context" => options.context = value()?,
            "--ttl" => {
                let seconds = number(&name, &value()?, 1, TTL_MAX)?;
                options.ttl = Some(Duration::from_secs(seconds));
            }
            "--size" => options.size = Some(number(&name, &value()?, 1, u64::MAX)?),
            _ if name.starts_with('-') => return Err(format!("unknown option {name}")),
            _ => return Err(format!("unexpected argument {name}")),
        }
    }
    options.identity = match (cert, key) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        _ => return Err("--cert and --key belong together".into()),
    };
    options.checked().map(|options| Command::Serve(Box::new(options)))
}

impl Default for Options {
    fn default() -> Self {
        Options {
            listen: None,
            worker_ports: None,
            workers: 4,
            segment: None,
            identity: None,
            tls: Tls::Both,
            tickets: false,
            ticket_keys: None,
            rotate: None,
            early_data: 0,
            client_ca: None,
            context: "localhost".into(),
            ttl: None,
            size: None,
            verbose: false,
        }
    }
}

impl Options {
    /// Refuses what makes no sense together.
    fn checked(mut self) -> Result<Options, String> {
        let last_port = self.worker_ports.map(|base| base.checked_add(self.workers - 1));
        if last_port == Some(None) {
            return Err("--worker-ports plus --workers goes beyond port 65535".into());
        }
        if self.early_data > 0 && self.tickets {
            return Err(
                "--early-data needs --tickets off: whoever copies a flight with a stateless \
                        ticket can have every worker accept it"
                    .into(),
            );
        }
        if !self.tickets && (self.ticket_keys.is_some() || self.rotate.is_some()) {
            return Err("--ticket-keys and --rotate need --tickets on".into());
        }
        self.early_data = self.early_data.min(EARLY_DATA_MAX);
        if self.listen.is_none() && self.worker_ports.is_none() {
            self.listen = Some("127.0.0.1:8443".into());
        }
        Ok(self)
    }
}

fn number<T>(name: &str, value: &str, min: T, max: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + std::fmt::Display,
{
    match value.parse() {
        Ok(number) if min <= number && number <= max => Ok(number),
        _ => Err(format!("{name}: {value:?} is not a number from {min} to {max}")),
    }
}

fn address(value: String) -> Result<String, String> {
    match value.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(value),
        _ => Err(format!("--listen: {value:?} is not ADDR:PORT")),
    }
}

fn tls(value: &str) -> Result<Tls, String> {
    match value {
        "1.2" => Ok(Tls::V1_2),
        "1.3" => Ok(Tls::V1_3),
        "both" => Ok(Tls::Both),
        _ => Err(format!("--tls: {value:?} is not 1.2, 1.3 or both")),
    }
}

fn on_off(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{name}: {value:?} is neither on nor off")),
    }
}
