//! rustls connections without a network: both ends in this thread, so that a test decides what
//! arrives when, and clients whose sessions a test can keep, offer again, or spoil.

use std::fmt;
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use shmtls::rustls::{Config, Tickets, attach};
use shmtls::{Cache, Options, TicketKey};

use crate::identity::Identity;

pub(crate) type Version = &'static SupportedProtocolVersion;

pub(crate) const VERSIONS: [Version; 2] = [&TLS12, &TLS13];
pub(crate) const MODES: [Tickets; 2] = [Tickets::Stateful, Tickets::SharedKeys];

/// The certificate of every server here.
pub(crate) static SERVER: LazyLock<Identity> = LazyLock::new(|| Identity::self_made().unwrap());

/// A cache in which sessions live for an hour, and a ring of one ticket key.
pub(crate) fn cache() -> Cache {
    let options = Options::new().size(4 << 20).lifetime(Duration::from_secs(3600));
    let cache = options.create_memfd().expect("4 MiB of memory");
    cache.keys().publish(vec![TicketKey::random().unwrap()]).unwrap();
    cache
}

// ---- servers ----------------------------------------------------------------------------------

/// Ready for `attach`.
pub(crate) fn unattached() -> ServerConfig {
    let config = ServerConfig::builder().with_no_client_auth();
    config.with_single_cert(SERVER.chain.clone(), SERVER.key.clone_key()).unwrap()
}

/// A worker's config.
pub(crate) fn server(cache: &Cache, tickets: Tickets) -> Arc<ServerConfig> {
    server_with(cache, &Config::new("lab").tickets(tickets))
}

pub(crate) fn server_with(cache: &Cache, config: &Config) -> Arc<ServerConfig> {
    let mut server = unattached();
    attach(&mut server, cache, config).expect("a sound configuration");
    Arc::new(server)
}

// ---- clients ----------------------------------------------------------------------------------

/// One client with a memory for sessions.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) config: Arc<ClientConfig>,
    wallet: Arc<Wallet>,
}

impl Client {
    /// Offers each TLS 1.3 ticket once, and the newest first.
    pub(crate) fn new(version: Version) -> Client {
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        let mut config =
            config.with_root_certificates(SERVER.roots().unwrap()).with_no_client_auth();
        let wallet = Arc::new(Wallet::default());
        config.resumption = Resumption::store(wallet.clone());
        config.enable_early_data = true;
        Client { config: Arc::new(config), wallet }
    }

    /// How many TLS 1.3 tickets it could offer.
    pub(crate) fn tickets(&self) -> usize {
        self.wallet.tls13.lock().unwrap().len()
    }

    pub(crate) fn connection(&self) -> ClientConnection {
        self.connection_to("localhost")
    }

    pub(crate) fn connection_to(&self, name: &'static str) -> ClientConnection {
        let name = ServerName::try_from(name).unwrap();
        ClientConnection::new(self.config.clone(), name).unwrap()
    }

    /// Its next first flight, as an observer sees it: with a session on offer.
    pub(crate) fn hello(&self) -> Vec<u8> {
        sent(&mut self.connection())
    }

    /// A handshake and a byte each way; says whether it resumed.
    pub(crate) fn visit(&self, server: &Arc<ServerConfig>) -> bool {
        self.try_visit(server).expect("the handshake succeeds")
    }

    pub(crate) fn try_visit(&self, server: &Arc<ServerConfig>) -> Result<bool, rustls::Error> {
        let server = ServerConnection::new(server.clone()).unwrap();
        converse(self.connection(), server)
    }
}

/// Runs a connection to its end; says whether it resumed.
pub(crate) fn converse(
    mut client: ClientConnection,
    mut server: ServerConnection,
) -> Result<bool, rustls::Error> {
    while client.is_handshaking() || server.is_handshaking() {
        to_server(&mut client, &mut server)?;
        to_client(&mut server, &mut client)?;
    }
    let mut byte = [0];
    client.writer().write_all(b"?").unwrap();
    to_server(&mut client, &mut server)?;
    server.reader().read_exact(&mut byte).expect("the client's byte");
    server.writer().write_all(b"!").unwrap();
    to_client(&mut server, &mut client)?;
    client.reader().read_exact(&mut byte).expect("the server's byte");
    assert_eq!(client.handshake_kind(), server.handshake_kind(), "both ends agree");
    Ok(client.handshake_kind() == Some(HandshakeKind::Resumed))
}

/// Whether a worker resumes what a first flight offers, whoever sent it.
pub(crate) fn resumes(worker: &Arc<ServerConfig>, hello: &[u8]) -> bool {
    let mut server = ServerConnection::new(worker.clone()).unwrap();
    receive(&mut server, hello).expect("a flight that is in order");
    server.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// What a client has to say now.
pub(crate) fn sent(client: &mut ClientConnection) -> Vec<u8> {
    let mut flight = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut flight).unwrap();
    }
    flight
}

pub(crate) fn to_server(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    receive(server, &sent(client))
}

fn to_client(
    server: &mut ServerConnection,
    client: &mut ClientConnection,
) -> Result<(), rustls::Error> {
    let mut flight = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut flight).unwrap();
    }
    let mut flight = &flight[..];
    while !flight.is_empty() {
        client.read_tls(&mut flight).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

/// Bytes from whomever arrive at a server.
pub(crate) fn receive(server: &mut ServerConnection, flight: &[u8]) -> Result<(), rustls::Error> {
    let mut flight = flight;
    while !flight.is_empty() {
        server.read_tls(&mut flight).unwrap();
        server.process_new_packets()?;
    }
    Ok(())
}

/// A client's sessions, whatever the server's name.
#[derive(Default)]
struct Wallet {
    tls12: Mutex<Option<Tls12ClientSessionValue>>,
    tls13: Mutex<Vec<Tls13ClientSessionValue>>,
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wallet")
    }
}

impl ClientSessionStore for Wallet {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.tls12.lock().unwrap() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.tls12.lock().unwrap().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        *self.tls12.lock().unwrap() = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.tls13.lock().unwrap().push(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tls13.lock().unwrap().pop()
    }
}
