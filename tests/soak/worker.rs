//! A worker: TLS servers of its own, behind listeners that all workers share.

use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
#[cfg(feature = "rustls")]
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use nix::unistd::alarm;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};
use openssl::x509::X509;
use openssl::x509::extension::BasicConstraints;
use shmtls::openssl::{Config, Tickets, attach};
use shmtls::{Cache, Rotation};

use crate::certificate;

/// Ways to keep sessions, each with a listener of its own: [`Door`].
pub(crate) const DOORS: usize = if cfg!(feature = "rustls") { 3 } else { 2 };
/// Longer than anything here takes: who is silent for so long hangs, and an alarm ends it.
pub(crate) const ALARM_SECS: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// OpenSSL: session IDs, and single-use tickets that are IDs.
    Stateful,
    /// OpenSSL: tickets under the shared keys.
    SharedKeys,
    /// rustls: as the first.
    #[cfg(feature = "rustls")]
    Rustls,
}

impl Door {
    pub(crate) const ALL: [Door; DOORS] = [
        Door::Stateful,
        Door::SharedKeys,
        #[cfg(feature = "rustls")]
        Door::Rustls,
    ];
}

/// The server's certificate and key, the same for all.
pub(crate) struct Identity(X509, PKey<Private>);

impl Identity {
    pub(crate) fn new() -> Self {
        let made = certificate::self_made(&BasicConstraints::new());
        made.map(|(certificate, key)| Self(certificate, key)).expect("a certificate")
    }
}

/// The listeners of all workers: whoever is free accepts, and the dead are not missed.
pub(crate) struct Listeners([UnixListener; DOORS]);

impl Listeners {
    pub(crate) fn new() -> Self {
        let listen = |door| UnixListener::bind_addr(&address(std::process::id(), door));
        Self(Door::ALL.map(|door| listen(door).expect("a name that nobody has")))
    }
}

/// Where that supervisor's workers listen.
pub(crate) fn address(supervisor: u32, door: Door) -> SocketAddr {
    let name = format!("shmtls-soak-{supervisor}-{door:?}");
    SocketAddr::from_abstract_name(name).expect("short enough")
}

/// Serves for ever, with a thread for each door.
pub(crate) fn work(
    cache: &Cache,
    identity: &Identity,
    rotation: Rotation,
    listeners: &Listeners,
    served: &AtomicU64,
) {
    let _rotator = cache.rotate_keys(rotation).expect("a thread");
    thread::scope(|threads| {
        for (door, listener) in Door::ALL.into_iter().zip(&listeners.0) {
            let server = Server::at(door, cache, identity);
            threads.spawn(move || {
                loop {
                    let (socket, _) = listener.accept().expect("a connection");
                    alarm::set(ALARM_SECS);
                    // Without a timeout: then a wait goes on by itself after SIGSTOP and SIGCONT.
                    server.answer(&socket);
                    served.fetch_add(1, SeqCst);
                }
            });
        }
    });
}

enum Server {
    OpenSsl(SslContext),
    #[cfg(feature = "rustls")]
    Rustls(Arc<rustls::ServerConfig>),
}

impl Server {
    fn at(door: Door, cache: &Cache, identity: &Identity) -> Self {
        match door {
            Door::Stateful => Self::OpenSsl(openssl(cache, identity, Tickets::Stateful)),
            Door::SharedKeys => Self::OpenSsl(openssl(cache, identity, Tickets::SharedKeys)),
            #[cfg(feature = "rustls")]
            Door::Rustls => Self::Rustls(rustls(cache, identity)),
        }
    }

    /// A handshake, a byte each way, and a clean end. What goes wrong is seen by the client, who
    /// says so.
    fn answer(&self, socket: &UnixStream) {
        let _ = match self {
            Self::OpenSsl(context) => answer_with_openssl(context, socket),
            #[cfg(feature = "rustls")]
            Self::Rustls(config) => answer_with_rustls(config, socket),
        };
    }
}

fn openssl(cache: &Cache, Identity(certificate, key): &Identity, tickets: Tickets) -> SslContext {
    let mut builder = SslContext::builder(SslMethod::tls_server()).expect("a context");
    builder.set_certificate(certificate).expect("a certificate");
    builder.set_private_key(key).expect("its key");
    let config = Config::new("soak").tickets(tickets);
    attach(&mut builder, cache, &config).expect("a sound configuration");
    builder.build()
}

fn answer_with_openssl(context: &SslContext, socket: &UnixStream) -> io::Result<()> {
    let mut stream = SslStream::new(Ssl::new(context)?, socket)?;
    stream.accept().map_err(io::Error::other)?;
    exchange(&mut stream)?;
    let _ = stream.shutdown();
    Ok(())
}

fn exchange(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(b"!")?;
    stream.flush()
}

#[cfg(feature = "rustls")]
fn rustls(cache: &Cache, Identity(certificate, key): &Identity) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

    let chain = vec![CertificateDer::from(certificate.to_der().expect("a certificate"))];
    let key = PrivatePkcs8KeyDer::from(key.private_key_to_pkcs8().expect("a key"));
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(chain, key.into()).expect("its key");
    config.send_tls13_tickets = 1;
    let ours = shmtls::rustls::Config::new("soak");
    shmtls::rustls::attach(&mut config, cache, &ours).expect("a sound configuration");
    Arc::new(config)
}

#[cfg(feature = "rustls")]
fn answer_with_rustls(config: &Arc<rustls::ServerConfig>, socket: &UnixStream) -> io::Result<()> {
    let connection = rustls::ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(connection, socket);
    exchange(&mut stream)?;
    stream.conn.send_close_notify();
    stream.flush()
}
