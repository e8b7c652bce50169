//! Clients: each process plays some hundreds of customers, who come back with what they were given,
//! a few of them often and most of them hardly ever.

use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::alarm;
use openssl::ssl::{
    self, ErrorCode, Ssl, SslContext, SslMethod, SslSession, SslStream, SslVersion,
};

use crate::board::{Board, KINDS};
use crate::payload::Rng;
use crate::plan::{CUSTOMERS, LIFETIME, MARGIN};
use crate::worker::{ALARM_SECS, DOORS, Door, address};

/// From one visit to the next: slow enough that two cores keep up, so that customers wait for
/// their turn and not for a core.
const PACE: Duration = Duration::from_millis(7);
/// What was missed while a worker stood still is made up for, but not for ever.
const BACKLOG: Duration = Duration::from_secs(2);

/// A worker that is stuck fails its client, and that the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One of the versions, at one of the doors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind(usize);

impl Kind {
    pub(crate) fn door(self) -> Door {
        Door::ALL[self.0 / 2]
    }

    fn is_tls13(self) -> bool {
        self.0 % 2 == 1
    }

    /// Whether showing a session is the end of it.
    fn is_single_use(self) -> bool {
        self.is_tls13() && self.door() != Door::SharedKeys
    }

    /// Whether the cache keeps the sessions, and may have to drop them.
    pub(crate) fn is_stored(kind: usize) -> bool {
        Kind(kind).door() != Door::SharedKeys
    }
}

/// A session as it would lie on the customer's disk.
struct Kept {
    der: Vec<u8>,
    /// When the full handshake was made that it comes from.
    began: Instant,
}

pub(crate) struct Client<'a> {
    board: &'a Board,
    number: usize,
    addresses: [SocketAddr; DOORS],
    /// TLS 1.2 and 1.3.
    contexts: [SslContext; 2],
    wallet: Vec<Option<Kept>>,
    slice: u32,
    rng: Rng,
}

impl<'a> Client<'a> {
    /// To be made in its own process, and told which is the workers'.
    pub(crate) fn new(board: &'a Board, supervisor: u32, number: usize, seed: u64) -> Self {
        Self {
            board,
            number,
            addresses: Door::ALL.map(|door| address(supervisor, door)),
            contexts: [SslVersion::TLS1_2, SslVersion::TLS1_3].map(context),
            wallet: (0..CUSTOMERS).map(|_| None).collect(),
            slice: 0,
            rng: Rng::new(seed),
        }
    }

    /// Visits until all is over.
    pub(crate) fn run(mut self) {
        let mut due = Instant::now();
        while !self.board.is_over() {
            alarm::set(ALARM_SECS);
            self.visit();
            due = (due + PACE).max(Instant::now() - BACKLOG);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }

    fn visit(&mut self) {
        let (slice, tally) = self.board.slice();
        if slice != self.slice {
            // Each slice has customers of its own: what it does to them is not another one's doing.
            self.wallet.fill_with(|| None);
            self.slice = slice;
        }
        let customer = self.customer();
        let kind = Kind(customer % KINDS);
        let shown = self.wallet[customer].take();
        let shown = shown.filter(|kept| kept.began.elapsed() < LIFETIME - MARGIN);

        let (start, dead) = (Instant::now(), self.board.dead.load(SeqCst));
        match self.converse(kind, shown.as_ref()) {
            Ok((der, reused)) => {
                if let Some(shown) = &shown {
                    assert!(reused || der != shown.der, "an old session from a full handshake");
                    tally.offered[kind.0].fetch_add(1, SeqCst);
                    tally.resumed[kind.0].fetch_add(reused.into(), SeqCst);
                }
                let began = shown.filter(|_| reused).map_or(start, |shown| shown.began);
                self.wallet[customer] = Some(Kept { der, began });
            }
            Err(error) => {
                // Of those that were alive when we came one has died, and nothing else is a reason.
                let died = self.board.doomed.load(SeqCst) > dead;
                assert!(died && is_cut(&error), "{kind:?}: {error:?} {error}");
                tally.cut.fetch_add(1, SeqCst);
                self.wallet[customer] = shown.filter(|_| !kind.is_single_use());
            }
        }
        tally.visits.fetch_add(1, SeqCst);
        self.board.visits[self.number].fetch_add(1, SeqCst);
    }

    /// The first of them come often.
    fn customer(&mut self) -> usize {
        let (range, drawn) = (1 << 20, self.rng.below(1 << 20));
        (drawn * drawn / range * CUSTOMERS as u64 / range) as usize
    }

    /// A handshake and a byte each way: then TLS 1.2 sessions are stored, and TLS 1.3 tickets here.
    fn converse(&self, kind: Kind, shown: Option<&Kept>) -> Result<(Vec<u8>, bool), ssl::Error> {
        let address = &self.addresses[kind.door() as usize];
        let socket = UnixStream::connect_addr(address).expect("the supervisor keeps it open");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut ssl = Ssl::new(&self.contexts[usize::from(kind.is_tls13())])?;
        if let Some(kept) = shown {
            offer(&mut ssl, &kept.der);
        }
        let mut stream = SslStream::new(ssl, socket)?;
        stream.connect()?;
        stream.ssl_write(b"?")?;
        stream.ssl_read(&mut [0])?;
        let session = stream.ssl().session().expect("after a handshake").to_der()?;
        let reused = stream.ssl().session_reused();
        let _ = stream.shutdown();
        Ok((session, reused))
    }
}

fn context(version: SslVersion) -> SslContext {
    let mut builder = SslContext::builder(SslMethod::tls_client()).expect("a context");
    builder.set_min_proto_version(Some(version)).expect("a version");
    builder.set_max_proto_version(Some(version)).expect("a version");
    builder.build()
}

#[allow(unsafe_code, reason = "the openssl crate has no safe way to offer a session")]
fn offer(ssl: &mut Ssl, der: &[u8]) {
    let session = SslSession::from_der(der).expect("from OpenSSL itself");
    // SAFETY: the session is a fresh copy, which no other context knows.
    unsafe { ssl.set_session(&session) }.expect("a session");
}

/// Whether the other end has gone, and not just said something wrong, or nothing.
fn is_cut(error: &ssl::Error) -> bool {
    let is_eof = |e: &openssl::error::Error| e.reason() == Some("unexpected eof while reading");
    match error.code() {
        ErrorCode::SYSCALL | ErrorCode::ZERO_RETURN => true,
        _ => error.ssl_error().is_some_and(|stack| stack.errors().iter().any(is_eof)),
    }
}
