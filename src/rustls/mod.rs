//! The adapter for [rustls](https://docs.rs/rustls/0.23) 0.23: [`attach`] makes every worker
//! resume every session.
//!
//! ```no_run
//! use rustls::ServerConfig;
//! use rustls::pki_types::pem::PemObject;
//! use rustls::pki_types::{CertificateDer, PrivateKeyDer};
//! use shmtls::rustls::{Config, attach};
//!
//! let cache = shmtls::Options::new().open_or_create("web")?;
//! let chain = CertificateDer::pem_file_iter("cert.pem")?.collect::<Result<_, _>>()?;
//! let key = PrivateKeyDer::from_pem_file("key.pem")?;
//! let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
//! attach(&mut config, &cache, &Config::new("www.example.com"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything here works from any thread, and after a fork in the child as in the parent: a
//! `ServerConfig` may be made before the fork or in each worker. Any crypto provider will do.
//!
//! # What a handshake sees
//!
//! | | TLS 1.3 | TLS 1.2 |
//! |---|---|---|
//! | [`Tickets::Stateful`] | the ticket is the session's ID; the first use takes the session out of the cache, so of any number of uses in any workers exactly one resumes (RFC 8446, section 8.1) | session IDs, which resume as often as the client likes |
//! | [`Tickets::SharedKeys`] | the ticket is the session, sealed with a key of the ring; nothing is stored | the same (RFC 5077), and session IDs for clients without tickets |
//!
//! Whatever is wrong with the cache or the ring is a miss, which means a full handshake; what could
//! not be stored or sealed is not offered to the client. Nothing here panics, whatever the client
//! sends.
//!
//! # Virtual hosts
//!
//! rustls resumes only under the server name (SNI) and the cipher suite of the first handshake. It
//! does not compare certificates, nor what is demanded of clients, and does not let this adapter
//! see them. So a session is bound to the [`Config::new`] name: **give one name to one certificate
//! and one client-auth policy**, and the same name in every worker. Where two `ServerConfig`s share
//! a name, a client that one of them let in without a certificate resumes at the other (rustls
//! warns of it at `ServerConfig`, "Sharing resumption storage between `ServerConfig`s").
//!
//! # Early data (0-RTT)
//!
//! `ServerConfig::max_early_data_size` with [`Tickets::Stateful`] is all it takes. A replayed first
//! flight is accepted once over all workers, because its ticket can be taken once. With
//! [`Tickets::SharedKeys`] no one could know that a ticket has been used before: [`attach`] refuses
//! the two together, and rustls ignores early data that is allowed later.
//!
//! # Tickets under shared keys
//!
//! The tickets that rustls itself makes (`Ticketer`) cannot be shared: their keys are random, and
//! stay in the process. Those of this adapter are sealed with the ring of ticket keys in the
//! segment ([`Cache::keys`](crate::Cache::keys)): its encrypting key seals, any key in it opens. A
//! process sees an update at its next ticket, for the price of one atomic load. `ticket.rs` has
//! the bytes. A ticket of OpenSSL under the same ring is none here, nor the other way round: name
//! and key are derived from the ring's, once for each stack and each [`Config::new`] name.
//!
//! rustls wants lifetimes to be made of keys that go, so that a stolen key opens little: that is
//! the ring's part ([`Rotation`](crate::Rotation)). But a ring from a key file may stay for months,
//! so each ticket also carries its time of issue, and a worker refuses what is older than its own
//! [`Config::lifetime`]: to shorten it ends the tickets that are out already.
//!
//! # Limits
//!
//! - rustls does not say what a new session was resumed from. So what a resumed connection is given
//!   (TLS 1.3 tickets of either kind, TLS 1.2 tickets under shared keys) lives as long again, and a
//!   client that returns in time need never make a full handshake. TLS 1.2 session IDs are stored
//!   once, and end. A server that must check a client certificate again now and then notes the time
//!   with `ServerConnection::set_resumption_data` in TLS 1.3, and in TLS 1.2 does without shared
//!   keys.
//! - rustls tells clients that stateful tickets live for a day. They live as long as
//!   [`Config::lifetime`] says; what is offered later is a miss.
//! - rustls does not say when a connection ends by a fatal alert: its sessions stay.
//! - Of each stored value rustls gets a copy, and of each opened ticket; those are its to wipe.
//! - A TLS 1.3 handshake stores `send_tls13_tickets` sessions, 2 by default, most of which nobody
//!   ever asks for. Where clients open one connection at a time, 1 halves the work.
//!
//! # Other versions of rustls
//!
//! What depends on rustls's version is in one file, `v0_23.rs`: its traits, [`attach`], and the
//! part of its encoding that is looked at. For 0.24 there will be a second one beside it, behind a
//! feature of its own with a renamed dependency, that gives the same store and the same tickets
//! the traits of 0.24 (`StoresServerSessions` with `ServerSessionKey`, and
//! `crypto::TicketProducer`). The version is in the digest to which sessions and tickets are bound,
//! so workers with either can share a segment during an upgrade, and never read each other's bytes.
//!
//! Tickets are sealed with [ring](https://docs.rs/ring). It needs a C compiler and some seconds to
//! build, no cmake, and brings fewer packages than the RustCrypto crates would. If rustls runs on
//! another provider (aws-lc-rs, say), ring is used for tickets alone, and nothing else needs it.

mod error;
mod store;
mod ticket;
mod v0_23;

use std::time::Duration;

use ring::digest;

pub use self::error::ConfigError;
pub use self::v0_23::{attach, context};

use crate::{Cache, Context};

/// How one `ServerConfig` uses the cache.
///
/// ```
/// use std::time::Duration;
/// use shmtls::rustls::{Config, Tickets};
///
/// let config = Config::new("www.example.com").lifetime(Duration::from_secs(600));
/// let stateless = config.clone().tickets(Tickets::SharedKeys);
/// # let _ = stateless;
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    name: Vec<u8>,
    lifetime: Option<Duration>,
    tickets: Tickets,
}

/// Who keeps the sessions of clients that support tickets.
///
/// ```
/// use shmtls::rustls::Tickets;
///
/// assert_eq!(Tickets::default(), Tickets::Stateful);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tickets {
    /// The cache: TLS 1.2 clients get session IDs, TLS 1.3 clients tickets that are IDs and
    /// resume once.
    #[default]
    Stateful,
    /// The client, in tickets that are sealed with the ring's keys; the cache serves TLS 1.2
    /// clients that do not support them. Tickets can be used again and again, so there is no early
    /// data.
    SharedKeys,
}

impl Config {
    /// The defaults for one certificate and one client-auth policy.
    ///
    /// Sessions are bound to a digest of the name, which need not be a host name. Every worker
    /// must give the same.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self { name: name.as_ref().to_vec(), lifetime: None, tickets: Tickets::default() }
    }

    /// How long a session resumes after it was stored, or a ticket after it was issued: whole
    /// seconds, from 1 s up to the cache's own lifetime, which is the default and never more than
    /// seven days (RFC 8446, section 4.6.1).
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// Who keeps the sessions of clients that support tickets.
    pub fn tickets(self, tickets: Tickets) -> Self {
        Self { tickets, ..self }
    }

    fn checked_lifetime(&self, cache: &Cache) -> Result<Duration, ConfigError> {
        let max = cache.lifetime();
        let found = self.lifetime.unwrap_or(max);
        let in_range = found >= Duration::from_secs(1) && found <= max;
        in_range.then_some(found).ok_or(ConfigError::Lifetime { found, max })
    }

    /// `stack` is the version of rustls: another one's bytes may mean something else.
    fn context(&self, stack: &str) -> Context {
        Context::from_digest(&sha256(&[b"shmtls host 1\0", stack.as_bytes(), b"\0", &self.name]))
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| hash.update(part));
    hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
