//! What is measured, and for how long.

use std::fmt;
use std::time::Duration;

use openssl::ssl::SslVersion;

pub(crate) const USAGE: &str = "\
usage: make handshakes HANDSHAKES='[--workers N] [--clients N] [--rounds N] [--millis N]'
  --workers N   server processes (2)
  --clients N   client processes (two for each worker)
  --rounds N    of all lines of the table, one after the other (5)
  --millis N    a line takes in each round (800)";

/// Clients that come back, in each client process.
pub(crate) const VISITORS: usize = 8;

pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) clients: usize,
    pub(crate) rounds: usize,
    pub(crate) burst: Duration,
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    pub(crate) key: Key,
    pub(crate) version: SslVersion,
    pub(crate) caching: Caching,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Ecdsa,
    Rsa,
}

/// Who keeps sessions, and whether clients bring them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Nobody.
    Nobody,
    /// OpenSSL in each worker for itself.
    PerWorker,
    Shmtls,
    /// shmtls, but no client ever comes back: what storing costs.
    ShmtlsNewClients,
}

impl Plan {
    /// `None` if this is `cargo test` and asks for another test.
    pub(crate) fn from_args(args: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (flags, mut args): (Vec<_>, Vec<_>) = args.partition(|arg| arg == "--bench");
        if flags.is_empty() {
            args.retain(|arg| !arg.starts_with('-'));
            let is_meant = args.is_empty() || args.iter().any(|name| "handshakes".contains(name));
            let burst = Duration::from_millis(60);
            return Ok(is_meant.then_some(Self { workers: 2, clients: 2, rounds: 1, burst }));
        }
        let mut plan =
            Self { workers: 2, clients: 0, rounds: 5, burst: Duration::from_millis(800) };
        let mut args = args.into_iter();
        while let Some(flag) = args.next() {
            let value = args.next().ok_or_else(|| format!("{flag}: expected a number after it"))?;
            let number = value.parse().ok().filter(|n| (1..=100_000).contains(n));
            let number: usize =
                number.ok_or_else(|| format!("{flag} {value}: expected 1 to 100000"))?;
            match flag.as_str() {
                "--workers" => plan.workers = number,
                "--clients" => plan.clients = number,
                "--rounds" => plan.rounds = number,
                "--millis" => plan.burst = Duration::from_millis(number as u64),
                _ => return Err(format!("{flag}: no such flag")),
            }
        }
        if plan.clients == 0 {
            plan.clients = 2 * plan.workers;
        }
        Ok(Some(plan))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, clients, rounds, burst } = self;
        write!(
            f,
            "{workers} workers, {clients} client processes with {VISITORS} returning clients each, \
             {rounds} x {burst:?} a line"
        )
    }
}

impl Line {
    /// Those without a cache first: the others are compared with them.
    pub(crate) fn all() -> Vec<Self> {
        let mut lines = Vec::new();
        for key in [Key::Ecdsa, Key::Rsa] {
            for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
                lines.extend(Caching::ALL.map(|caching| Self { key, version, caching }));
            }
        }
        lines
    }

    /// Whether so many resumptions of so many visits are as they should be.
    pub(crate) fn is_credible(&self, resumed: u64, visits: u64) -> bool {
        match self.caching {
            Caching::Nobody | Caching::ShmtlsNewClients => resumed == 0,
            // Chance decides which worker they reach.
            Caching::PerWorker => true,
            // A lookup that waits for a core until the deadline is a miss.
            Caching::Shmtls => visits - resumed <= 2 + visits / 100,
        }
    }
}

impl Caching {
    pub(crate) const ALL: [Self; 4] =
        [Self::Nobody, Self::PerWorker, Self::Shmtls, Self::ShmtlsNewClients];

    /// Whether clients bring the session of their last visit.
    pub(crate) fn clients_return(self) -> bool {
        self != Self::ShmtlsNewClients
    }
}

impl fmt::Display for Caching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nobody => "none",
            Self::PerWorker => "one per worker",
            Self::Shmtls => "shmtls",
            Self::ShmtlsNewClients => "shmtls, new clients",
        })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key == Key::Ecdsa { "ECDSA P-256" } else { "RSA 2048" };
        let version = if self.version == SslVersion::TLS1_2 { "1.2" } else { "1.3" };
        write!(f, "{key:<11}  {version}  {:<19}", self.caching)
    }
}
