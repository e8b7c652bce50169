//! TLS clients: rustls's, with the certificate and the name checked, and `openssl s_client`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, Stream,
    SupportedProtocolVersion,
};
use tempfile::NamedTempFile;

use crate::connection::PATIENCE;
use crate::identity::Identity;

const REQUEST: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

#[derive(Clone)]
pub(crate) struct Client(Arc<ClientConfig>);

impl Client {
    pub(crate) fn of(
        server: &Identity,
        version: &'static SupportedProtocolVersion,
    ) -> Result<Client, String> {
        let roots = server.roots().map_err(|e| format!("cannot trust the server: {e}"))?;
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        Ok(Client(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }

    /// Another client of this kind, without any sessions.
    pub(crate) fn new_here(&self) -> Client {
        let mut config = ClientConfig::clone(&self.0);
        config.resumption = Resumption::in_memory_sessions(8);
        Client(Arc::new(config))
    }

    /// A handshake, a request, an answer; says whether it resumed.
    pub(crate) fn visit(&self, port: u16) -> Result<bool, String> {
        let name = ServerName::try_from("localhost").expect("a host name");
        let mut connection = ClientConnection::new(self.0.clone(), name)
            .map_err(|e| format!("cannot make a connection: {e}"))?;
        let mut socket = connect(port)?;
        let mut stream = Stream::new(&mut connection, &mut socket);
        let mut answer = String::new();
        stream.write_all(REQUEST).map_err(|e| format!("no handshake: {e}"))?;
        stream.read_to_string(&mut answer).map_err(|e| format!("no answer: {e}"))?;
        let reused = connection.handshake_kind() == Some(HandshakeKind::Resumed);
        if says_reused(&answer)? != reused {
            return Err(format!("client and server disagree about resumption: {answer:?}"));
        }
        Ok(reused)
    }
}

/// `openssl s_client`, with a file for its session.
pub(crate) struct SClient {
    version: &'static str,
    session: NamedTempFile,
    has_session: bool,
}

impl SClient {
    /// What there is; `None` if there is none.
    pub(crate) fn version() -> Option<String> {
        let output = Command::new("openssl").arg("version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    pub(crate) fn new(version: &SupportedProtocolVersion) -> Result<SClient, String> {
        let version = match version.version {
            ProtocolVersion::TLSv1_3 => "-tls1_3",
            _ => "-tls1_2",
        };
        let session = NamedTempFile::new().map_err(|e| format!("no temporary file: {e}"))?;
        Ok(SClient { version, session, has_session: false })
    }

    /// As [`Client::visit`].
    pub(crate) fn visit(&mut self, port: u16) -> Result<bool, String> {
        let failed = |e| format!("cannot run openssl s_client: {e}");
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-servername", "localhost", self.version]);
        command.args(["-connect", &format!("127.0.0.1:{port}")]);
        command.arg("-sess_out").arg(self.session.path());
        if self.has_session {
            command.arg("-sess_in").arg(self.session.path());
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        // It ends when the server does, so its input may end at once.
        child.stdin.take().expect("a pipe").write_all(REQUEST).map_err(failed)?;
        let output = child.wait_with_output().map_err(failed)?;
        self.has_session = true;
        says_reused(&String::from_utf8_lossy(&output.stdout))
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

fn says_reused(answer: &str) -> Result<bool, String> {
    match (answer.contains(" reused=1 "), answer.contains(" reused=0 ")) {
        (true, false) => Ok(true),
        (false, true) => Ok(false),
        _ => Err(format!("an odd answer: {answer:?}")),
    }
}
