//! Which connections are made, in what order, until enough of them offered a session.
//!
//! A client that always offers the session of its last connection measures how connections are
//! spread as much as what workers share: where workers take turns it never meets the same one
//! twice. So a few full handshakes come first, which reach several workers, and each attempt offers
//! one of their sessions, picked at random. Whatever the order of the workers, an attempt meets the
//! one that made its session in one of N cases.
//!
//! A session is offered once. Its place is taken by what the attempt brought, or else by another
//! full handshake. In TLS 1.3 that is the rule for clients (RFC 8446, appendix C.4); in TLS 1.2 a
//! server that resumes leaves the client with the same session, which then goes on.

use std::thread;
use std::time::Duration;

use super::client::{Trouble, Visit};

/// Sessions to pick from.
const POOL: usize = 8;

/// Connections that may fail, when the first did not, before the rest is given up.
const FAILURES_MAX: u32 = 2;

/// How much is measured, and how hard the server is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Connections that offer a session.
    pub(crate) attempts: u32,
    /// Connections at the same time.
    pub(crate) parallel: u32,
    /// The pause between one connection, or as many as run in parallel, and the next.
    pub(crate) interval: Duration,
}

/// What was counted for one kind of resumption.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Measured {
    /// The server gave something to come back with, at least once.
    pub(crate) offered: bool,
    pub(crate) attempts: u32,
    pub(crate) resumed: u32,
    /// Resumed connections that brought a new ticket.
    pub(crate) renewed: u32,
    /// All connections, those that failed too.
    pub(crate) connections: u32,
    /// Connections that ended without a handshake.
    pub(crate) failed: u32,
    /// Connections that the server ended with close_notify.
    pub(crate) close_notify: u32,
    /// Of the first ticket, in bytes; 0 without one.
    pub(crate) ticket_len: usize,
    /// How long handshakes took.
    pub(crate) full_times: Vec<Duration>,
    pub(crate) resumed_times: Vec<Duration>,
}

/// Measures with connections that `visit` makes; it is given the session to offer.
///
/// # Errors
///
/// Why the first connection failed, or the last of too many that did.
pub(crate) fn measure<S: Send + Sync>(
    plan: Plan,
    visit: impl Fn(Option<&S>) -> Result<Visit<S>, Trouble> + Sync,
) -> Result<Measured, Trouble> {
    let mut run = Run { plan, pool: Vec::new(), counts: Measured::default() };
    while !run.is_over() {
        let offers = run.next_offers();
        for (offer, visit) in offers.iter().zip(all_at_once(&offers, &visit)) {
            run.count(offer.is_some(), visit)?;
        }
        if !run.is_over() {
            thread::sleep(plan.interval);
        }
    }
    Ok(run.counts)
}

struct Run<S> {
    plan: Plan,
    pool: Vec<S>,
    counts: Measured,
}

impl<S> Run<S> {
    fn is_over(&self) -> bool {
        let Measured { offered, attempts, connections, .. } = self.counts;
        let nothing_offered = connections >= 2 && !offered;
        // With tickets that come now and then only, the pool might never fill.
        let enough = connections >= self.limit();
        attempts >= self.plan.attempts || nothing_offered || enough
    }

    /// A full handshake for each attempt, and as much again for sessions that are never given.
    fn limit(&self) -> u32 {
        self.plan.attempts.saturating_mul(3).saturating_add(u32::try_from(POOL).expect("small"))
    }

    /// For each of the next connections, what it offers.
    fn next_offers(&mut self) -> Vec<Option<S>> {
        let most = self.plan.parallel as usize;
        let missing = POOL.max(most).saturating_sub(self.pool.len());
        if missing > 0 {
            return (0..missing.min(most)).map(|_| None).collect();
        }
        let left = (self.plan.attempts - self.counts.attempts) as usize;
        (0..left.min(most)).map(|_| Some(self.draw())).collect()
    }

    fn draw(&mut self) -> S {
        let picked = random_below(self.pool.len());
        self.pool.swap_remove(picked)
    }

    fn count(&mut self, attempt: bool, visit: Result<Visit<S>, Trouble>) -> Result<(), Trouble> {
        let counts = &mut self.counts;
        counts.connections += 1;
        let visit = match visit {
            Ok(visit) => visit,
            Err(trouble) => {
                let first = counts.connections == 1;
                counts.failed += 1;
                let give_up = first || counts.failed > FAILURES_MAX;
                return if give_up { Err(trouble) } else { Ok(()) };
            }
        };
        counts.attempts += u32::from(attempt);
        counts.resumed += u32::from(visit.resumed);
        counts.renewed += u32::from(visit.resumed && visit.renewed);
        counts.close_notify += u32::from(visit.close_notify);
        let times = if visit.resumed { &mut counts.resumed_times } else { &mut counts.full_times };
        times.push(visit.handshake);
        if let Some(session) = visit.session {
            if !counts.offered {
                counts.ticket_len = visit.ticket_len;
            }
            counts.offered = true;
            self.pool.push(session);
        }
        Ok(())
    }
}

/// All of them connect at the same time, so that a worker that is busy leaves some to others.
fn all_at_once<S: Send + Sync>(
    offers: &[Option<S>],
    visit: &(impl Fn(Option<&S>) -> Result<Visit<S>, Trouble> + Sync),
) -> Vec<Result<Visit<S>, Trouble>> {
    if let [offer] = offers {
        return vec![visit(offer.as_ref())];
    }
    thread::scope(|threads| {
        let start = |offer| threads.spawn(move || visit(Option::as_ref(offer)));
        let running: Vec<_> = offers.iter().map(start).collect();
        running.into_iter().map(|thread| thread.join().expect("a visit does not panic")).collect()
    })
}

fn random_below(bound: usize) -> usize {
    let mut bytes = [0; 8];
    openssl::rand::rand_bytes(&mut bytes).expect("a random generator");
    usize::try_from(u64::from_ne_bytes(bytes) % bound as u64).expect("below a usize")
}

/// The middle one; none of none.
pub(crate) fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests;
