//! TLS connections without a network: both ends in this thread, over bytes in memory, so that a
//! test decides what arrives when, and can keep, replay or spoil it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslSession, SslStream, SslVersion,
};
use openssl::x509::extension::BasicConstraints;
use openssl::x509::{X509, X509NameBuilder};
use shmtls::openssl::{Config, attach};
use shmtls::{Cache, Options};

pub(crate) const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];
pub(crate) const TLS1_2: SslVersion = SslVersion::TLS1_2;
pub(crate) const TLS1_3: SslVersion = SslVersion::TLS1_3;

/// A cache of its own for a test, in which sessions live for an hour.
pub(crate) fn cache() -> Cache {
    cache_with_lifetime(Duration::from_secs(3600))
}

pub(crate) fn cache_with_lifetime(lifetime: Duration) -> Cache {
    Options::new().size(4 << 20).lifetime(lifetime).create_memfd().expect("4 MiB of memory")
}

// ---- servers ----------------------------------------------------------------------------------

pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// The certificate of every server here that says nothing else.
pub(crate) static SERVER: LazyLock<Identity> = LazyLock::new(|| Identity::new("server"));
pub(crate) static CLIENT: LazyLock<Identity> = LazyLock::new(|| Identity::new("client"));

impl Identity {
    pub(crate) fn new(common_name: &str) -> Identity {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        Self::with_key(common_name, PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap())
    }

    /// Self-signed.
    pub(crate) fn with_key(common_name: &str, key: PKey<Private>) -> Identity {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("CN", common_name).unwrap();
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap(); // X.509 v3
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Identity { certificate: builder.build(), key }
    }
}

/// Ready for `attach`.
pub(crate) fn unattached() -> SslContextBuilder {
    let mut builder = SslContext::builder(SslMethod::tls_server()).unwrap();
    builder.set_certificate(&SERVER.certificate).unwrap();
    builder.set_private_key(&SERVER.key).unwrap();
    builder
}

/// A worker's context, with the adapter's defaults.
pub(crate) fn server(cache: &Cache) -> SslContext {
    server_with(cache, &Config::new("lab"))
}

pub(crate) fn server_with(cache: &Cache, config: &Config) -> SslContext {
    let mut builder = unattached();
    attach(&mut builder, cache, config).expect("a sound configuration");
    builder.build()
}

// ---- connections ------------------------------------------------------------------------------

/// What one client does on its next connection.
pub(crate) struct Client {
    pub(crate) ctx: SslContextBuilder,
    pub(crate) server_name: Option<&'static str>,
    pub(crate) session: Option<SslSession>,
}

impl Client {
    pub(crate) fn new(version: SslVersion) -> Client {
        let mut ctx = SslContext::builder(SslMethod::tls_client()).unwrap();
        ctx.set_min_proto_version(Some(version)).unwrap();
        ctx.set_max_proto_version(Some(version)).unwrap();
        Client { ctx, server_name: None, session: None }
    }

    pub(crate) fn server_name(self, name: &'static str) -> Client {
        Client { server_name: Some(name), ..self }
    }

    /// With a copy, as it would come from the client's disk: OpenSSL's own client marks the session
    /// of a connection that it drops without close_notify.
    pub(crate) fn session(self, session: &SslSession) -> Client {
        let copy = SslSession::from_der(&session.to_der().unwrap()).unwrap();
        Client { session: Some(copy), ..self }
    }

    pub(crate) fn ssl(self) -> Ssl {
        let ctx = self.ctx.build();
        let mut ssl = Ssl::new(&ctx).unwrap();
        if let Some(name) = self.server_name {
            ssl.set_hostname(name).unwrap();
        }
        if let Some(session) = self.session {
            // SAFETY: the session is a fresh copy, which no other context knows.
            unsafe { ssl.set_session(&session) }.unwrap();
        }
        ssl
    }

    pub(crate) fn stream(self) -> (SslStream<End>, Wire) {
        let wire = Wire::default();
        (SslStream::new(self.ssl(), wire.client_end()).unwrap(), wire)
    }

    /// A handshake, one record each way, and both ends still open.
    pub(crate) fn visit(self, server: &SslContext) -> Visit {
        self.try_visit(server).expect("the handshake succeeds")
    }

    pub(crate) fn try_visit(self, server: &SslContext) -> Result<Visit, String> {
        let mut visit = self.start(server);
        visit.run()?;
        Ok(visit)
    }

    /// Nothing has been sent yet.
    pub(crate) fn start(self, server: &SslContext) -> Visit {
        self.start_at(Ssl::new(server).unwrap())
    }

    /// At a server's connection that a test has prepared.
    pub(crate) fn start_at(self, server: Ssl) -> Visit {
        let (client, wire) = self.stream();
        let server = SslStream::new(server, wire.server_end()).unwrap();
        Visit { client, server, wire, reused: false }
    }
}

/// One connection. Dropped without [`close`](Visit::close) it ends without close_notify.
pub(crate) struct Visit {
    pub(crate) client: SslStream<End>,
    pub(crate) server: SslStream<End>,
    pub(crate) wire: Wire,
    pub(crate) reused: bool,
}

impl Visit {
    /// The handshake, and one record each way.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        self.handshake()?;
        self.exchange()?;
        self.reused = self.server.ssl().session_reused();
        assert_eq!(self.reused, self.client.ssl().session_reused(), "both ends agree");
        Ok(())
    }

    fn handshake(&mut self) -> Result<(), String> {
        loop {
            let before = self.wire.moved();
            let client_done = done("client", self.client.connect())?;
            let server_done = done("server", self.server.accept())?;
            if client_done && server_done {
                return Ok(());
            }
            if self.wire.moved() == before {
                return Err("both ends wait".into());
            }
        }
    }

    /// The client has said its first word, and the server has answered.
    pub(crate) fn first_flights(&mut self) {
        assert_eq!(done("client", self.client.connect()), Ok(false));
        assert_eq!(done("server", self.server.accept()), Ok(false));
    }

    /// The client reads tickets on the way to the first byte.
    fn exchange(&mut self) -> Result<(), String> {
        let mut byte = [0];
        self.client.write_all(b"?").map_err(|e| format!("client: {e}"))?;
        self.server.read_exact(&mut byte).map_err(|e| format!("server: {e}"))?;
        self.server.write_all(b"!").map_err(|e| format!("server: {e}"))?;
        self.client.read_exact(&mut byte).map_err(|e| format!("client: {e}"))
    }

    /// What the client would resume with: in TLS 1.3 the newest ticket.
    pub(crate) fn session(&self) -> SslSession {
        self.client.ssl().session().expect("a session").to_owned()
    }

    pub(crate) fn close(mut self) -> SslSession {
        let session = self.session();
        let _ = self.server.shutdown();
        let _ = self.client.shutdown();
        let _ = self.server.shutdown();
        session
    }
}

fn done(who: &str, result: Result<(), openssl::ssl::Error>) -> Result<bool, String> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if e.code() == ErrorCode::WANT_READ => Ok(false),
        Err(e) => Err(format!("{who}: {:?} {e}", e.code())),
    }
}

// ---- the wire ---------------------------------------------------------------------------------

type Bytes = Rc<RefCell<VecDeque<u8>>>;

/// The bytes that are under way, in both directions.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    pub(crate) to_server: Bytes,
    pub(crate) to_client: Bytes,
    /// Everything that either end has written.
    log: Rc<RefCell<Vec<u8>>>,
}

pub(crate) struct End {
    inbox: Bytes,
    outbox: Bytes,
    log: Rc<RefCell<Vec<u8>>>,
}

impl Wire {
    /// On which a flight has arrived at the server, from nobody.
    pub(crate) fn with_arrived(flight: &[u8]) -> Wire {
        let wire = Wire::default();
        wire.to_server.borrow_mut().extend(flight);
        wire
    }

    pub(crate) fn server_end(&self) -> End {
        let (inbox, outbox) = (self.to_server.clone(), self.to_client.clone());
        End { inbox, outbox, log: self.log.clone() }
    }

    fn client_end(&self) -> End {
        let (inbox, outbox) = (self.to_client.clone(), self.to_server.clone());
        End { inbox, outbox, log: self.log.clone() }
    }

    fn moved(&self) -> usize {
        self.log.borrow().len()
    }

    pub(crate) fn saw(&self, bytes: &[u8]) -> bool {
        self.log.borrow().windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut inbox = self.inbox.borrow_mut();
        if inbox.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        inbox.read(buf)
    }
}

impl Write for End {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.outbox.borrow_mut().extend(buf);
        self.log.borrow_mut().extend(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
