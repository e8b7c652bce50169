//! One connection: a handshake, with a session or without, and a clean end.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    self, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSession,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};

use serde::{Serialize, Serializer};
use shmtls::openssl::client::{offer, ticket_len};

use super::socket::Socket;

/// The three ways in which a client can come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    /// The client offers no ticket extension, as those that know session IDs only.
    #[serde(rename = "tls12_id")]
    Id12,
    #[serde(rename = "tls12_ticket")]
    Ticket12,
    /// Whatever the ticket is to the server: an ID in its cache, or the sealed session itself.
    #[serde(rename = "tls13")]
    Tls13,
}

/// Where connections go, and what is the same for all of them.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The server's name in the hello, if it has one.
    pub(crate) sni: Option<String>,
    pub(crate) alpn: Vec<String>,
    /// Sent after the handshake; empty for none.
    pub(crate) request: Vec<u8>,
    /// For a whole connection.
    pub(crate) timeout: Duration,
}

/// What one connection showed.
pub(crate) struct Visit<S = SslSession> {
    pub(crate) resumed: bool,
    /// From the first byte of the hello until the client could send data.
    pub(crate) handshake: Duration,
    /// What to offer next time; none if the server gave nothing of this kind.
    pub(crate) session: Option<S>,
    /// The server gave something new, and not what was offered again.
    pub(crate) renewed: bool,
    pub(crate) ticket_len: usize,
    /// The server said that it ends the connection, before it ended it.
    pub(crate) close_notify: bool,
}

/// Why there was no handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    Connect(String),
    Timeout,
    /// The request had no end of an answer.
    Silent,
    /// The server's own word, as RFC 8446 section 6 names it.
    Alert(String),
    Closed,
    NotTls,
    Other(String),
}

/// Makes connections of one kind.
pub(crate) struct Client<'a> {
    kind: Kind,
    context: SslContext,
    target: &'a Target,
}

/// The newest ticket of a connection; in TLS 1.3 it comes after the handshake.
static NEWEST: LazyLock<Index<Ssl, SslSession>> =
    LazyLock::new(|| Ssl::new_ex_index().expect("memory for an index"));

impl<'a> Client<'a> {
    pub(crate) fn new(kind: Kind, target: &'a Target) -> Result<Client<'a>, ErrorStack> {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        let version = match kind {
            Kind::Id12 | Kind::Ticket12 => SslVersion::TLS1_2,
            Kind::Tls13 => SslVersion::TLS1_3,
        };
        context.set_min_proto_version(Some(version))?;
        context.set_max_proto_version(Some(version))?;
        if kind == Kind::Id12 {
            context.set_options(SslOptions::NO_TICKET);
        }
        // Nothing is sent that a certificate would have to vouch for; and so old and small keys
        // are no reason not to measure either.
        context.set_verify(SslVerifyMode::NONE);
        context.set_cipher_list("DEFAULT:@SECLEVEL=0")?;
        if !target.alpn.is_empty() {
            context.set_alpn_protos(&alpn(&target.alpn))?;
        }
        keep_tickets(&mut context);
        Ok(Client { kind, context: context.build(), target })
    }

    /// Connects anew, so that whatever spreads connections over workers has its say.
    pub(crate) fn visit(&self, offered: Option<&SslSession>) -> Result<Visit, Trouble> {
        let mut ssl = self.ssl(offered).map_err(|e| Trouble::Other(e.to_string()))?;
        ssl.set_connect_state();
        let socket = Socket::connect(self.target.address, self.target.timeout)
            .map_err(|e| Trouble::connecting(&e))?;
        let mut stream = SslStream::new(ssl, socket).map_err(|e| Trouble::Other(e.to_string()))?;
        let start = Instant::now();
        stream.do_handshake().map_err(|e| Trouble::shaking_hands(&e))?;
        let handshake = start.elapsed();
        let resumed = stream.ssl().session_reused();
        let close_notify = self.converse(&mut stream)?;
        let session = self.session(&stream);
        let renewed = match (&session, offered) {
            (Some(new), Some(old)) => self.kind == Kind::Tls13 || new.id() != old.id(),
            (new, _) => new.is_some(),
        };
        let ticket_len = session.as_ref().map_or(0, |session| ticket_len(session));
        Ok(Visit { resumed, handshake, session, renewed, ticket_len, close_notify })
    }

    fn ssl(&self, offered: Option<&SslSession>) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        if let Some(name) = &self.target.sni {
            ssl.set_hostname(name)?;
        }
        if let Some(session) = offered {
            offer(&mut ssl, session)?;
        }
        Ok(ssl)
    }

    /// The request, if there is one, and everything that the server says until it closes: tickets
    /// of TLS 1.3 among it. Says whether the server closed properly.
    ///
    /// Without a request the client closes at once: what a server sends after the handshake is on
    /// its way by then, and nobody has to guess how long to wait for it.
    fn converse(&self, stream: &mut SslStream<Socket>) -> Result<bool, Trouble> {
        if !self.target.request.is_empty() {
            stream.ssl_write(&self.target.request).map_err(|e| Trouble::shaking_hands(&e))?;
            match read_all(stream)? {
                End::Silence => return Err(Trouble::Silent),
                End::Closed => {}
            }
        }
        // The server may be gone already; then there is nobody to tell.
        let _ = stream.shutdown();
        let _ = stream.get_mut().finish_sending();
        read_all(stream)?;
        Ok(stream.get_shutdown().contains(ssl::ShutdownState::RECEIVED))
    }

    fn session(&self, stream: &SslStream<Socket>) -> Option<SslSession> {
        let ssl = stream.ssl();
        let session = match self.kind {
            Kind::Tls13 => ssl.ex_data(*NEWEST).cloned()?,
            _ => ssl.session()?.to_owned(),
        };
        let usable = match self.kind {
            Kind::Id12 => !session.id().is_empty(),
            Kind::Ticket12 | Kind::Tls13 => ticket_len(&session) > 0,
        };
        usable.then_some(session)
    }
}

fn keep_tickets(context: &mut SslContextBuilder) {
    let mode = SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL;
    context.set_session_cache_mode(mode);
    context.set_new_session_callback(|ssl, session| ssl.set_ex_data(*NEWEST, session));
}

/// How reading ended.
enum End {
    Closed,
    /// The deadline came first.
    Silence,
}

/// Until the server closes or falls silent. Only a fatal alert is trouble: in TLS 1.3 a server
/// refuses a client, say for its missing certificate, after the client's handshake is over.
fn read_all(stream: &mut SslStream<Socket>) -> Result<End, Trouble> {
    let mut buffer = [0; 4096];
    loop {
        match stream.ssl_read(&mut buffer) {
            Ok(1..) => {}
            Ok(0) => return Ok(End::Closed),
            Err(e) => match Trouble::shaking_hands(&e) {
                alert @ Trouble::Alert(_) => return Err(alert),
                Trouble::Timeout => return Ok(End::Silence),
                _ => return Ok(End::Closed),
            },
        }
    }
}

/// Each name behind its length (RFC 7301).
fn alpn(names: &[String]) -> Vec<u8> {
    let entry = |name: &String| {
        let len = u8::try_from(name.len()).expect("checked with the arguments");
        [&[len], name.as_bytes()].concat()
    };
    names.iter().flat_map(entry).collect()
}

impl Trouble {
    fn connecting(e: &io::Error) -> Trouble {
        match e.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Trouble::Timeout,
            ErrorKind::ConnectionRefused => Trouble::Connect("connection refused".into()),
            _ => Trouble::Connect(e.to_string()),
        }
    }

    fn shaking_hands(e: &ssl::Error) -> Trouble {
        if let Some(e) = e.io_error() {
            return match e.kind() {
                ErrorKind::TimedOut => Trouble::Timeout,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Trouble::Closed,
                _ => Trouble::Other(e.to_string()),
            };
        }
        let reasons = e.ssl_error().map(ErrorStack::errors).unwrap_or_default();
        let Some(reason) = reasons.iter().find_map(|e| e.reason()) else {
            return Trouble::Closed;
        };
        match reason {
            "wrong version number" | "http request" => Trouble::NotTls,
            "unexpected eof while reading" => Trouble::Closed,
            // sslv3 alert handshake failure, tlsv1 alert protocol version, tlsv13 alert ...
            _ => match reason.split_once(" alert ") {
                Some((_, name)) => Trouble::Alert(name.replace(' ', "_")),
                None => Trouble::Other(reason.into()),
            },
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Connect(why) => write!(f, "cannot connect: {why}"),
            Trouble::Timeout => f.write_str("timeout"),
            Trouble::Silent => f.write_str("timeout: the request was not answered and closed"),
            Trouble::Alert(name) => write!(f, "alert {name}"),
            Trouble::Closed => f.write_str("the server closed the connection in the handshake"),
            Trouble::NotTls => f.write_str("the server does not speak TLS here"),
            Trouble::Other(why) => f.write_str(why),
        }
    }
}

/// In words, as for people.
impl Serialize for Trouble {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
