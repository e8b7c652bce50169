//! Sessions that one worker stored and another resumes, with TLS clients that nobody here wrote.
//!
//! The servers are the examples `prefork_server` and `rustls_prefork`; what a test believes is the
//! body of their answers, and beside it the client's own opinion where the client has one.

mod common {
    pub(crate) mod clients;
    pub(crate) mod forwarder;
    pub(crate) mod server;
}

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;

use common::clients::{self, Protocol, SClient, the_reply};
use common::server::{Reply, Server, WORKERS, certificate, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn openssl_s_client_resumes_on_every_worker() {
    each_protocol(clients::s_client);
}

#[test]
fn curl_resumes_on_every_worker() {
    each_protocol(clients::curl);
}

#[test]
fn python_resumes_on_every_worker() {
    each_protocol(clients::python);
}

#[test]
fn gnutls_cli_resumes_on_another_worker() {
    for server in each_server() {
        for protocol in Protocol::ALL {
            let replies = clients::gnutls(&server, protocol);
            let [reply] = &replies[..] else { panic!("one answer was expected: {replies:?}") };
            // Its first connection went to worker 0.
            assert_eq!((reply.worker, reply.reused), (1, true), "{protocol:?}: {reply:?}");
            assert_eq!(reply.proto, protocol.name());
        }
    }
}

#[test]
fn two_servers_share_a_named_segment() {
    let segment = NamedSegment(format!("interop-{}", std::process::id()));
    let cert = certificate();
    let same_cert = tempfile::tempdir().expect("a temporary directory");
    for file in ["cert.pem", "key.pem"] {
        fs::copy(cert.path().join(file), same_cert.path().join(file)).expect("a small file");
    }
    let args = ["--segment", &segment.0, "--context", "interop"];
    let one = Server::start_in(cert, &args);
    let other = Server::start_in(same_cert, &args);

    for protocol in Protocol::ALL {
        let session = one.dir().join("session");
        let first = visit(&one, 0, protocol, |client| client.save(&session));
        let second = visit(&other, 0, protocol, |client| client.offer(&session));
        assert!(!first.reused && second.reused, "{first:?}, then {second:?}");
        assert_ne!(first.pid, second.pid);
    }
}

#[test]
fn early_data_is_accepted_once_over_all_workers() {
    let server = Server::start(&["--tls", "1.3", "--early-data", "16384"]);
    let session = server.dir().join("ticket");
    visit(&server, 0, Protocol::Tls13, |client| client.save(&session));

    let first = visit(&server, 1, Protocol::Tls13, |c| c.offer(&session).early(&server, false));
    assert!(first.early && first.reused, "{first:?}");
    for worker in 0..WORKERS {
        let again =
            visit(&server, worker, Protocol::Tls13, |c| c.offer(&session).early(&server, true));
        assert!(!again.early && !again.reused, "the same ticket again: {again:?}");
    }
    let accepted = |line: &&str| line.starts_with("EARLYDATA");
    assert_eq!(Vec::from_iter(server.output().lines().filter(accepted)), ["EARLYDATA worker=1"]);
}

#[test]
fn a_killed_worker_is_forked_again_and_sessions_live_on() {
    let server = Server::start(&["--tls", "both"]);
    for protocol in Protocol::ALL {
        let [of_killed, of_other] = ["killed", "other"].map(|name| server.dir().join(name));
        let killed = visit(&server, 0, protocol, |client| client.save(&of_killed));
        visit(&server, 1, protocol, |client| client.save(&of_other));

        kill(Pid::from_raw(killed.pid), Signal::SIGKILL).expect("worker 0 is running");
        let found = visit(&server, 2, protocol, |client| client.offer(&of_killed));
        assert!(found.reused, "stored by the worker that was killed: {found:?}");

        let port = server.worker_port(0);
        eventually("worker 0 is back", || TcpStream::connect(("127.0.0.1", port)).ok());
        let reborn = visit(&server, 0, protocol, |client| client.offer(&of_other));
        assert!(reborn.reused, "by the worker forked anew: {reborn:?}");
        assert_ne!(reborn.pid, killed.pid);
    }
}

#[test]
fn the_shared_port_resumes_whoever_answers() {
    let server = Server::start(&["--tls", "both"]);
    for protocol in Protocol::ALL {
        let session = server.dir().join("session");
        let visit_any = |client: SClient| the_reply(&client.save(&session).run());
        visit_any(SClient::new(&server, server.port(), protocol));
        for _ in 0..8 {
            let reply = visit_any(SClient::new(&server, server.port(), protocol).offer(&session));
            assert!(reply.reused, "{protocol:?}: {reply:?}");
        }
    }
}

/// An operator changes the key files by hand: nobody restarts, and a broken file changes nothing.
#[test]
fn sighup_reads_the_ticket_keys_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    let write = |path: &PathBuf, key: u8| fs::write(path, [key; 80]).expect("a small file");
    write(&first, 1);
    write(&second, 2);
    let keys = format!("{},{}:nginx80", first.display(), second.display());
    let server = Server::start(&["--tickets", "on", "--ticket-keys", &keys]);
    let [old, new] = ["old", "new"].map(|name| server.dir().join(name));
    visit(&server, 0, Protocol::Tls13, |client| client.save(&old));

    write(&first, 3);
    write(&second, 1);
    server.hang_up("ticket keys: epoch 2");
    visit(&server, 1, Protocol::Tls13, |client| client.save(&new));
    let resumes = |worker, session: &PathBuf| {
        visit(&server, worker, Protocol::Tls13, |client| client.offer(session)).reused
    };
    assert!(resumes(2, &old) && resumes(3, &new), "the old key decrypts, the new one encrypts");

    fs::write(&first, [4; 79]).expect("a small file");
    server.hang_up("found 79 bytes, expected a multiple of 80");
    assert!(resumes(0, &new), "the ring is as it was");

    write(&first, 3);
    write(&second, 5);
    server.hang_up("ticket keys: epoch 3");
    assert!(!resumes(1, &old), "its key is gone");
}

#[test]
fn sigterm_ends_the_server_and_its_workers() {
    let server = Server::start(&[]);
    let ports = server.worker_ports();
    let status = server.stop();
    assert!(status.success(), "{status}");
    for port in ports {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "{port} is still served");
    }
}

// ---- helpers ----------------------------------------------------------------------------------

/// Both TLS stacks, with the sessions in the segment, and in tickets under keys that change every
/// second.
fn each_server() -> impl Iterator<Item = Server> {
    let modes: [&[&str]; 2] = [&["--tickets", "off"], &["--tickets", "on", "--rotate", "1"]];
    let rustls = cfg!(feature = "rustls").then_some("rustls_prefork");
    let examples = ["prefork_server"].into_iter().chain(rustls);
    let servers = examples.flat_map(move |name| modes.map(|mode| (name, mode)));
    servers.map(|(name, mode)| Server::start_example(name, mode))
}

/// For both protocols the client's first visit is a full handshake, every later one is resumed,
/// and each meets another worker.
fn each_protocol(client: fn(&Server, Protocol) -> Vec<Reply>) {
    for server in each_server() {
        for protocol in Protocol::ALL {
            let replies = client(&server, protocol);
            let reused: Vec<bool> = replies.iter().map(|reply| reply.reused).collect();
            assert_eq!(reused, [false, true, true, true], "{protocol:?}: {replies:#?}");
            let pids: BTreeSet<i32> = replies.iter().map(|reply| reply.pid).collect();
            assert_eq!(pids.len(), usize::from(WORKERS), "{protocol:?}: {replies:#?}");
            assert!(replies.iter().all(|reply| reply.proto == protocol.name()), "{replies:#?}");
        }
    }
}

/// One visit of `openssl s_client` to one worker, which has to be the one that answers.
fn visit(
    server: &Server,
    worker: u16,
    protocol: Protocol,
    how: impl FnOnce(SClient) -> SClient,
) -> Reply {
    let client = SClient::new(server, server.worker_port(worker), protocol);
    let reply = the_reply(&how(client).run());
    assert_eq!((reply.worker, &*reply.proto), (worker, protocol.name()));
    reply
}

/// A name under /dev/shm that is gone again when the test ends.
struct NamedSegment(String);

impl Drop for NamedSegment {
    fn drop(&mut self) {
        let _ = fs::remove_file(PathBuf::from("/dev/shm").join(format!("shmtls.{}", self.0)));
    }
}
