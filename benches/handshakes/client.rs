//! A TLS client: OpenSSL's, with the certificate and the name checked.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt::Linger};
use openssl::error::ErrorStack;
use openssl::ssl::{Ssl, SslConnector, SslMethod, SslSession, SslStream, SslVersion};

use crate::identity::Identity;
use crate::message;
use crate::server::PATIENCE;

pub(crate) struct Client {
    connector: SslConnector,
    address: SocketAddr,
    /// Of the next visit.
    number: u64,
}

pub(crate) struct Visit {
    pub(crate) resumed: bool,
    /// To be offered on the next visit.
    pub(crate) session: SslSession,
}

impl Client {
    pub(crate) fn of(
        server: &Identity,
        version: SslVersion,
        address: SocketAddr,
    ) -> Result<Self, String> {
        let make = || {
            let mut builder = SslConnector::builder(SslMethod::tls_client())?;
            builder.cert_store_mut().add_cert(server.certificate.clone())?;
            builder.set_min_proto_version(Some(version))?;
            builder.set_max_proto_version(Some(version))?;
            let number = u64::from(std::process::id()) << 32;
            Ok(Self { connector: builder.build(), address, number })
        };
        make().map_err(|e: ErrorStack| format!("cannot make a client: {e}"))
    }

    /// A handshake, a request and its answer, and a clean end.
    pub(crate) fn visit(&mut self, session: Option<&SslSession>) -> Result<Visit, String> {
        self.number += 1;
        let request = self.number.to_le_bytes();
        let socket = connect(self.address).map_err(|e| format!("cannot connect: {e}"))?;
        let stream = SslStream::new(self.ssl(session)?, socket);
        let mut stream = stream.map_err(|e| format!("cannot connect: {e}"))?;
        stream.connect().map_err(|e| format!("no handshake: {e}"))?;
        let answer = ask(&mut stream, request).map_err(|e| format!("no answer: {e}"))?;
        // The server has closed already.
        let _ = stream.shutdown();

        let resumed = stream.ssl().session_reused();
        if answer != message::answer(request, resumed) {
            return Err(format!("a wrong answer of {} bytes; resumed: {resumed}", answer.len()));
        }
        let session = stream.ssl().session().ok_or("a connection without a session")?.to_owned();
        Ok(Visit { resumed, session })
    }

    #[allow(unsafe_code, reason = "the openssl crate has no safe way to offer a session")]
    fn ssl(&self, session: Option<&SslSession>) -> Result<Ssl, String> {
        let failed = |e| format!("cannot make a connection: {e}");
        let configured = self.connector.configure().and_then(|c| c.into_ssl("localhost"));
        let mut ssl = configured.map_err(failed)?;
        if let Some(session) = session {
            // SAFETY: each client offers only sessions of its own visits, so of its own context.
            unsafe { ssl.set_session(session) }.map_err(failed)?;
        }
        Ok(ssl)
    }
}

/// Whatever the server says until it ends the connection.
fn ask(stream: &mut SslStream<TcpStream>, request: [u8; 8]) -> io::Result<Vec<u8>> {
    let mut answer = Vec::with_capacity(message::ANSWER);
    stream.write_all(&request)?;
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address)?;
    // Both ends have said all when it is closed, and a port that waits for late segments would be
    // missed after so many visits.
    setsockopt(&socket, Linger, &linger { l_onoff: 1, l_linger: 0 })?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}
