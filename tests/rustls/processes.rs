//! The same promises over real processes: workers that were forked, each with a `ServerConfig`
//! that it made after the fork, and nothing in common but the segment.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use openssl::ssl::{SslConnector, SslMethod, SslSession, SslVerifyMode, SslVersion};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, Stream};
use shmtls::rustls::Tickets;
use shmtls::{Cache, Expiry, ProcessInfo, TicketKey};

use crate::early_data::{accepts, capture, eager};
use crate::lab::{Client, MODES, VERSIONS, Version, cache, resumes, server};
use crate::worker::{Worker, alone};

const WORKERS: usize = 4;

fn fork_workers(cache: &Cache, tickets: Tickets) -> [Worker; WORKERS] {
    [(); WORKERS].map(|()| Worker::fork(|| server(cache, tickets), answer))
}

/// A byte each way. A client that goes wrong is its own test's matter.
fn answer(config: &Arc<ServerConfig>, mut socket: TcpStream) {
    let mut connection = ServerConnection::new(config.clone()).unwrap();
    let mut stream = Stream::new(&mut connection, &mut socket);
    if stream.read_exact(&mut [0]).is_ok() && stream.write_all(b"!").is_ok() {
        connection.send_close_notify();
        let _ = connection.complete_io(&mut socket);
    }
}

fn visit(client: &Client, worker: &Worker) -> bool {
    let (mut connection, mut socket) = (client.connection(), worker.connect());
    let mut stream = Stream::new(&mut connection, &mut socket);
    stream.write_all(b"?").expect("the handshake succeeds");
    stream.read_exact(&mut [0]).expect("an answer");
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn every_worker_resumes_what_any_other_began() {
    alone("processes::every_worker_resumes_what_any_other_began", resume_everywhere);
}

fn resume_everywhere() {
    for (version, tickets) in VERSIONS.iter().flat_map(|v| MODES.map(|tickets| (*v, tickets))) {
        let cache = cache();
        let workers = fork_workers(&cache, tickets);
        let client = Client::new(version);
        assert!(!visit(&client, &workers[0]));
        for worker in workers.iter().cycle().skip(1).take(3 * WORKERS) {
            assert!(visit(&client, worker), "{version:?} {tickets:?}");
        }
        // A TLS 1.2 session stays the one that the first worker stored, which is asked 3 times.
        let foreign = match (tickets, version == &TLS13) {
            (Tickets::Stateful, true) => 12,
            (Tickets::Stateful, false) => 9,
            _ => 0,
        };
        assert_eq!(cache.stats().foreign_hits, foreign, "{version:?} {tickets:?}");
    }
}

/// OpenSSL's client, which shares no code with this server.
#[test]
fn a_client_of_another_make_resumes_everywhere() {
    alone("processes::a_client_of_another_make_resumes_everywhere", other_client);
}

fn other_client() {
    for (version, tickets) in [SslVersion::TLS1_2, SslVersion::TLS1_3]
        .into_iter()
        .flat_map(|version| MODES.map(|tickets| (version, tickets)))
    {
        let cache = cache();
        let workers = fork_workers(&cache, tickets);
        let mut session = None;
        for (turn, worker) in workers.iter().cycle().take(3 * WORKERS).enumerate() {
            let (next, reused) = visit_with_openssl(worker, version, session.as_ref());
            assert_eq!(reused, turn > 0, "{version:?} {tickets:?}, turn {turn}");
            session = Some(next);
        }
    }
}

fn visit_with_openssl(
    worker: &Worker,
    version: SslVersion,
    session: Option<&SslSession>,
) -> (SslSession, bool) {
    let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
    builder.set_verify(SslVerifyMode::NONE);
    builder.set_min_proto_version(Some(version)).unwrap();
    builder.set_max_proto_version(Some(version)).unwrap();
    let mut ssl = builder.build().configure().unwrap().into_ssl("localhost").unwrap();
    if let Some(session) = session {
        let copy = SslSession::from_der(&session.to_der().unwrap()).unwrap();
        // SAFETY: the session is a fresh copy, which no other context knows.
        unsafe { ssl.set_session(&copy) }.unwrap();
    }
    let mut stream = ssl.connect(worker.connect()).expect("the handshake succeeds");
    stream.write_all(b"?").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let (session, reused) =
        (stream.ssl().session().unwrap().to_owned(), stream.ssl().session_reused());
    let _ = stream.shutdown();
    (session, reused)
}

#[test]
fn of_concurrent_offers_of_a_ticket_one_resumes() {
    alone("processes::of_concurrent_offers_of_a_ticket_one_resumes", offer_everywhere);
}

fn offer_everywhere() {
    let cache = cache();
    let make = || server(&cache, Tickets::Stateful);
    let issuer = make();
    let workers = [(); WORKERS].map(|()| {
        Worker::fork(make, |config, socket| judge(socket, |hello| resumes(config, hello)))
    });
    for round in 0..50 {
        let client = Client::new(&TLS13);
        client.visit(&issuer);
        assert_eq!(accepted_copies(&workers, &client.hello()), 1, "round {round}");
    }
}

#[test]
fn a_flight_that_reaches_all_workers_at_once_is_accepted_once() {
    alone(
        "processes::a_flight_that_reaches_all_workers_at_once_is_accepted_once",
        replay_everywhere,
    );
}

fn replay_everywhere() {
    let cache = cache();
    let make = || eager(&cache);
    let issuer = make();
    let workers = [(); WORKERS].map(|()| {
        Worker::fork(make, |config, socket| judge(socket, |flight| accepts(config, flight)))
    });
    for round in 0..50 {
        assert_eq!(accepted_copies(&workers, &capture(&issuer)), 1, "round {round}");
    }
}

/// 16 copies of one flight arrive at 4 workers at once.
fn accepted_copies(workers: &[Worker], flight: &[u8]) -> u8 {
    const COPIES: usize = 4;
    let mut copies: Vec<TcpStream> =
        workers.iter().flat_map(|worker| [(); COPIES].map(|()| worker.connect())).collect();
    for copy in &mut copies {
        copy.write_all(flight).unwrap();
    }
    for copy in &copies {
        copy.shutdown(Shutdown::Write).unwrap();
    }
    let verdict = |copy: &mut TcpStream| {
        let mut verdict = [0];
        copy.read_exact(&mut verdict).unwrap();
        verdict[0]
    };
    copies.iter_mut().map(verdict).sum()
}

fn judge(mut socket: TcpStream, accepts: impl FnOnce(&[u8]) -> bool) {
    let mut flight = Vec::new();
    socket.read_to_end(&mut flight).unwrap();
    socket.write_all(&[u8::from(accepts(&flight))]).unwrap();
}

/// 200 times a new ring, while clients of either version connect all the time.
#[test]
fn no_rotation_costs_a_resumption() {
    alone("processes::no_rotation_costs_a_resumption", rotate_under_load);
}

fn rotate_under_load() {
    const ROTATIONS: u32 = 200;
    const CLIENTS: [Version; 4] = [&TLS12, &TLS13, &TLS12, &TLS13];
    /// So many rotations a ticket may be old.
    const KEPT: usize = 8;

    let cache = cache();
    let mut keys = vec![TicketKey::random().unwrap()];
    cache.keys().publish(keys.clone()).unwrap();
    let workers = fork_workers(&cache, Tickets::SharedKeys);
    let visits = CLIENTS.map(|_| AtomicU64::new(0));
    let (lost, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|threads| {
        for (version, visits) in CLIENTS.iter().zip(&visits) {
            threads.spawn(|| {
                let client = Client::new(version);
                assert!(!visit(&client, &workers[0]));
                for worker in workers.iter().cycle().skip(1) {
                    lost.fetch_add(u64::from(!visit(&client, worker)), SeqCst);
                    visits.fetch_add(1, SeqCst);
                    if stop.load(SeqCst) {
                        break;
                    }
                }
            });
        }
        let _stop = Stop(&stop);
        for rotation in 0..ROTATIONS {
            // Known to all one rotation before it encrypts.
            let next =
                TicketKey::random().unwrap().not_before(Expiry::after(Duration::from_secs(3600)));
            let first = keys[0].clone().not_before(Expiry::after(Duration::ZERO));
            keys[0] = first;
            keys.insert(0, next);
            keys.truncate(KEPT);
            let published = cache.keys().publish(keys.clone()).unwrap();
            assert_eq!(published.epoch, u64::from(rotation) + 3);
            // However slow this machine is, every client comes back before its key is gone.
            let (before, since) = (visits.each_ref().map(|v| v.load(SeqCst)), Instant::now());
            while visits.iter().zip(before).any(|(visits, before)| visits.load(SeqCst) == before) {
                assert!(since.elapsed() < Duration::from_secs(20), "a client has given up");
                thread::sleep(Duration::from_micros(200));
            }
        }
    });
    assert_eq!(lost.load(SeqCst), 0, "of {visits:?} resumptions");

    let last = cache.keys().epoch();
    for worker in &workers {
        visit(&Client::new(&TLS13), worker);
    }
    let epochs: Vec<u64> = cache.processes().iter().map(ProcessInfo::key_epoch).collect();
    assert_eq!(epochs, [last; WORKERS + 1], "everybody has heard of it");
}

/// However the rotation ends, the clients do.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}
