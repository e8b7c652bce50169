//! In the core dump of a worker that has served real connections: neither a session's secret nor a
//! ticket key, when the connections are over.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use openssl::ssl::{Ssl, SslSession, SslStream, SslVersion};
use shmtls::openssl::{Config, Tickets};

use super::canary::{Needles, PIECE};
use super::play::Play;
use super::procs::{alone, fork};
use super::scoreboard::Shared;
use super::tls_lab::{Client, SERVER, VERSIONS, server_with};

const VISITS: usize = 4;
/// Of a TLS 1.2 master secret, and room for any resumption secret of TLS 1.3.
const SECRET_LEN: usize = 48;

/// The secrets of all visits, each byte on its own and disguised.
type Notes = Shared<[[AtomicU64; SECRET_LEN]; VISITS]>;

const DISGUISE: u64 = 0x100;

/// OpenSSL hands us sessions and asks for keys, and so we have had both. It wipes its own copies,
/// but for one: OpenSSL 3.0 frees the plain text of a stateless ticket as it is.
#[test]
fn no_secret_is_in_the_core_dump_of_a_worker_whose_connections_are_over() {
    let _turn = alone();
    LazyLock::force(&SERVER);
    for version in VERSIONS {
        for tickets in [Tickets::Stateful, Tickets::SharedKeys] {
            visit_and_crash(version, tickets);
        }
    }
}

fn visit_and_crash(version: SslVersion, tickets: Tickets) {
    let play = Play::new("handshakes");
    let notes = Notes::new();
    let wires: [_; VISITS] = std::array::from_fn(|_| UnixStream::pair().expect("sockets"));
    let _worker = fork(|| {
        let cache = play.create();
        play.publish(&cache);
        let context = server_with(&cache, &Config::new("lab").tickets(tickets));
        wires.iter().for_each(|(_, wire)| serve(Ssl::new(&context).expect("memory"), wire));
        play.morgue.crash("worker");
    });
    let _client = fork(|| {
        let mut session = None;
        for (visit, (wire, _)) in wires.iter().enumerate() {
            let next = call(version, session.as_ref(), wire);
            note(&notes[visit], &next);
            session = Some(next);
        }
        play.morgue.crash("client");
    });
    let client = play.morgue.dumps("client");
    let worker = play.morgue.dumps("worker");
    let [.., last] = notes.each_ref().map(|note| Needles::of(&secret(note), PIECE));
    assert!(client.count(&last)[0] > 0, "a client that has its session still");
    let key = play.key.needles(PIECE);
    assert_eq!(worker.count(&key), [0, 0], "{version:?} {tickets:?}: pieces of the ticket key");
    if tickets == Tickets::Stateful {
        let secrets = notes.iter().map(|note| Needles::of(&secret(note), PIECE));
        let needles = secrets.reduce(Needles::and).expect("some");
        assert_eq!(worker.count(&needles), [0, 0], "{version:?}: pieces of the sessions' secrets");
    }
}

fn serve(ssl: Ssl, wire: &UnixStream) {
    let mut stream = SslStream::new(ssl, wire).expect("memory");
    stream.accept().expect("a handshake");
    stream.read_exact(&mut [0]).expect("a request");
    stream.write_all(b"!").expect("an answer");
    let _ = stream.shutdown();
}

/// One visit; resumes `session`, and gives back what the next one is to resume.
fn call(version: SslVersion, session: Option<&SslSession>, wire: &UnixStream) -> SslSession {
    let client = Client::new(version);
    let client = match session {
        Some(session) => client.session(session),
        None => client,
    };
    let mut stream = SslStream::new(client.ssl(), wire).expect("memory");
    stream.connect().expect("a handshake");
    stream.write_all(b"?").expect("a request");
    stream.read_exact(&mut [0]).expect("an answer");
    assert_eq!(stream.ssl().session_reused(), session.is_some());
    stream.ssl().session().expect("a session").to_owned()
}

fn note(place: &[AtomicU64; SECRET_LEN], session: &SslSession) {
    let mut secret = [0; SECRET_LEN];
    let len = session.master_key(&mut secret);
    for (to, byte) in place.iter().zip(&secret[..len]) {
        to.store(u64::from(*byte) ^ DISGUISE, SeqCst);
    }
}

fn secret(note: &[AtomicU64; SECRET_LEN]) -> Vec<u8> {
    let bytes = note.iter().map(|byte| byte.load(SeqCst)).take_while(|byte| *byte != 0);
    bytes.map(|byte| (byte ^ DISGUISE) as u8).collect()
}
