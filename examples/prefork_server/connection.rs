//! One connection: a handshake, a request, an answer, a clean end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process;
use std::time::Duration;

use openssl::sha::sha256;
use openssl::ssl::{Ssl, SslContext, SslRef, SslStream};

use crate::socket::Socket;

/// For the handshake, and again for the request: a client that stalls costs a thread, no more.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request need not end with a newline, but then this much silence ends it.
const SILENCE: Duration = Duration::from_millis(200);
const REQUEST_MAX: usize = 64 << 10;

pub(crate) fn serve(socket: TcpStream, context: &SslContext, worker: u16) -> Result<(), String> {
    socket.set_nodelay(true).map_err(|e| format!("cannot set TCP_NODELAY: {e}"))?;
    let mut stream = Ssl::new(context)
        .and_then(|ssl| SslStream::new(ssl, Socket::new(socket)))
        .map_err(|e| format!("cannot make a connection: {e}"))?;
    let end = converse(&mut stream, context, worker);
    if end.is_ok() {
        // The client may have gone already; then there is nobody to tell.
        let _ = stream.shutdown();
    }
    stream.get_mut().close();
    end
}

fn converse(
    stream: &mut SslStream<Socket>,
    context: &SslContext,
    worker: u16,
) -> Result<(), String> {
    let mut request = Vec::new();
    stream.get_mut().allow(PATIENCE);
    if context.max_early_data() > 0 {
        read_early(stream, &mut request, worker)?;
    }
    let early = !request.is_empty();
    stream.accept().map_err(|e| format!("no handshake: {e}"))?;
    stream.get_mut().send().map_err(|e| format!("no end of the handshake: {e}"))?;

    if read_request(stream, &mut request)? {
        stream.get_mut().allow(PATIENCE);
        let answer = answer(stream.ssl(), worker, early);
        stream
            .write_all(answer.as_bytes())
            .and_then(|()| stream.get_mut().send())
            .map_err(|e| format!("no answer sent: {e}"))?;
    }
    Ok(())
}

/// Early data is here to be used at once, so it is logged before the handshake ends: whoever
/// replays somebody's flight has no keys to end it with.
fn read_early(
    stream: &mut SslStream<Socket>,
    request: &mut Vec<u8>,
    worker: u16,
) -> Result<(), String> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read_early_data(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                if request.is_empty() {
                    // One write, so that the lines of all workers stay whole.
                    let _ =
                        io::stdout().write_all(format!("EARLYDATA worker={worker}\n").as_bytes());
                }
                request.extend_from_slice(&buffer[..len]);
            }
            Err(e) => return Err(format!("no early handshake: {e}")),
        }
    }
}

/// Reads up to the first newline, the end, or silence; says whether there is something to answer.
fn read_request(stream: &mut SslStream<Socket>, request: &mut Vec<u8>) -> Result<bool, String> {
    stream.get_mut().allow(if request.is_empty() { PATIENCE } else { SILENCE });
    let mut buffer = [0; 4096];
    while !request.contains(&b'\n') && request.len() < REQUEST_MAX {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => {
                request.extend_from_slice(&buffer[..len]);
                stream.get_mut().allow(SILENCE);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(!request.is_empty()),
            Err(e) => return Err(format!("no request: {e}")),
        }
    }
    Ok(true)
}

fn answer(ssl: &SslRef, worker: u16, early: bool) -> String {
    let pid = process::id();
    let proto = ssl.version_str();
    let reused = u8::from(ssl.session_reused());
    let early = u8::from(early);
    let digest = sha256(ssl.session().map_or(&[][..], |session| session.id()));
    let [a, b, c, d] = [digest[0], digest[1], digest[2], digest[3]];
    let body = format!(
        "pid={pid} worker={worker} proto={proto} reused={reused} early={early} \
         id={a:02x}{b:02x}{c:02x}{d:02x}\n"
    );
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}
