//! One connection: a handshake, a request, an answer, a clean end.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection, Stream};

/// For each wait: a client that stalls costs a thread, no more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the client may take to close, once it has its answer.
const FAREWELL: Duration = Duration::from_secs(1);
const REQUEST_MAX: usize = 64 << 10;

pub(crate) fn serve(
    worker: u32,
    mut socket: TcpStream,
    config: &Arc<ServerConfig>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    let mut connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    // rustls keeps its session IDs to itself, so each session carries a name of its own. It comes
    // back in TLS 1.3 only.
    let mut name = [0; 4];
    config
        .crypto_provider()
        .secure_random
        .fill(&mut name)
        .map_err(|_| io::Error::other("no random"))?;
    connection.set_resumption_data(&name);

    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let mut request = Vec::new();
    if let Some(mut early) = connection.early_data() {
        early.read_to_end(&mut request)?;
    }
    let early = !request.is_empty();
    let mut stream = Stream::new(&mut connection, &mut socket);
    let mut buffer = [0; 4096];
    while !request.contains(&b'\n') && request.len() < REQUEST_MAX {
        match stream.read(&mut buffer)? {
            0 => break,
            len => request.extend_from_slice(&buffer[..len]),
        }
    }
    let answer = answer(stream.conn, worker, early, name);
    stream.write_all(answer.as_bytes())?;
    connection.send_close_notify();
    while connection.wants_write() {
        connection.write_tls(&mut socket)?;
    }
    // A socket closed with unread bytes resets the connection, and the client may lose the answer.
    socket.shutdown(Shutdown::Write)?;
    socket.set_read_timeout(Some(FAREWELL))?;
    while matches!(socket.read(&mut buffer), Ok(1..)) {}
    Ok(())
}

fn answer(connection: &ServerConnection, worker: u32, early: bool, name: [u8; 4]) -> String {
    let proto = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let reused = u8::from(connection.handshake_kind() == Some(HandshakeKind::Resumed));
    let id = connection.received_resumption_data().unwrap_or(&name);
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = format!(
        "pid={} worker={worker} proto={proto} reused={reused} early={} id={id}\n",
        process::id(),
        u8::from(early),
    );
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
