//! The same promises over real processes: workers that were forked, with an `SSL_CTX` that was
//! built before or after the fork, and nothing in common but the segment.
//!
//! A fork copies whatever locks other threads hold at that moment, OpenSSL's too, and the other
//! tests are threads. So each of these runs again as the only test of a process of its own.

use std::collections::VecDeque;
use std::env;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use openssl::ssl::{Ssl, SslSession, SslStream, SslVersion};

use shmtls::TicketKey;
use shmtls::openssl::{Config, Tickets};

use super::early_data::{accepts, capture, eager};
use crate::tls_lab::{Client, SERVER, TLS1_3, VERSIONS, cache, server, server_with};

const WORKERS: usize = 4;
const ALONE: &str = "SHMTLS_TEST_ALONE";

#[test]
fn every_worker_resumes_what_any_other_stored() {
    alone("processes::every_worker_resumes_what_any_other_stored", resume_everywhere);
}

fn resume_everywhere() {
    for version in VERSIONS {
        let cache = cache();
        let inherited = server(&cache);
        let workers = [true, false, true, false].map(|inherits| {
            Worker::fork(|connections| {
                let ctx = if inherits { inherited.clone() } else { server(&cache) };
                for connection in connections.incoming() {
                    answer(Ssl::new(&ctx).unwrap(), connection.unwrap());
                }
            })
        });
        let (mut session, reused) = visit(&workers[0], version, None);
        assert!(!reused);
        for worker in workers.iter().cycle().skip(1).take(3 * WORKERS) {
            let (next, reused) = visit(worker, version, Some(&session));
            assert!(reused, "{version:?}");
            session = next;
        }
        // A TLS 1.2 session stays the one that the first worker stored, and was asked for 3 times.
        let foreign = if version == TLS1_3 { 12 } else { 9 };
        let stats = cache.stats();
        assert_eq!((stats.hits, stats.foreign_hits), (12, foreign), "{version:?}");
    }
}

/// 204 rotations, under 2, 4 and 8 workers, while clients of either version come back all the time.
#[test]
fn no_rotation_costs_a_resumption() {
    alone("processes::no_rotation_costs_a_resumption", rotate_under_load);
}

fn rotate_under_load() {
    const ROTATIONS: usize = 34;
    const KEPT: usize = 12;
    let key = || TicketKey::random().unwrap();
    let config = Config::new("lab").tickets(Tickets::SharedKeys);
    for (workers, version) in [2, 4, 8].into_iter().flat_map(|n| VERSIONS.map(|v| (n, v))) {
        let cache = cache();
        // The second is the next one: known to all one rotation before it encrypts.
        let mut keys = VecDeque::from([key(), key()]);
        cache.keys().publish(keys.iter().cloned().collect()).unwrap();
        let workers: Vec<Worker> = (0..workers)
            .map(|_| {
                Worker::fork(|connections| {
                    let ctx = server_with(&cache, &config);
                    for connection in connections.incoming() {
                        answer(Ssl::new(&ctx).unwrap(), connection.unwrap());
                    }
                })
            })
            .collect();
        let done = AtomicBool::new(false);
        let visits: usize = thread::scope(|scope| {
            let client = |offset: usize| {
                let (mut session, _) = visit(&workers[offset], version, None);
                let mut visits = 0;
                while !done.load(Relaxed) || visits < 20 {
                    visits += 1;
                    let worker = &workers[(visits * 7 + offset) % workers.len()];
                    let (next, reused) = visit(worker, version, Some(&session));
                    assert!(reused, "{version:?}, {} workers, visit {visits}", workers.len());
                    session = next;
                }
                visits
            };
            let clients = [0, 1].map(|offset| scope.spawn(move || client(offset)));
            for _ in 0..ROTATIONS {
                thread::sleep(Duration::from_millis(10));
                // The next one takes over, and another is next.
                let next = keys.remove(1).unwrap();
                keys.push_front(next);
                keys.insert(1, key());
                keys.truncate(KEPT);
                cache.keys().publish(keys.iter().cloned().collect()).unwrap();
            }
            done.store(true, Relaxed);
            clients.into_iter().map(|client| client.join().unwrap()).sum()
        });
        let stats = cache.stats();
        assert_eq!(stats.tickets_unknown_key, 0);
        assert_eq!((stats.tickets_current_key + stats.tickets_old_key) as usize, visits);
    }
}

/// 16 copies of one captured flight arrive at 4 workers at once.
#[test]
fn a_flight_that_reaches_all_workers_at_once_is_accepted_once() {
    alone(
        "processes::a_flight_that_reaches_all_workers_at_once_is_accepted_once",
        replay_everywhere,
    );
}

fn replay_everywhere() {
    const COPIES: usize = 4;
    let cache = cache();
    let workers = [(); WORKERS].map(|()| {
        Worker::fork(|connections| {
            let ctx = eager(&cache);
            for connection in connections.incoming() {
                let mut connection = connection.unwrap();
                let mut flight = Vec::new();
                connection.read_to_end(&mut flight).unwrap();
                connection.write_all(&[u8::from(accepts(&ctx, &flight))]).unwrap();
            }
        })
    });
    let issuer = eager(&cache);
    for round in 0..50 {
        let flight = capture(&Client::new(TLS1_3).visit(&issuer).close());
        let mut copies: Vec<TcpStream> =
            workers.iter().flat_map(|worker| [(); COPIES].map(|()| connect(worker))).collect();
        for copy in &mut copies {
            copy.write_all(&flight).unwrap();
        }
        for copy in &copies {
            copy.shutdown(Shutdown::Write).unwrap();
        }
        let accepted: u8 = copies.iter_mut().map(verdict).sum();
        assert_eq!(accepted, 1, "round {round}: of {} copies", WORKERS * COPIES);
    }
}

fn verdict(copy: &mut TcpStream) -> u8 {
    let mut verdict = [0];
    copy.read_exact(&mut verdict).unwrap();
    verdict[0]
}

fn visit(worker: &Worker, version: SslVersion, from: Option<&SslSession>) -> (SslSession, bool) {
    let client = Client::new(version);
    let client = match from {
        Some(session) => client.session(session),
        None => client,
    };
    let connection = connect(worker);
    let mut stream = client.ssl().connect(connection).expect("the handshake succeeds");
    stream.write_all(b"?").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let session = stream.ssl().session().unwrap().to_owned();
    let reused = stream.ssl().session_reused();
    let _ = stream.shutdown();
    // TLS 1.2 stores after the last flight; the worker has closed only after that.
    let _ = stream.get_mut().read_to_end(&mut Vec::new());
    (session, reused)
}

fn answer(ssl: Ssl, connection: TcpStream) {
    let mut stream = SslStream::new(ssl, connection).unwrap();
    stream.accept().unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream.write_all(b"!").unwrap();
    let _ = stream.shutdown();
}

/// Runs a test as the only one of a new process.
fn alone(name: &str, test: fn()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let exe = env::current_exe().unwrap();
    let only = Command::new(exe)
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(ALONE, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&only.stdout);
    assert!(only.status.success(), "{said}\n{}", String::from_utf8_lossy(&only.stderr));
    assert!(said.contains("1 passed"), "there is no test {name}:\n{said}");
}

/// To a worker's listener. A worker that is stuck fails the test.
fn connect(worker: &Worker) -> TcpStream {
    let connection = TcpStream::connect(worker.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection
}

/// A forked process with a listener of its own; gone when it is dropped.
struct Worker {
    pid: Pid,
    address: SocketAddr,
}

impl Worker {
    fn fork(serve: impl FnOnce(TcpListener)) -> Worker {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        LazyLock::force(&SERVER); // or every worker makes a certificate of its own
        // SAFETY: `alone` has seen to it that the only other thread is the test harness, which
        // waits for this one and holds no lock.
        match unsafe { fork() }.unwrap() {
            ForkResult::Parent { child } => Worker { pid: child, address },
            ForkResult::Child => {
                let _ = catch_unwind(AssertUnwindSafe(|| serve(listener)));
                // SAFETY: ends the process; nothing of the parent's is run down.
                unsafe { libc::_exit(1) }
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        let _ = waitpid(self.pid, None);
    }
}
