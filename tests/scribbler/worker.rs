//! A worker that uses a segment in every way while somebody scribbles in it.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use shmtls::{Cache, Inspector, KeySource, Library, Miss, Options, Rotation, Session, TicketKey};

use super::payload::{self, Rng, context, id, soon};
use super::scoreboard::RunDelay;
use super::{BUCKETS, Board, stored};

pub(crate) const IDS: u64 = 24;
/// What the options say by default.
const DEADLINE: Duration = Duration::from_millis(50);
/// Of the process table and of the ring: nobody waits for those in a handshake.
const LONG_DEADLINE: Duration = Duration::from_millis(500);
const SLACK: Duration = Duration::from_millis(50);

pub(crate) struct Worker<'a> {
    board: &'a Board,
    cache: &'a Cache,
    inspector: Inspector,
    rng: Rng,
    delay: RunDelay,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(board: &'a Board, cache: &'a Cache, rng: Rng) -> Self {
        let inspector = Options::new().inspect_fd(owned(cache)).expect("a segment");
        let worker = Self { board, cache, inspector, rng, delay: RunDelay::of_this_thread() };
        // The first call joins the process table.
        let _ = worker.within(LONG_DEADLINE + DEADLINE, || cache.size_of(&context(), &id(0)));
        worker
    }

    /// Until it is told to stop.
    pub(crate) fn run(mut self) {
        while self.board.stop.load(SeqCst) == 0 {
            self.step();
            self.board.ops.fetch_add(1, SeqCst);
        }
    }

    fn step(&mut self) {
        let (cache, number) = (self.cache, self.rng.below(IDS));
        let (context, id) = (context(), id(number));
        match self.rng.below(100) {
            0..40 => {
                let serial = self.board.last_serial.fetch_add(1, SeqCst);
                let bytes = if self.rng.one_in(20) {
                    payload::payload(number, serial, self.rng.within(20, 10_240) as usize)
                } else {
                    stored(number, serial)
                };
                let _ = self.within(DEADLINE, || cache.insert(&context, &id, &bytes, soon()));
            }
            40..65 => self.check(number, |cache| cache.get_session(&context, &id)),
            65..75 => self.check(number, |cache| cache.take(&context, &id)),
            75..80 => self.check(number, |cache| cache.resume(&context, &id, Library::Raw)),
            80..84 => {
                let _ = self.within(DEADLINE, || cache.remove(&context, &id));
            }
            84..88 => self.walk(),
            88..91 => self.look_around(),
            91..93 => {
                let _ = self.within(DEADLINE * BUCKETS, || cache.sweep());
            }
            93..97 => self.use_keys(),
            97 => self.attach(),
            98 if self.rng.one_in(10) => {
                let _ = self.within(DEADLINE * BUCKETS, || cache.clear());
            }
            _ => {
                let _ = self.within(DEADLINE, || cache.size_of(&context, &id));
            }
        }
    }

    /// Runs one call, which must not take longer than this, but for the time without a core.
    #[track_caller]
    fn within<R>(&self, limit: Duration, call: impl FnOnce() -> R) -> R {
        let (before, start) = (self.delay.so_far(), Instant::now());
        let result = call();
        let took = start.elapsed();
        let wait = took.saturating_sub(self.delay.so_far().saturating_sub(before));
        self.board.longest_wait_ns.fetch_max(wait.as_nanos() as u64, SeqCst);
        assert!(wait <= limit + SLACK, "a call took {wait:?}, of {limit:?}");
        result
    }

    /// What is handed out was stored under this ID, every byte of it. A damaged record is repaired
    /// after the lookup, which has a deadline of its own.
    #[track_caller]
    fn check(&self, number: u64, call: impl FnOnce(&Cache) -> Result<Session, Miss>) {
        let counter = match self.within(2 * DEADLINE, || call(self.cache)) {
            Ok(session) => {
                payload::check(number, session.bytes());
                &self.board.hits
            }
            Err(Miss::Busy) => &self.board.busy,
            Err(Miss::Damaged) => &self.board.damaged,
            Err(_) => return,
        };
        counter.fetch_add(1, SeqCst);
    }

    fn walk(&self) {
        self.within(DEADLINE * BUCKETS, || {
            self.cache.for_each(|entry, bytes| {
                let number = entry.id().as_bytes().first_chunk().expect("32 bytes");
                payload::check(u64::from_le_bytes(*number), bytes);
            })
        });
    }

    fn look_around(&self) {
        let look = || {
            let unread = self.inspector.for_each(|entry| drop(format!("{entry:?}")));
            let told = (self.inspector.stats(), self.inspector.processes(), self.inspector.keys());
            drop(format!("{told:?} {unread} {}", self.inspector.len()));
        };
        self.within(DEADLINE, look);
    }

    /// An update waits for the ring's lock, and starts again for each one that was faster.
    fn use_keys(&mut self) {
        let (keys, which) = (self.cache.keys(), self.rng.below(4));
        let key = || TicketKey::random().expect("random bytes");
        self.within(2 * LONG_DEADLINE, || match which {
            0 => drop(keys.publish(vec![key()])),
            1 => drop(keys.add(key(), 3, KeySource::Api)),
            2 => drop(keys.rotate_if_due(&Rotation::every(Duration::ZERO))),
            _ => drop(format!("{:?}", keys.status())),
        });
    }

    /// Joins the table, which waits for its lock, and so does leaving it.
    fn attach(&self) {
        self.within(2 * LONG_DEADLINE + 2 * DEADLINE, || {
            let cache = Options::new().attach_fd(owned(self.cache)).expect("nobody changed that");
            let _ = cache.size_of(&context(), &id(0));
        });
        self.board.attached.fetch_add(1, SeqCst);
    }
}

fn owned(cache: &Cache) -> std::os::fd::OwnedFd {
    cache.fd().try_clone_to_owned().expect("a descriptor")
}
