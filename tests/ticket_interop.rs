//! Ticket keys in other programs' formats, held against those programs: stock nginx and stock
//! HAProxy are given the very files that we load.
//!
//! A ticket also carries the issuer's session context, by which a server tells its own sessions
//! from those of others, and so no server resumes another product's ticket as it is. What is shown
//! here is what keys are for: what one seals, the other opens. A third party stands in between,
//! which opens a server's ticket with the keys as *our ring* has them and seals it anew, with
//! another IV or under another of our keys; the server must take it for its own.
#![allow(unsafe_code)] // None of its own; boards and forks in what it includes.

#[allow(dead_code, reason = "each test crate uses its part")]
#[path = "common/server.rs"]
mod server;

#[path = "common/raw_keys.rs"]
mod raw_keys;
#[path = "ticket_interop/others.rs"]
mod others;
#[path = "ticket_interop/ticket.rs"]
mod ticket;
#[path = "ticket_interop/visit.rs"]
mod visit;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openssl::rand::rand_bytes;
use shmtls::{Cache, KeyFiles, KeyFormat, KeyRole, Options};
use tempfile::TempDir;

use others::Other;
use raw_keys::{Raw, RawKey};
use server::{Server, certificate};
use ticket::Ticket;
use visit::{VERSIONS, visit};

/// Keys in a format, as files and as our ring has them.
struct Keys {
    format: KeyFormat,
    paths: Vec<PathBuf>,
    cache: Cache,
    dir: TempDir,
}

impl Keys {
    /// Three keys. In files of their own, in lines of one, or one behind the other, as the format
    /// wants it.
    fn new(format: KeyFormat) -> Self {
        let dir = certificate();
        let keys: Vec<Vec<u8>> = (0..3).map(|_| random(format.key_len())).collect();
        let files: Vec<Vec<u8>> = match format {
            KeyFormat::Haproxy48 | KeyFormat::Haproxy80 => {
                let lines = keys.iter().map(|key| STANDARD.encode(key) + "\n");
                vec![lines.collect::<String>().into_bytes()]
            }
            KeyFormat::Ats48 => vec![keys.concat()],
            _ => keys,
        };
        let paths = (0..files.len()).map(|n| dir.path().join(format!("{n}.key")));
        let paths: Vec<PathBuf> = paths.collect();
        for (path, file) in paths.iter().zip(&files) {
            fs::write(path, file).expect("written");
        }
        let cache = load(format, &paths);
        Self { format, paths, cache, dir }
    }

    /// The keys as they stand in the segment, each with its role.
    fn ring(&self) -> Vec<(RawKey, KeyRole)> {
        let status = self.cache.keys().status().expect("loaded");
        let ring = Raw::of(&self.cache).ring().expect("loaded");
        let roles = status.keys.iter().map(|key| key.role);
        ring.keys.into_iter().zip(roles).collect()
    }

    /// `FILE[,FILE]...:FORMAT`, as the example takes it.
    fn argument(&self) -> String {
        let (name, _) = KeyFormat::ALL.iter().find(|(_, f)| *f == self.format).expect("one of all");
        let paths: Vec<&str> = self.paths.iter().filter_map(|path| path.to_str()).collect();
        format!("{}:{name}", paths.join(","))
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand_bytes(&mut bytes).expect("random bytes");
    bytes
}

fn load(format: KeyFormat, paths: &[PathBuf]) -> Cache {
    let cache = Options::new().size(1 << 20).create_memfd().expect("a segment");
    cache.keys().load(&mut KeyFiles::new(format, paths)).expect("valid files");
    cache
}

/// What a server with these keys seals we open, with the key that our ring says encrypts, and what
/// we seal under any of the keys it opens.
fn check(keys: &Keys, ports: &[u16]) {
    let ring = keys.ring();
    assert_eq!(ring.len(), 3);
    for version in VERSIONS {
        let first = visit(ports[0], version, None);
        assert!(!first.reused);
        let ticket = Ticket::in_session(&first.session, &ring);
        assert_eq!(ticket.role, KeyRole::Current, "{:?} {version:?}", keys.format);
        let state = ticket.open(&ticket.key).expect("its MAC is of our key");
        // An SSL_SESSION in DER, whose padding was right.
        assert_eq!(state[0], 0x30, "{:?} {version:?}", keys.format);

        for port in ports {
            for (key, role) in &ring {
                let sealed = ticket.put(&Ticket::seal(&state, key));
                let resumed = visit(*port, version, Some(&sealed));
                assert!(resumed.reused, "{:?} {version:?}: {role:?}", keys.format);
            }
        }
        // The same bytes in the other order are another key: neither opens nor is opened.
        let swapped = RawKey { hmac: ticket.key.aes, aes: ticket.key.hmac, ..ticket.key };
        assert_eq!(ticket.open(&swapped), None);
        let sealed = ticket.put(&Ticket::seal(&state, &swapped));
        assert!(!visit(ports[0], version, Some(&sealed)).reused, "anything is accepted");
    }
}

#[test]
fn nginx_and_we_open_each_others_tickets_with_keys_of_48_bytes() {
    let keys = Keys::new(KeyFormat::Nginx48);
    let nginx = Other::nginx(keys.dir(), &keys.paths);
    check(&keys, &[nginx.port()]);
}

#[test]
fn nginx_and_we_open_each_others_tickets_with_keys_of_80_bytes() {
    let keys = Keys::new(KeyFormat::Nginx80);
    let nginx = Other::nginx(keys.dir(), &keys.paths);
    check(&keys, &[nginx.port()]);
}

/// Its role for each line is part of the format: the last but one encrypts.
#[test]
fn haproxy_and_we_open_each_others_tickets_with_keys_of_48_bytes() {
    let keys = Keys::new(KeyFormat::Haproxy48);
    let haproxy = Other::haproxy(keys.dir(), &keys.paths[0]);
    check(&keys, &[haproxy.port()]);
}

#[test]
fn haproxy_and_we_open_each_others_tickets_with_keys_of_80_bytes() {
    let keys = Keys::new(KeyFormat::Haproxy80);
    let haproxy = Other::haproxy(keys.dir(), &keys.paths[0]);
    check(&keys, &[haproxy.port()]);
}

/// And our own server, which has the keys from the same files, on each of its workers.
#[test]
fn the_example_server_uses_key_files_of_every_format() {
    for (name, format) in KeyFormat::ALL {
        let keys = Keys::new(format);
        let server = Server::start(&["--tickets", "on", "--ticket-keys", &keys.argument()]);
        assert!(server.output().contains("epoch 1"), "{name}: {}", server.output());
        check(&keys, &server.worker_ports());
    }
}

/// Same keys, other product: the ticket opens, and says that it is of another server's sessions.
/// That is a full handshake, never an error.
#[test]
fn another_products_ticket_is_a_full_handshake() {
    let keys = Keys::new(KeyFormat::Nginx80);
    let nginx = Other::nginx(keys.dir(), &keys.paths);
    let server = Server::start(&["--tickets", "on", "--ticket-keys", &keys.argument()]);
    for version in VERSIONS {
        for (from, to) in [(nginx.port(), server.port()), (server.port(), nginx.port())] {
            let ticket = visit(from, version, None).session;
            let next = visit(to, version, Some(&ticket));
            assert!(!next.reused, "{version:?}: from port {from} to {to}");
            assert!(visit(to, version, Some(&next.session)).reused, "{version:?}: port {to}");
        }
    }
}
