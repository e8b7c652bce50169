//! As much of HTTP/1.1 as a scrape needs (RFC 9112): the request line, one answer, and goodbye.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// For a request, and again for the answer: nobody keeps the exporter from others for longer.
const PATIENCE: Duration = Duration::from_secs(5);
const HEAD_MAX: usize = 8 << 10;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Of GET and HEAD the answers differ by the body.
    pub(super) wants_body: bool,
    pub(super) path: String,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn plain(status: &'static str, body: &str) -> Self {
        let body = format!("{body}\n");
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }
}

impl Request {
    /// Reads one, to the end of its head; what is wrong with it is an answer.
    pub(super) fn read(stream: &mut TcpStream) -> io::Result<Result<Self, Answer>> {
        let due = Instant::now() + PATIENCE;
        let mut head = Vec::new();
        let mut piece = [0; 1024];
        while !ends(&head) {
            if head.len() > HEAD_MAX {
                let status = "431 Request Header Fields Too Large";
                return Ok(Err(Answer::plain(status, "a scrape needs no such head")));
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut piece)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                len => head.extend_from_slice(&piece[..len]),
            }
        }
        Ok(Self::parse(&head))
    }

    fn parse(head: &[u8]) -> Result<Self, Answer> {
        let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let words: Vec<_> = line.trim_end_matches('\r').split(' ').collect();
        let [method, target, version] = words[..] else {
            return Err(Answer::plain("400 Bad Request", "this is no request line"));
        };
        if !version.starts_with("HTTP/1.") {
            return Err(Answer::plain("505 HTTP Version Not Supported", "HTTP/1.1 is spoken here"));
        }
        let wants_body = match method {
            "GET" => true,
            "HEAD" => false,
            _ => return Err(Answer::plain("405 Method Not Allowed", "GET or HEAD")),
        };
        let path = target.split('?').next().unwrap_or_default().into();
        Ok(Self { wants_body, path })
    }
}

/// Whether the head is complete; old clients end lines without CR (RFC 9112, 2.2).
fn ends(head: &[u8]) -> bool {
    head.windows(4).any(|it| it == b"\r\n\r\n") || head.windows(2).any(|it| it == b"\n\n")
}

/// The connection ends behind it.
pub(super) fn send(stream: &mut TcpStream, answer: &Answer, with_body: bool) -> io::Result<()> {
    let Answer { status, content_type, body } = answer;
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}\
         Connection: close\r\n\r\n",
        body.len()
    );
    let text = if with_body { head + body } else { head };
    let due = Instant::now() + PATIENCE;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_write_timeout(Some(left))?;
        match stream.write(rest)? {
            0 => return Err(ErrorKind::WriteZero.into()),
            len => rest = &rest[len..],
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> &'static str {
        Request::parse(head.as_bytes()).expect_err("refused").status
    }

    #[test]
    fn request_lines() {
        let get = Request::parse(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").expect("one");
        assert_eq!(get, Request { wants_body: true, path: "/metrics".into() });
        assert!(!Request::parse(b"HEAD / HTTP/1.0\n\n").expect("one").wants_body);
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("GET /metrics HTTP/2\r\n\r\n"), "505 HTTP Version Not Supported");
        for text in ["\r\n\r\n", "GET\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "\u{16}\u{3}\u{1}\n\n"] {
            assert_eq!(status(text), "400 Bad Request", "{text:?}");
        }
    }
}
