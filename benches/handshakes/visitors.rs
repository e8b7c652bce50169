//! The client processes: each is a few clients that visit the server again and again.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use openssl::ssl::SslSession;

use crate::child;
use crate::client::Client;
use crate::identity::Identity;
use crate::plan::{Line, Plan, VISITORS};
use crate::server::{PATIENCE, Workers};

pub(crate) struct Visitors(Vec<Visitor>);

/// One client process, and the way to speak with it, a line at a time.
struct Visitor {
    pid: Pid,
    wire: BufReader<UnixStream>,
}

/// What clients did in one burst.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) visits: u64,
    pub(crate) resumed: u64,
    /// Until the last visit ended.
    pub(crate) time: Duration,
}

impl Visitors {
    /// Returns when all have been there once.
    pub(crate) fn fork(
        plan: &Plan,
        server: &Identity,
        line: Line,
        workers: &Workers,
    ) -> Result<Self, String> {
        let mut visitors = Self(Vec::new());
        for _ in 0..plan.clients {
            let pair = UnixStream::pair().map_err(|e| format!("no socket: {e}"))?;
            let visit = || {
                let client = Client::of(server, line.version, workers.address)?;
                visit(client, line.caching.clients_return(), plan.burst, &pair.1)
            };
            let pid = child::spawn(visit)?;
            visitors.0.push(Visitor { pid, wire: BufReader::new(pair.0) });
        }
        visitors.0.iter_mut().try_for_each(|visitor| visitor.hear().map(drop))?;
        Ok(visitors)
    }

    /// One burst of all of them at once.
    pub(crate) fn run(&mut self) -> Result<Done, String> {
        for visitor in &mut self.0 {
            let told = writeln!(visitor.wire.get_ref(), "go");
            told.map_err(|e| format!("a client is gone: {e}"))?;
        }
        let mut all = Done::default();
        for visitor in &mut self.0 {
            let done = visitor.hear()?;
            all.visits += done.visits;
            all.resumed += done.resumed;
            all.time = all.time.max(done.time);
        }
        Ok(all)
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        for visitor in &self.0 {
            let _ = child::end(visitor.pid, Signal::SIGKILL);
        }
    }
}

impl Visitor {
    fn hear(&mut self) -> Result<Done, String> {
        let mut line = String::new();
        self.wire.read_line(&mut line).map_err(|e| format!("a client is gone: {e}"))?;
        let numbers: Vec<u64> = line.split_whitespace().flat_map(str::parse).collect();
        match numbers[..] {
            [visits, resumed, nanos] => {
                Ok(Done { visits, resumed, time: Duration::from_nanos(nanos) })
            }
            _ => Err("a client ended: it says why above".into()),
        }
    }
}

/// Says when it is ready, waits for the word, and says what it did.
fn visit(
    mut client: Client,
    with_session: bool,
    burst: Duration,
    wire: &UnixStream,
) -> Result<(), String> {
    let mut sessions = Vec::with_capacity(VISITORS);
    for _ in 0..VISITORS {
        sessions.push(client.visit(None)?.session);
    }
    say(wire, Done::default())?;
    wire.set_read_timeout(Some(PATIENCE)).map_err(|e| format!("no timeout: {e}"))?;
    let mut word = String::new();
    BufReader::new(wire).read_line(&mut word).map_err(|e| format!("no word to go: {e}"))?;
    say(wire, visit_for(burst, &mut client, &mut sessions, with_session)?)
}

fn visit_for(
    burst: Duration,
    client: &mut Client,
    sessions: &mut [SslSession],
    with_session: bool,
) -> Result<Done, String> {
    let start = Instant::now();
    let mut done = Done::default();
    while done.time < burst {
        let session = &mut sessions[done.visits as usize % VISITORS];
        let visit = client.visit(with_session.then_some(session))?;
        *session = visit.session;
        done.visits += 1;
        done.resumed += u64::from(visit.resumed);
        done.time = start.elapsed();
    }
    Ok(done)
}

fn say(mut wire: &UnixStream, done: Done) -> Result<(), String> {
    let Done { visits, resumed, time } = done;
    writeln!(wire, "{visits} {resumed} {}", time.as_nanos())
        .map_err(|e| format!("nobody listens: {e}"))
}
