//! The exporter over HTTP. Whoever asks, and however slowly, it goes on.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::http::{self, Request, Response, TEXT};
use super::scrape::Scraper;

/// So many are served at a time; the kernel keeps others waiting.
const THREADS: usize = 16;
/// A request arrives within this time, and a response leaves, or the connection ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// Prometheus sends less than 400 bytes.
const REQUEST_MAX: usize = 8 << 10;

const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const INDEX: &str = "<!DOCTYPE html>\n<title>shmtls</title>\n\
                     <p>Figures of TLS session caches: <a href=\"/metrics\">metrics</a></p>\n";

/// Until a signal ends the tool.
pub(super) fn serve(listener: &TcpListener, scraper: &Scraper) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    match listener.accept() {
                        Ok((stream, _)) => drop(answer(&stream, scraper)),
                        // Such as too many open files, which passes.
                        Err(_) => thread::sleep(Duration::from_millis(100)),
                    }
                }
            });
        }
    });
}

/// One request, one response. A client that fails is left alone.
fn answer(stream: &TcpStream, scraper: &Scraper) -> io::Result<()> {
    let response = match read_head(Timed::new(stream)) {
        Ok(Some(head)) => respond(&head, scraper),
        Ok(None) => plain("431 Request Header Fields Too Large", "too long\n", false),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            plain("408 Request Timeout", "too slow\n", false)
        }
        Err(error) => return Err(error),
    };
    Timed::new(stream).write_all(&response)?;
    linger(stream)
}

fn respond(head: &[u8], scraper: &Scraper) -> Vec<u8> {
    let (request, head_only) = http::parse(head);
    match request {
        Request::Metrics => match scraper.scrape() {
            Ok(text) => {
                let it = Response { status: "200 OK", content_type: METRICS, body: &text };
                it.bytes(head_only)
            }
            Err(failure) => {
                plain("500 Internal Server Error", &format!("{}\n", failure.text()), head_only)
            }
        },
        Request::Index => {
            let content_type = "text/html; charset=utf-8";
            Response { status: "200 OK", content_type, body: INDEX }.bytes(head_only)
        }
        Request::Nothing => plain("404 Not Found", "there is only /metrics\n", head_only),
        Request::Method => plain("405 Method Not Allowed", "only GET and HEAD\n", head_only),
        Request::Malformed => plain("400 Bad Request", "this is HTTP/1.1\n", head_only),
    }
}

fn plain(status: &'static str, body: &str, head_only: bool) -> Vec<u8> {
    Response { status, content_type: TEXT, body }.bytes(head_only)
}

/// Up to the empty line; `None` if it is too long.
fn read_head(mut stream: Timed<'_>) -> io::Result<Option<Vec<u8>>> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !has_ended(&head) {
        if head.len() > REQUEST_MAX {
            return Ok(None);
        }
        match stream.read(&mut part)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&part[..n]),
        }
    }
    Ok(Some(head))
}

fn has_ended(head: &[u8]) -> bool {
    head.windows(4).any(|end| end == b"\r\n\r\n") || head.windows(2).any(|end| end == b"\n\n")
}

/// What is closed with bytes unread is reset, and the client may never see the response.
fn linger(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let (mut timed, mut part, mut rest) = (Timed::new(stream), [0; 1024], 64);
    while rest > 0 && timed.read(&mut part)? > 0 {
        rest -= 1;
    }
    Ok(())
}

/// A connection on which all that is read, or written, has to be within one time, however small
/// the pieces are.
struct Timed<'a> {
    stream: &'a TcpStream,
    end: Instant,
}

impl<'a> Timed<'a> {
    fn new(stream: &'a TcpStream) -> Self {
        Self { stream, end: Instant::now() + PATIENCE }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(timed_out)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(buffer).map_err(timed_out)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The kernel says that it would block.
fn timed_out(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address"));
        (client.expect("a connection"), listener.accept().expect("a connection").0)
    }

    fn soon(stream: &TcpStream) -> Timed<'_> {
        Timed { stream, end: Instant::now() + Duration::from_millis(200) }
    }

    #[test]
    fn who_does_not_read_is_left() {
        let (_client, server) = pair();
        let start = Instant::now();
        // More than all buffers between them.
        let written = soon(&server).write_all(&vec![0; 64 << 20]);
        assert_eq!(written.expect_err("it takes no more").kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_time_is_for_all_of_a_request() {
        let (client, server) = pair();
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                while start.elapsed() < Duration::from_secs(10) && (&client).write(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(10));
                }
            });
            let read = read_head(soon(&server));
            drop(server);
            assert_eq!(read.expect_err("it never ends").kind(), ErrorKind::TimedOut);
        });
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let (mut client, server) = pair();
        client.write_all(&vec![b'x'; 2 * REQUEST_MAX]).expect("written");
        assert_eq!(read_head(soon(&server)).expect("no error"), None);
    }
}
