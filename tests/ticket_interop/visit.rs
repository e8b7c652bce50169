//! A client's visit to a server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::ssl::{
    Ssl, SslContext, SslMethod, SslSession, SslSessionCacheMode, SslVerifyMode, SslVersion,
};

pub(crate) const VERSIONS: [SslVersion; 2] = [SslVersion::TLS1_2, SslVersion::TLS1_3];

pub(crate) struct Visit {
    /// What the server gave the client to come back with; where it gave nothing new, what the
    /// client came with.
    pub(crate) session: SslSession,
    pub(crate) reused: bool,
}

/// Shakes hands, asks for a page, and reads it to its end.
pub(crate) fn visit(port: u16, version: SslVersion, session: Option<&SslSession>) -> Visit {
    let mut context = SslContext::builder(SslMethod::tls_client()).expect("a context");
    context.set_verify(SslVerifyMode::NONE);
    context.set_min_proto_version(Some(version)).expect("a version");
    context.set_max_proto_version(Some(version)).expect("a version");
    context.set_session_cache_mode(SslSessionCacheMode::CLIENT | SslSessionCacheMode::NO_INTERNAL);
    let given = Arc::new(Mutex::new(None));
    let put = given.clone();
    context.set_new_session_callback(move |_, session| {
        *put.lock().expect("nobody panics here") = Some(session);
    });
    let context = context.build();
    let mut ssl = Ssl::new(&context).expect("a connection");
    ssl.set_hostname("localhost").expect("a name");
    if let Some(session) = session {
        // SAFETY: the session is of a context of the same library, and nothing else refers to it.
        unsafe { ssl.set_session(session) }.expect("a session");
    }
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a server");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let mut stream = ssl.connect(stream).expect("a handshake");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).expect("sent");
    let mut answer = Vec::new();
    // Without a close_notify of our own OpenSSL would not offer this session again.
    let _ = stream.read_to_end(&mut answer);
    let _ = stream.shutdown();
    let reused = stream.ssl().session_reused();
    assert!(!answer.is_empty(), "no answer from port {port}");
    let given = given.lock().expect("nobody panics here").take();
    let session = given.or_else(|| stream.ssl().session().map(ToOwned::to_owned));
    Visit { session: session.expect("a session"), reused }
}
