//! As much of HTTP/1.1 as a scrape needs: the first line of a request, and one response.

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Metrics,
    Index,
    Nothing,
    /// By another method than GET and HEAD.
    Method,
    Malformed,
}

/// The request, and whether only the head of the response is wanted.
pub(super) fn parse(head: &[u8]) -> (Request, bool) {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = str::from_utf8(line).unwrap_or_default().trim_end_matches('\r');
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return (Request::Malformed, false) };
    let is_token = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_token || !version.starts_with("HTTP/1.") {
        return (Request::Malformed, false);
    }
    let request = match (path(target), method) {
        (None, _) => Request::Malformed,
        (Some("/metrics"), "GET" | "HEAD") => Request::Metrics,
        (Some("/"), "GET" | "HEAD") => Request::Index,
        (Some("/metrics" | "/"), _) => Request::Method,
        _ => Request::Nothing,
    };
    (request, method == "HEAD")
}

/// Without the query, and without the host that a proxy's request has.
fn path(target: &str) -> Option<&str> {
    let path = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    path.starts_with('/').then(|| path.split(['?', '#']).next().unwrap_or_default())
}

#[derive(Debug)]
pub(super) struct Response<'a> {
    pub(super) status: &'static str,
    pub(super) content_type: &'static str,
    pub(super) body: &'a str,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

impl Response<'_> {
    pub(super) fn bytes(&self, head_only: bool) -> Vec<u8> {
        let Response { status, content_type, body } = self;
        let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\
             {allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let body = if head_only { "" } else { body };
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_clients_write_them() {
        let requests = [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", (Request::Metrics, false)),
            ("HEAD /metrics HTTP/1.0\n\n", (Request::Metrics, true)),
            ("GET /metrics?name=a HTTP/1.1\r\n", (Request::Metrics, false)),
            ("GET http://localhost:9798/metrics HTTP/1.1\r\n", (Request::Metrics, false)),
            ("GET http://localhost HTTP/1.1\r\n", (Request::Index, false)),
            ("GET / HTTP/1.1\r\n", (Request::Index, false)),
            ("GET /metrics/ HTTP/1.1\r\n", (Request::Nothing, false)),
            ("POST /metrics HTTP/1.1\r\n", (Request::Method, false)),
            ("POST /other HTTP/1.1\r\n", (Request::Nothing, false)),
        ];
        for (text, expected) in requests {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_request() {
        let bytes: [&[u8]; 8] = [
            b"",
            b"\r\n",
            b"GET /metrics\r\n",
            b"GET  /metrics HTTP/1.1\r\n",
            b"GET metrics HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"\x16\x03\x01\x02\x00\x01 / HTTP/1.1",
            b"G\xff /metrics HTTP/1.1\r\n",
        ];
        for bytes in bytes {
            assert_eq!(parse(bytes), (Request::Malformed, false), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_has_the_length_of_what_it_leaves_out() {
        let it = Response { status: "405 Method Not Allowed", content_type: TEXT, body: "no\n" };
        let text = String::from_utf8(it.bytes(true)).expect("ASCII");
        assert!(text.contains("Content-Length: 3\r\nAllow: GET, HEAD\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
    }
}
