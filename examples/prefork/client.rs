//! A TLS client: OpenSSL's, with the certificate and the name checked.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslSession, SslStream, SslVersion};

use crate::fleet::PATIENCE;
use crate::identity::Identity;

const REQUEST: &[u8] = b"who are you?\n";

pub(crate) struct Client(SslConnector);

pub(crate) struct Visit {
    pub(crate) reused: bool,
    pub(crate) early: bool,
    /// To be offered on the next visit.
    pub(crate) session: SslSession,
}

impl Client {
    pub(crate) fn of(server: &Identity, version: SslVersion) -> Result<Client, String> {
        let make = || {
            let mut builder = SslConnector::builder(SslMethod::tls_client())?;
            builder.cert_store_mut().add_cert(server.certificate.clone())?;
            builder.set_min_proto_version(Some(version))?;
            builder.set_max_proto_version(Some(version))?;
            Ok(Client(builder.build()))
        };
        make().map_err(|e: ErrorStack| format!("cannot make a client: {e}"))
    }

    /// A handshake, a line each way, and a clean end, so that the session is where it belongs
    /// before the next visit: OpenSSL stores a TLS 1.2 session after the handshake.
    pub(crate) fn visit(&self, port: u16, session: Option<&SslSession>) -> Result<Visit, String> {
        let stream = SslStream::new(self.ssl(session)?, connect(port)?);
        converse(stream.map_err(|e| format!("cannot connect: {e}"))?)
    }

    /// The same, with the request sent early, before the handshake, as well.
    pub(crate) fn visit_early(&self, port: u16, session: &SslSession) -> Result<Visit, String> {
        let stream = SslStream::new(self.ssl(Some(session))?, connect(port)?);
        let mut stream = stream.map_err(|e| format!("cannot connect: {e}"))?;
        stream.write_early_data(REQUEST).map_err(|e| format!("no early data sent: {e}"))?;
        converse(stream)
    }

    /// The bytes of a first flight with early data, as whoever watches the network has them.
    pub(crate) fn capture_flight(&self, session: &SslSession) -> Result<Vec<u8>, String> {
        let mut stream = SslStream::new(self.ssl(Some(session))?, Recorder(Vec::new()))
            .map_err(|e| format!("cannot make a flight: {e}"))?;
        stream.write_early_data(REQUEST).map_err(|e| format!("no early data sent: {e}"))?;
        Ok(stream.get_ref().0.clone())
    }

    #[allow(unsafe_code, reason = "the openssl crate has no safe way to offer a session")]
    fn ssl(&self, session: Option<&SslSession>) -> Result<Ssl, String> {
        let failed = |e| format!("cannot make a connection: {e}");
        let mut ssl = self.0.configure().and_then(|c| c.into_ssl("localhost")).map_err(failed)?;
        if let Some(session) = session {
            // SAFETY: each client offers only sessions of its own visits, so of its own context.
            unsafe { ssl.set_session(session) }.map_err(failed)?;
        }
        Ok(ssl)
    }
}

fn connect(port: u16) -> Result<TcpStream, String> {
    let set_up = |socket: &TcpStream| {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))
    };
    TcpStream::connect(("127.0.0.1", port))
        .and_then(|socket| set_up(&socket).map(|()| socket))
        .map_err(|e| format!("cannot connect to port {port}: {e}"))
}

fn converse(mut stream: SslStream<TcpStream>) -> Result<Visit, String> {
    let mut answer = String::new();
    stream.connect().map_err(|e| format!("no handshake: {e}"))?;
    stream
        .write_all(REQUEST)
        .and_then(|()| stream.read_to_string(&mut answer))
        .map_err(|e| format!("no answer: {e}"))?;
    // The worker closed first, and may be gone.
    let _ = stream.shutdown();

    let reused = stream.ssl().session_reused();
    if !answer.contains(&format!("reused={reused} ")) {
        return Err(format!("client and server disagree about resumption: {answer:?}"));
    }
    let session = stream.ssl().session().ok_or("a connection without a session")?.to_owned();
    Ok(Visit { reused, early: answer.contains("early=true"), session })
}

/// A socket that keeps what is written and never has anything to read.
struct Recorder(Vec<u8>);

impl Read for Recorder {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(ErrorKind::WouldBlock.into())
    }
}

impl Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
