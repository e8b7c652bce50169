//! The adapter for OpenSSL (crate [`openssl`](https://docs.rs/openssl)): [`attach`] makes every
//! worker resume every session.
//!
//! ```no_run
//! use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod};
//! use shmtls::openssl::{Config, attach};
//!
//! let cache = shmtls::Options::new().open_or_create("web")?;
//! let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
//! builder.set_certificate_chain_file("cert.pem")?;
//! builder.set_private_key_file("key.pem", SslFiletype::PEM)?;
//! attach(&mut builder, &cache, &Config::new("www.example.com"))?;
//! let acceptor = builder.build();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It needs OpenSSL 3.0 or newer, and connections that are made with [`Ssl::new`]. Everything
//! here works from any thread, and after a fork in the child as in the parent: contexts may be
//! built before the fork or in each worker.
//!
//! # What a handshake sees
//!
//! - TLS 1.2 sessions are found by session ID, as often as the client likes until they expire.
//!   OpenSSL stores them after the handshake's last flight, so a client that is back at another
//!   worker at once, without having heard a byte, may be too early.
//! - TLS 1.3 sessions are stateful tickets by default: the ticket is the session's ID and the first
//!   use takes the session out of the cache, so of any number of uses in any workers exactly one
//!   resumes (RFC 8446, section 8.1). A client has one ticket per connection then; one that opens
//!   several connections at once resumes the first. [`Config::reuse_tls13`] allows it more.
//! - With [`Tickets::SharedKeys`] the client keeps the session, in a ticket under the keys that all
//!   processes share ([`Cache::keys`]). In TLS 1.3 it always gets a new ticket, in TLS 1.2 when the
//!   key of the old one no longer encrypts (RFC 5077, section 3.3).
//! - A chain of resumptions ends when the full handshake that it began with is as old as
//!   [`Config::lifetime`]. The lifetime that tickets tell the client is what is left of it.
//! - Whatever is wrong with the cache is a miss, which means a full handshake. No error and no
//!   panic reaches OpenSSL.
//!
//! # Virtual hosts
//!
//! A session is bound to the [`Config::new`] name, all certificates, the verify mode, the client CA
//! names and the trusted certificates of the `SSL_CTX`, and to the server name (SNI) and verify
//! mode of the connection. OpenSSL compares neither of the last two, which is how sessions of an
//! open host came to resume at one that demands client certificates (CVE-2025-23419,
//! CVE-2025-23048). What the application's own certificate or verify callback decides cannot be
//! seen, nor the trusted certificates that OpenSSL looks up in a directory when it needs them, nor
//! a store that one connection has (`SSL_set1_verify_cert_store(3)`): give hosts that differ in
//! these different names.
//!
//! A server that switches contexts by server name attaches all of them, and switches in the
//! **client-hello callback**: OpenSSL looks up sessions right after it. Its servername callback
//! comes after the lookup, so connections that switch there find nothing, every time. Should one
//! find a session before it switches (because the routing of its name has changed since), then the
//! handshake fails and the session is removed; the client's next one is a full handshake.
//!
//! All this holds for tickets that clients keep too, whoever has their keys: what a session in the
//! cache is found under is written into the ticket (`SSL_CTX_set_session_ticket_cb(3)`), and one
//! that was issued under something else is a full handshake.
//!
//! # Early data (0-RTT)
//!
//! `set_max_early_data` is all it takes. A replayed first flight is accepted once, over all
//! workers, because its ticket can be taken once.
//!
//! OpenSSL's own protection looks for the ticket in the process's internal cache, so with an
//! external cache it refuses every resumption, or, if the internal cache is used too, accepts a
//! replay in the process that issued the ticket. [`attach`] therefore turns it off
//! (`SSL_OP_NO_ANTI_REPLAY`) where tickets are stateful and single-use, and only there. The other
//! recipe that works, to keep it and to call `SSL_CTX_add_session` inside the get callback, decides
//! in two places: it adds a lock of the whole `SSL_CTX` and a second, private copy of the session
//! for OpenSSL to remove, and it breaks resumption after a HelloRetryRequest, for which OpenSSL
//! asks twice. OpenSSL's check of the ticket's age stays on in both.
//!
//! # When sessions are removed
//!
//! By a fatal alert, sent or received (RFC 5246, section 7.2.2): all that the connection was given
//! or resumed. *Not* by a connection that ends without close_notify, though OpenSSL's remove
//! callback is called then too, and at the exit of a worker: it does not say why, and wired to a
//! shared cache it takes the hit rate of impolite clients to zero. So the adapter sets no remove
//! callback, and learns of alerts from the connection's info callback (`SSL_set_info_callback(3)`),
//! behind which the application's own still runs. An alert that could not be sent, because the peer
//! had gone, is an unclean close.
//!
//! # Limits
//!
//! An `SSL` object should serve one connection: `SSL_clear` keeps the last server name. A verify
//! mode that changes on a connection after the handshake (post-handshake authentication) gives its
//! later tickets a context of their own, in which no first handshake looks.
//!
//! [`Ssl::new`]: ::openssl::ssl::Ssl::new

mod callbacks;
mod context;
mod der;
mod error;
mod ffi;
mod session_api;
mod ticket_binding;
mod ticket_keys;

use std::time::Duration;

use ::openssl::ssl::{SslContextBuilder, SslOptions, SslSessionCacheMode};

pub use self::context::context;
// For `shmtls probe`, which must not be unsafe itself.
pub use self::error::{ConfigError, InsertError};
#[doc(hidden)]
pub use self::ffi::client;
pub use self::session_api::{session_get, session_get_buffer, session_insert, session_remove};

use self::context::Host;
use crate::{Cache, Origin};

/// No ticket lives longer (RFC 8446, section 4.6.1).
const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How one `SSL_CTX` uses the cache.
///
/// ```
/// use std::time::Duration;
/// use shmtls::openssl::{Config, Tickets};
///
/// let config = Config::new("www.example.com").lifetime(Duration::from_secs(600));
/// let stateless = config.clone().tickets(Tickets::Stateless);
/// # let _ = stateless;
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    name: Vec<u8>,
    lifetime: Option<Duration>,
    tickets: Tickets,
    reuse_tls13: bool,
}

/// Who keeps the sessions of clients that support tickets.
///
/// ```
/// use shmtls::openssl::Tickets;
///
/// assert_eq!(Tickets::default(), Tickets::Stateful);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tickets {
    /// The cache: TLS 1.2 clients get session IDs, TLS 1.3 clients tickets that are IDs.
    #[default]
    Stateful,
    /// The client, in tickets under the keys of [`Cache::keys`], which all processes share and
    /// [`Cache::rotate_keys`] renews; the cache serves TLS 1.2 clients that do not support tickets.
    /// Tickets can be used again and again, so there is no early data.
    SharedKeys,
    /// The client, in tickets that OpenSSL encrypts with a key of this context alone; the cache
    /// serves TLS 1.2 clients that do not support them. Tickets can be used again and again, so
    /// there is no early data.
    Stateless,
}

impl Config {
    /// The defaults for a virtual host, or for a group of them that trust each other's sessions.
    ///
    /// The name is part of the digest to which sessions are bound, and need not be a host name.
    /// Every worker must give the same.
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            lifetime: None,
            tickets: Tickets::default(),
            reuse_tls13: false,
        }
    }

    /// How long sessions resume after the full handshake: whole seconds, from 1 s up to the
    /// cache's own lifetime and never more than seven days. The default is that maximum.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        Self { lifetime: Some(lifetime), ..self }
    }

    /// Who keeps the sessions of clients that support tickets.
    pub fn tickets(self, tickets: Tickets) -> Self {
        Self { tickets, ..self }
    }

    /// Lets a stateful TLS 1.3 ticket resume more than once, for clients that open several
    /// connections at once. A passive observer can link such connections (RFC 8446, appendix C.4).
    /// Refused together with early data.
    pub fn reuse_tls13(self, yes: bool) -> Self {
        Self { reuse_tls13: yes, ..self }
    }

    fn single_use(&self) -> bool {
        self.tickets == Tickets::Stateful && !self.reuse_tls13
    }

    fn tickets_in_words(&self) -> &'static str {
        match self.tickets {
            Tickets::SharedKeys | Tickets::Stateless => "stateless tickets",
            Tickets::Stateful if self.reuse_tls13 => "stateful tickets that are reused",
            Tickets::Stateful => "stateful single-use tickets",
        }
    }

    fn checked_lifetime(&self, cache: &Cache) -> Result<Duration, ConfigError> {
        let max = cache.lifetime().min(MAX_LIFETIME);
        let found = self.lifetime.unwrap_or(max);
        let in_range = found >= Duration::from_secs(1) && found <= max;
        in_range.then_some(found).ok_or(ConfigError::Lifetime { found, max })
    }
}

/// Makes connections of this context store their sessions in the cache and resume from it.
///
/// Call it **last**, when the certificates with their private keys and the policy for client
/// certificates are set: sessions are bound to them. What it sets: the cache mode (`SERVER`, and
/// `NO_INTERNAL`, or else an exiting worker's `SSL_CTX_free` would tell of the end of every
/// session), the session ID context, the timeout, the new, get and session ticket callbacks; with
/// [`Tickets::Stateful`] also `SSL_OP_NO_TICKET`, one ticket per TLS 1.3 handshake, and, unless
/// tickets are reused, `SSL_OP_NO_ANTI_REPLAY`. The context keeps a handle of the cache.
///
/// # Errors
///
/// [`ConfigError`] for what would be unsafe or would never resume. The context is as it was then,
/// except after [`ConfigError::OpenSsl`].
pub fn attach(
    builder: &mut SslContextBuilder,
    cache: &Cache,
    config: &Config,
) -> Result<(), ConfigError> {
    let lifetime = config.checked_lifetime(cache)?;
    check(builder, config)?;
    if config.tickets == Tickets::SharedKeys && cache.keys().epoch() == 0 {
        return Err(ConfigError::NoTicketKeys);
    }
    let certificates = ffi::certificates(builder);
    if certificates.is_empty() {
        return Err(ConfigError::NoCertificate);
    }
    let digest = context::digest(builder, &config.name, &certificates)?;

    builder.set_session_cache_mode(SslSessionCacheMode::SERVER | SslSessionCacheMode::NO_INTERNAL);
    builder.set_session_id_context(&digest)?;
    ffi::set_timeout(builder, lifetime.as_secs() as u32);
    if config.tickets == Tickets::Stateful {
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_num_tickets(1)?;
    }
    if config.tickets == Tickets::SharedKeys {
        ticket_keys::install(builder);
    }
    ticket_binding::install(builder);
    if config.single_use() {
        // Also without early data: then whoever turns it on later finds it safe, and not dead.
        builder.set_options(ffi::NO_ANTI_REPLAY);
    }
    let cache = cache.with_origin(Origin::Handshake);
    let reuse_tls13 = config.reuse_tls13;
    builder.set_ex_data(Host::index()?, Host { cache, digest, lifetime, reuse_tls13 });
    callbacks::install(builder)?;
    Ok(())
}

/// The combinations that can be seen now and that are dead or unsafe at run time.
fn check(builder: &SslContextBuilder, config: &Config) -> Result<(), ConfigError> {
    let ctx = ffi::context(builder);
    let ours = Host::of(ctx).is_some();
    if let Some(callback) = ffi::session_callback(builder).filter(|_| !ours) {
        return Err(ConfigError::CallbackTaken { callback });
    }
    let options = builder.options();
    if config.tickets != Tickets::Stateful && options.contains(SslOptions::NO_TICKET) {
        return Err(ConfigError::TicketsForbidden);
    }
    if !config.single_use() {
        let tickets = config.tickets_in_words();
        let max_early_data = ctx.max_early_data();
        if max_early_data > 0 {
            return Err(ConfigError::EarlyData { max_early_data, tickets });
        }
        if options.contains(ffi::NO_ANTI_REPLAY) {
            return Err(ConfigError::AntiReplayOff { tickets });
        }
    }
    Ok(())
}
