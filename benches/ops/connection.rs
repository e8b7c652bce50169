//! A server's connection after a real handshake, as OpenSSL's callbacks are given it, and sessions
//! as that handshake made them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;

use openssl::ssl::{Ssl, SslContext, SslMethod, SslRef, SslSession, SslStream, SslVersion};
use shmtls::Cache;
use shmtls::openssl::{Config, attach};

use crate::identity::Identity;

pub(crate) struct Connection {
    stream: SslStream<UnixStream>,
    /// The session of the handshake, and where its ID lies in it.
    der: Vec<u8>,
    id_at: usize,
}

impl Connection {
    /// One with a client that sends no server name.
    pub(crate) fn new(cache: &Cache, version: SslVersion) -> Self {
        let context = server(cache, version);
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        let client = thread::spawn(move || client(theirs, version));
        let ssl = Ssl::new(&context).expect("a connection");
        let mut stream = SslStream::new(ssl, ours).expect("a stream");
        stream.accept().expect("a handshake");
        stream.write_all(b"!").expect("the client reads it");
        client.join().expect("a handshake");

        let session = stream.ssl().session().expect("a session");
        let (id, der) = (session.id(), session.to_der().expect("its DER"));
        assert_eq!(id.len(), 32);
        let id_at = der.windows(32).position(|part| part == id).expect("its ID");
        Self { stream, der, id_at }
    }

    pub(crate) fn ssl(&self) -> &SslRef {
        self.stream.ssl()
    }

    /// The session of the handshake, as `i2d_SSL_SESSION` writes it.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// The session that this handshake would have made with another ID.
    pub(crate) fn session(&self, id: &[u8]) -> SslSession {
        let mut der = self.der.clone();
        der[self.id_at..][..id.len()].copy_from_slice(id);
        SslSession::from_der(&der).expect("a session")
    }
}

fn server(cache: &Cache, version: SslVersion) -> SslContext {
    let mut builder = SslContext::builder(SslMethod::tls_server()).expect("a context");
    builder.set_min_proto_version(Some(version)).expect("a version");
    builder.set_max_proto_version(Some(version)).expect("a version");
    let identity = Identity::self_made().expect("a certificate");
    identity.install(&mut builder).expect("it fits");
    attach(&mut builder, cache, &Config::new("bench")).expect("a sound configuration");
    builder.build()
}

fn client(socket: UnixStream, version: SslVersion) {
    let mut builder = SslContext::builder(SslMethod::tls_client()).expect("a context");
    builder.set_max_proto_version(Some(version)).expect("a version");
    let ssl = Ssl::new(&builder.build()).expect("a connection");
    let mut stream = SslStream::new(ssl, socket).expect("a stream");
    stream.connect().expect("a handshake");
    stream.read_exact(&mut [0]).expect("one byte");
}
