//! A hostile segment, one execution at a time: the input says which words are changed to what, and
//! what the library is then asked to do. `fuzz/` feeds it what libFuzzer thinks of, and
//! `tests/fuzz_corpus.rs` what was once found worth keeping.
//!
//! Whatever the segment holds: nothing panics, nothing takes longer than its deadline, no session
//! is handed out that was not stored under that key, and after a clear the segment works again.

mod mutation;
mod operation;
mod window;

use std::time::{Duration, Instant};

use shmtls::{Cache, Context, Expiry, Inspector, Options, SessionId, TicketKey};
use xxhash_rust::xxh3::xxh3_64;

use crate::payload::{self, payload, with_buckets};
use crate::scoreboard::RunDelay;
use nix::sys::prctl::set_timerslack;
use window::Window;

/// What an input asks for at most.
const STEPS_MAX: usize = 20;
/// Deadlines of the process table and the ring of keys are half a second, that of a bucket is far
/// less, and the machine takes its time.
const LIMIT: Duration = Duration::from_secs(2);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Sessions of each of the two contexts.
const IDS: u64 = 8;

/// A small segment that is spoilt and put right again for each execution.
pub(crate) struct Victim {
    cache: Cache,
    inspector: Inspector,
    window: Window,
    pristine: Vec<u8>,
    key: TicketKey,
    tid: u32,
    serial: u64,
    delay: RunDelay,
}

/// The bytes that say what happens.
pub(crate) struct Input<'a>(&'a [u8]);

impl Input<'_> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*first))
    }
}

/// A session by the number in its payload: half of them have the IDs of the others, under another
/// context.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name(u64);

impl Name {
    fn of(byte: u8) -> Self {
        Self(u64::from(byte) % (2 * IDS))
    }

    fn all() -> impl Iterator<Item = Self> {
        (0..2 * IDS).map(Self)
    }

    fn context(self) -> Context {
        Context::named(if self.0 < IDS { "one" } else { "other" })
    }

    fn id(self) -> SessionId {
        let number = self.0 % IDS;
        // Of all lengths.
        let len = [32, 32, 32, 1, 8, 31, 32, 17][number as usize];
        SessionId::new(&payload::id(number).as_bytes()[..len]).expect("1 to 32 bytes")
    }

    fn len(self) -> usize {
        60 + self.0 as usize * 90
    }
}

impl Victim {
    pub(crate) fn new() -> Self {
        // A wait for a lock that is never released costs its deadline, not that and the 50 us that
        // the kernel adds on its own.
        set_timerslack(1).expect("any thread may");
        let cache = fixed_segment();
        let window = Window::new(cache.fd());
        let inspector = options().inspect_fd(owned(&cache)).expect("a segment");
        let key = TicketKey::aes128([7; 16], &[8; 16], &[9; 16]).expect("a key");
        let (pristine, tid) = (Vec::new(), nix::unistd::gettid().as_raw().unsigned_abs());
        let delay = RunDelay::of_this_thread();
        let mut victim = Self { cache, inspector, window, pristine, key, tid, serial: 0, delay };
        victim.fill();
        victim.pristine = victim.window.image();
        victim
    }

    /// One execution.
    pub(crate) fn execute(&mut self, bytes: &[u8]) {
        self.window.restore(&self.pristine);
        let mut input = Input(bytes);
        let mut attached = None;
        for _ in 0..STEPS_MAX {
            let Some(what) = input.byte() else { break };
            let done = match what {
                0..128 => self.window.mutate(what, &mut input, self.tid),
                _ => self.operate(what, &mut input, &mut attached),
            };
            if done.is_none() {
                break;
            }
        }
        drop(attached);
        // That costs more than all else. Which inputs go through it must not change.
        if xxh3_64(bytes).is_multiple_of(8) {
            self.recover();
        }
    }

    /// Who is left alone with the segment has a cache that works.
    pub(crate) fn recover(&mut self) {
        for bucket in 0..self.window.bucket_count {
            let lock = self.window.bucket(bucket);
            // Nobody can tell a lock that is held from a word that says so.
            if self.window.is_held_by_another(lock, self.tid) {
                self.window.set(lock, 0);
            }
        }
        assert_eq!(self.timed(Cache::clear).busy, 0, "a bucket is lost");
        assert!(self.cache.is_empty(), "a clear has left {} sessions", self.cache.len());
        self.fill();
    }

    /// Stores everything, and finds it.
    fn fill(&mut self) {
        for name in Name::all() {
            self.serial += 1;
            let bytes = payload(name.0, self.serial, name.len());
            let stored = self.cache.insert(&name.context(), &name.id(), &bytes, soon());
            assert!(stored.is_stored(), "{name:?}: {stored:?}");
        }
        let first = self.serial + 1 - 2 * IDS;
        for (name, serial) in Name::all().zip(first..) {
            let found = self.cache.get_session(&name.context(), &name.id());
            let found = found.unwrap_or_else(|miss| panic!("{name:?}: {miss}"));
            assert_eq!(payload::check(name.0, found.bytes()), serial);
        }
        let mut shown = 0;
        let busy = self.timed(|cache| cache.for_each(|_, _| shown += 1));
        assert_eq!((busy, shown, self.cache.len()), (0, 2 * IDS as usize, shown));
        let keys = self.cache.keys();
        // The first may get an epoch under which this process knows another ring: what an input
        // does to the epoch can turn it back. The second cannot.
        let publish = || keys.publish(vec![self.key.clone()]).expect("nobody else is there");
        let (_, published) = (publish(), publish());
        let status = keys.status().expect("just published");
        assert_eq!((status.epoch, status.keys.len()), (published.epoch, 1));
    }

    /// No call takes longer than a deadline, but for the time that this thread had no core.
    fn timed<R>(&self, work: impl FnOnce(&Cache) -> R) -> R {
        self.timed_on(&self.cache, work)
    }

    fn timed_on<T, R>(&self, cache: &T, work: impl FnOnce(&T) -> R) -> R {
        let start = Instant::now();
        let result = work(cache);
        let took = start.elapsed();
        // In all of this thread's life: to ask before each call would cost more than the calls.
        assert!(took < LIMIT || took < LIMIT + self.delay.so_far(), "a call took {took:?}");
        result
    }
}

/// A segment whose seed, and so all places in it, are always the same.
fn fixed_segment() -> Cache {
    let cache = with_buckets(options().processes(4).lifetime(7 * DAY), 2, 32 << 10);
    let cache = cache.create_memfd().expect("a segment");
    let window = Window::new(cache.fd());
    window.set_u64(20, 1);
    window.set_u64(36, xxh3_64(&window.bytes(0, 36)));
    options().attach_fd(owned(&cache)).expect("the header is sealed")
}

fn options() -> Options {
    Options::new().lock_deadline(Duration::from_micros(20)).populate(false)
}

fn owned(cache: &Cache) -> std::os::fd::OwnedFd {
    cache.fd().try_clone_to_owned().expect("a descriptor")
}

fn soon() -> Expiry {
    Expiry::after(6 * DAY)
}
