//! Programs: what a server says, and what it and its workers leave, after real handshakes under
//! real keys from a file.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::canary::{Canary, Needles, PIECE};
use super::clients::{Protocol, SClient, s_client};
use super::crash::{memory_of, state};
use super::procs::{alone, fork};
use super::server::{Server, certificate, eventually};
use super::texts::Shown;

/// Operators put keys into files because everybody can read a command line; what became of them in
/// there is then found in a log, or in the core dump of a worker.
#[test]
fn a_server_shows_its_ticket_keys_to_nobody() {
    let _turn = alone();
    let keys = [Canary::new(80), Canary::new(80)];
    let dir = certificate();
    let paths = ["new.key", "old.key"].map(|name| dir.path().join(name));
    // In a process of its own: the server is forked from this one.
    fork(|| {
        for (key, path) in keys.iter().zip(&paths) {
            key.with(|bytes| fs::write(path, bytes)).expect("our own directory");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
        }
    })
    .join();
    let argument = format!("{},{}:nginx80", paths[0].display(), paths[1].display());
    let args = ["--segment", "memfd", "--tickets", "on", "--verbose", "--ticket-keys", &argument];
    let server = Server::start_in(dir, &args);

    let replies = s_client(&server, Protocol::Tls13);
    assert!(replies[1..].iter().all(|reply| reply.reused), "the keys are in use: {replies:?}");
    // Not TLS at all: what the server says of it, it says of others' bytes.
    let _ = SClient::new(&server, server.port(), Protocol::Tls12).run();
    fs::write(&paths[0], b"no key").expect("our own file");
    server.hang_up("expected a multiple of 80");

    let shown = keys.map(|key| key.with(|bytes| Shown::of(&bytes[16..])));
    let ways = |text: &str| shown.iter().flat_map(|key| key.ways_in(text)).collect::<Vec<_>>();
    assert!(server.output().contains("ticket keys: epoch 1"), "{}", server.output());
    assert_eq!(ways(&server.output()), [""; 0], "{}", server.output());
    let needles = keys.map(|key| key.with(|bytes| Needles::of(&bytes[16..], PIECE)));
    let [new, old] = needles;
    let needles = new.and(old);
    let processes = processes_of(&server);
    assert_eq!(processes.len(), 5, "four workers and their parent");
    for pid in processes {
        for file in ["cmdline", "environ"] {
            let bytes = fs::read(format!("/proc/{pid}/{file}")).expect("a process of ours");
            assert_eq!(needles.found_in(&bytes), 0, "{file}");
            assert_eq!(ways(&String::from_utf8_lossy(&bytes)), [""; 0], "{file}");
        }
        let found = stopped(pid, || {
            let regions = memory_of(pid);
            regions.iter().map(|region| needles.found_in(&region.bytes)).sum::<usize>()
        });
        assert_eq!(found, 0, "process {pid} would have them in its core dump");
    }
}

/// The parent first.
fn processes_of(server: &Server) -> Vec<i32> {
    let parent = server.pid().as_raw();
    let children = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(children).expect("a process of ours");
    let children = children.split_whitespace().map(|pid| pid.parse().expect("a process ID"));
    std::iter::once(parent).chain(children).collect()
}

/// Does `work` while a process stands still.
fn stopped<R>(pid: i32, work: impl FnOnce() -> R) -> R {
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("a process of ours");
    eventually("it stands still", || (state(pid) == Some('T')).then_some(()));
    let result = work();
    kill(Pid::from_raw(pid), Signal::SIGCONT).expect("a process of ours");
    result
}
