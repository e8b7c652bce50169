//! A worker of the storm: random operations for ever, each of them checked and timed.

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use shmtls::{Cache, Context, Expiry, Inserted, Library, Miss, NewSession, Session};

use super::board::{Board, GONE, Plan, STORED, Tally, UNDER_WAY};
use super::payload::{self, Rng, context, id, soon};
use super::stopwatch::Stopwatch;
use super::storm::{DEADLINE, SLACK};

/// However full the machine is, a wait does not take longer by more than this. A host that stalled
/// has kept one from a core for 374 ms.
const CROWD_MAX: Duration = Duration::from_millis(500);

/// One incarnation of a thread of a worker.
pub(crate) struct Worker<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) board: &'a Board,
    pub(crate) cache: &'a Cache,
    /// Which thread of all workers'.
    pub(crate) slot: usize,
    pub(crate) rng: Rng,
    watch: Stopwatch,
    /// How many workers stood still during the last operation.
    standing: Cell<u64>,
    /// The epoch of the newest ticket keys that it has used.
    pub(crate) keys_used: Cell<u64>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        board: &'a Board,
        cache: &'a Cache,
        slot: usize,
        rng: Rng,
    ) -> Self {
        let (watch, standing, keys_used) = (Stopwatch::new(), Cell::new(0), Cell::new(0));
        Self { plan, board, cache, slot, rng, watch, standing, keys_used }
    }

    pub(crate) fn run(mut self) -> ! {
        // The first call joins the process table, which has a lock and a deadline of its own.
        let _ = self.cache.size_of(&context(), &id(0));
        for number in self.plan.residents..self.plan.residents + self.plan.owned {
            if self.owns(number) {
                self.settle(number);
            }
        }
        loop {
            self.step();
        }
    }

    fn step(&mut self) {
        let number = self.rng.below(self.plan.ids());
        if self.rng.one_in(16) {
            self.visit();
        } else if number < self.plan.residents {
            self.read_resident(number);
        } else if !self.plan.is_owned(number) {
            self.use_shared(number);
        } else if self.owns(number) {
            self.change_owned(number);
        } else {
            self.read_owned(number);
        }
    }

    /// Does one operation on the cache and sees to it that it did not wait for too long.
    pub(crate) fn timed<R>(&self, operation: impl FnOnce(&Cache) -> R) -> R {
        self.timed_over(1, operation)
    }

    /// As [`timed`](Self::timed), for an operation on so many buckets, one after the other.
    pub(crate) fn timed_over<R>(&self, buckets: u32, operation: impl FnOnce(&Cache) -> R) -> R {
        self.timed_within(DEADLINE * buckets, || operation(self.cache))
    }

    pub(crate) fn timed_within<R>(&self, deadline: Duration, operation: impl FnOnce() -> R) -> R {
        let worker = self.slot / self.plan.threads;
        let before = self.board.standing(worker);
        let (result, took) = self.watch.time(operation);
        let after = self.board.standing(worker);
        self.standing.set(after.since(before));
        let tally = self.tally();
        // Who stood still itself has not waited for a lock, nor who starves.
        let starves = self.plan.starves && worker < self.plan.workers;
        if took.total > Duration::from_millis(1) && !after.own_since(before) && !starves {
            let waited = took.total.saturating_sub(took.delay);
            tally.longest_delay_ns.fetch_max(took.delay.as_nanos() as u64, SeqCst);
            if deadline == DEADLINE {
                tally.longest_wait_ns.fetch_max(waited.as_nanos() as u64, SeqCst);
            }
            // Where one has no core others may have none either.
            let crowd = self.board.longest(|tally| &tally.longest_delay_ns).min(CROWD_MAX);
            tally.late.fetch_add((waited > deadline + SLACK + crowd).into(), SeqCst);
        }
        tally.ops.fetch_add(1, SeqCst);
        result
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.board.tallies[self.slot]
    }

    fn read(&self, context: &Context, number: u64) -> Result<u64, Miss> {
        let session = self.timed(|cache| cache.get_session(context, &id(number)));
        session.map(|session| self.serial_of(number, &session)).inspect_err(|miss| self.note(*miss))
    }

    pub(crate) fn serial_of(&self, number: u64, session: &Session) -> u64 {
        self.tally().hits.fetch_add(1, SeqCst);
        payload::check(number, session.bytes())
    }

    /// Damage is never seen: what a death tore is repaired before anybody looks.
    pub(crate) fn note(&self, miss: Miss) {
        match miss {
            Miss::Busy => self.note_busy(1),
            Miss::Damaged => panic!("a torn session was left in its place"),
            _ => {}
        }
    }

    /// Buckets that were not to be had: each worker that stood still may have kept one per thread.
    pub(crate) fn note_busy(&self, buckets: usize) {
        let excused = buckets.min(self.standing.get() as usize * self.plan.threads);
        self.tally().excused.fetch_add(excused as u64, SeqCst);
        (excused..buckets).for_each(|_| self.outlast());
    }

    /// A bucket may be busy because its owner has no core to run on, but not for long.
    fn outlast(&self) {
        self.tally().busy.fetch_add(1, SeqCst);
        let start = Instant::now();
        while (0..self.plan.ids())
            .any(|n| self.cache.size_of(&context(), &id(n)) == Err(Miss::Busy))
        {
            assert!(start.elapsed() < Duration::from_secs(2), "a lock is lost");
        }
    }

    fn store(&mut self, number: u64, serial: u64, expiry: Expiry, single_use: bool) -> Inserted {
        let bytes = payload::payload(number, serial, self.plan.len(number, &mut self.rng));
        let session = NewSession::new(&bytes, expiry).single_use(single_use);
        let outcome = self.timed(|cache| cache.store(&context(), &id(number), &session));
        match outcome {
            Inserted::Busy => self.note(Miss::Busy),
            Inserted::Evicted(_) => assert!(!self.plan.fits, "evicted although all fits"),
            Inserted::New | Inserted::Replaced => {}
            Inserted::Expired if expiry.has_passed() => {}
            other => panic!("session {number}: {other:?}"),
        }
        outcome
    }

    // ---- sessions that nobody touches ---------------------------------------------------------

    fn read_resident(&self, number: u64) {
        match self.read(&context(), number) {
            Ok(0) | Err(Miss::Busy) => {}
            found => panic!("resident {number}: {found:?}"),
        }
    }

    // ---- sessions that one worker changes -----------------------------------------------------

    fn owns(&self, number: u64) -> bool {
        number as usize % (self.plan.workers * self.plan.threads) == self.slot
    }

    fn read_owned(&self, number: u64) {
        let cell = &self.board.cells[number as usize];
        let before = cell.state.load(SeqCst);
        let found = self.read(&context(), number);
        if cell.state.load(SeqCst) != before || found == Err(Miss::Busy) {
            return;
        }
        match (before % 4, found) {
            (UNDER_WAY, _) | (GONE, Err(Miss::Absent | Miss::Evicted)) => {}
            (STORED, Ok(serial)) if serial == before / 4 => {}
            (STORED, Err(Miss::Absent | Miss::Evicted)) if !self.plan.fits => {}
            _ => {
                panic!("session {number}: state {} of {}, found {found:?}", before % 4, before / 4)
            }
        }
    }

    /// Stores, removes or takes, and tells the others before and after.
    fn change_owned(&mut self, number: u64) {
        self.read_owned(number);
        let (cell, serial) = (&self.board.cells[number as usize], self.board.serial());
        let previous = cell.state.load(SeqCst);
        cell.previous.store(previous, SeqCst);
        cell.state.store(serial * 4 + UNDER_WAY, SeqCst);
        let (may_be_there, must_be_there) =
            (previous % 4 == STORED, previous % 4 == STORED && self.plan.fits);
        let after = match self.rng.below(20) {
            0 => match self.timed(|cache| cache.remove(&context(), &id(number))) {
                Ok(was_there) => {
                    assert!(was_there || !must_be_there, "session {number} has vanished");
                    assert!(!was_there || may_be_there, "session {number} has come back");
                    Some(GONE)
                }
                Err(_) => None,
            },
            1 => match self.timed(|cache| cache.take(&context(), &id(number))) {
                Ok(session) => {
                    let found = self.serial_of(number, &session);
                    assert_eq!(found * 4 + STORED, previous, "session {number}");
                    self.board.enter_taken(found);
                    Some(GONE)
                }
                Err(Miss::Busy) => None,
                Err(miss) => {
                    assert!(!must_be_there, "session {number}: {miss:?}, stored was {previous}");
                    Some(GONE)
                }
            },
            _ => self.store(number, serial, soon(), false).is_stored().then_some(STORED),
        };
        if after.is_none() {
            self.note(Miss::Busy);
        }
        cell.state.store(after.map_or(previous, |after| serial * 4 + after), SeqCst);
    }

    /// Finds out what became of the operation in which our predecessor died.
    fn settle(&self, number: u64) {
        let cell = &self.board.cells[number as usize];
        let state = cell.state.load(SeqCst);
        if state % 4 != UNDER_WAY {
            return;
        }
        let (serial, previous) = (state / 4, cell.previous.load(SeqCst));
        let found = loop {
            match self.read(&context(), number) {
                Err(Miss::Busy) => {}
                found => break found,
            }
        };
        let settled = match found {
            Ok(found) if found == serial => serial * 4 + STORED,
            Ok(found) if found * 4 + STORED == previous => previous,
            Err(Miss::Absent | Miss::Evicted) => serial * 4 + GONE,
            _ => {
                panic!("session {number}: {state} after {previous} was under way, found {found:?}")
            }
        };
        cell.state.store(settled, SeqCst);
    }

    // ---- sessions that anybody changes --------------------------------------------------------

    pub(crate) fn use_shared(&mut self, number: u64) {
        match self.rng.below(100) {
            0..40 => {
                let secs = if self.rng.one_in(6) { 1 } else { 600 };
                let (expiry, single_use) =
                    (Expiry::after(Duration::from_secs(secs)), self.rng.one_in(4));
                let serial = self.board.serial();
                let _ = self.store(number, serial, expiry, single_use);
            }
            40..55 => self.read_shared(number),
            55..70 => {
                let taken = self.timed(|cache| cache.take(&context(), &id(number)));
                self.enter(number, taken, true);
            }
            70..82 => {
                let found = self.timed(|cache| cache.resume(&context(), &id(number), Library::Raw));
                let single_use = found.as_ref().is_ok_and(Session::is_single_use);
                self.enter(number, found, single_use);
            }
            82..90 => {
                if self.timed(|cache| cache.remove(&context(), &id(number))).is_err() {
                    self.note(Miss::Busy);
                }
            }
            90..94 => self.read_into_buffer(number),
            94..96 => {
                let other = Context::named("another");
                match self.read(&other, number) {
                    Err(Miss::OtherContext | Miss::Absent | Miss::Evicted | Miss::Busy) => {}
                    found => panic!("session {number} in another context: {found:?}"),
                }
            }
            96..98 => {
                let purged = self.timed_over(self.plan.buckets, Cache::sweep);
                self.note_busy(purged.busy);
            }
            _ => {
                let _ = self.timed(|cache| cache.size_of(&context(), &id(number)));
            }
        }
    }

    fn enter(&self, number: u64, found: Result<Session, Miss>, taken: bool) {
        match found {
            Ok(session) => {
                let serial = self.serial_of(number, &session);
                if taken {
                    self.board.enter_taken(serial);
                }
            }
            Err(miss) => self.note(miss),
        }
    }

    /// A session that has been taken is not seen again.
    fn read_shared(&self, number: u64) {
        let Ok(serial) = self.read(&context(), number) else { return };
        if self.board.was_taken(serial) {
            let again = self.read(&context(), number);
            assert_ne!(again, Ok(serial), "session {number} has been taken and is still there");
        }
    }

    fn read_into_buffer(&mut self, number: u64) {
        let mut buf = vec![0xaa; self.rng.below(5000) as usize];
        match self.timed(|cache| cache.get(&context(), &id(number), &mut buf)) {
            Ok(len) => {
                payload::check(number, &buf[..len]);
                assert!(buf[len..].iter().all(|byte| *byte == 0xaa), "an overrun");
            }
            Err(miss) => {
                self.note(miss);
                assert!(buf.iter().all(|byte| *byte == 0xaa), "part of a session");
            }
        }
    }
}
