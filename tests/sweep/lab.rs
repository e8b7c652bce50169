//! One small segment, put back as it was for each kill, and what is known of its sessions.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{Cache, Expiry, Inserted, Inspector, Miss, Options};

use super::image::Image;
use super::payload::{check, context, id, payload, with_buckets};
use super::procs::Report;
use super::raw_keys::{Raw, RawKey};
use super::scoreboard::{Shared, Zeroed};
use super::tracer::{Stop, Traced};

/// Sessions that may be there have lower numbers.
pub(crate) const NUMBERS: u64 = 100;
/// A sweep takes its time; no session may end meanwhile.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// What a process can have of the segment.
pub(crate) struct Lab {
    pub(crate) dir: PathBuf,
    pub(crate) options: Options,
    pub(crate) cache: Cache,
    pub(crate) inspector: Inspector,
    pub(crate) raw: Raw,
    pub(crate) board: Shared<Board>,
    pub(crate) report: Arc<Report>,
    /// Bytes of the session that an operation stores.
    pub(crate) len: usize,
    file: File,
    /// All that was or is to be stored: the serials of a number, by the words of their payload.
    canaries: HashMap<u64, (u64, u64)>,
}

/// Unless somebody needs another one: short ones spare many steps.
pub(crate) const LEN: usize = 200;

/// What the child tells.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Board {
    /// 1 when the operation has returned.
    pub(crate) returned: AtomicU64,
    /// Where in its memory the child has what it took, when it has.
    pub(crate) taken_to: AtomicU64,
    pub(crate) taken_len: AtomicU64,
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

/// Everything that is in the segment, as far as it can be told by asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Serials by number.
    pub(crate) sessions: BTreeMap<u64, u64>,
    pub(crate) ring: Option<(u64, Vec<RawKey>)>,
}

impl Lab {
    /// A segment of one bucket and two lines, one of them this process's.
    pub(crate) fn new(dir: PathBuf) -> Self {
        fs::create_dir(&dir).expect("a directory in memory");
        let options = options();
        let cache = options.create(dir.join("swept").to_str().expect("UTF-8")).expect("a segment");
        let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
        let inspector = options.inspect_fd(fd).expect("a segment");
        let file = File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
        Self {
            dir,
            options,
            inspector,
            raw: Raw::of(&cache),
            cache,
            board: Shared::new(),
            report: Report::new(),
            len: LEN,
            file,
            canaries: HashMap::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("UTF-8").into()
    }

    /// Another process's view of the segment.
    pub(crate) fn attach(&self) -> Cache {
        self.options.attach(&self.path("swept")).expect("a whole segment")
    }

    /// Bytes that tell whose they are, and that are known again wherever they lie.
    pub(crate) fn payload(&mut self, number: u64, serial: u64, len: usize) -> Vec<u8> {
        let bytes = payload(number, serial, len);
        // Number, serial and length come first; behind them is noise.
        let words = bytes.as_chunks().0.iter().skip(3);
        self.canaries.extend(words.map(|word| (u64::from_ne_bytes(*word), (number, serial))));
        bytes
    }

    /// Whether these are a session that was or is to be stored.
    pub(crate) fn is_stored_payload(&self, bytes: &[u8]) -> bool {
        let mut words = bytes.as_chunks().0.iter().skip(3);
        words.all(|word| self.canaries.contains_key(&u64::from_ne_bytes(*word)))
    }

    pub(crate) fn store(&mut self, number: u64, serial: u64, len: usize, expiry: Expiry) {
        let bytes = self.payload(number, serial, len);
        let stored = self.cache.insert(&context(), &id(number), &bytes, expiry);
        assert!(matches!(stored, Inserted::New | Inserted::Replaced), "{stored:?}");
    }

    /// The bytes of the segment's file now.
    pub(crate) fn image(&self) -> Image {
        let mut bytes = vec![0; self.cache.segment_bytes() as usize];
        self.file.read_exact_at(&mut bytes, 0).expect("the segment's file");
        Image(bytes)
    }

    /// Puts everything back.
    pub(crate) fn reset(&self, image: &Image) {
        self.file.write_all_at(&image.0, 0).expect("the segment's file");
        self.board.returned.store(0, SeqCst);
    }

    /// Asks for everything, and so repairs what a dead process left.
    pub(crate) fn state(&self) -> State {
        // Takes the lock, as what finds a session does not.
        let _ = self.cache.size_of(&context(), &id(0));
        let sessions = (0..NUMBERS).filter_map(|number| {
            match self.cache.get_session(&context(), &id(number)) {
                Ok(session) => Some((number, check(number, session.bytes()))),
                Err(Miss::Absent | Miss::Evicted | Miss::Expired) => None,
                Err(miss) => panic!("session {number}: {miss}"),
            }
        });
        State {
            sessions: sessions.collect(),
            ring: self.raw.ring().map(|ring| (ring.epoch, ring.keys)),
        }
    }

    /// Panics if anything is left of a session that `state` does not have.
    pub(crate) fn check_wiped(&self, image: &Image, state: &State) {
        for word in image.words().filter(|word| *word != 0) {
            if let Some((number, serial)) = self.canaries.get(&word) {
                let there = state.sessions.get(number) == Some(serial);
                assert!(there, "bytes of session {number}, serial {serial}, which is gone");
            }
        }
    }

    /// Lets a child die in `act`, at the first instruction behind which `reached` holds.
    pub(crate) fn kill_in(&self, act: fn(&Self, fn()), reached: impl Fn(&Image) -> bool) {
        let child = Traced::start(&self.report, |go| act(self, go));
        while !reached(&self.image()) {
            assert_eq!(child.step(), Stop::Trapped, "the operation ended before");
        }
        child.kill();
    }
}

pub(crate) fn options() -> Options {
    let options = Options::new().processes(2).max_session(2000).lifetime(LIFETIME);
    // Whoever waits for a second waits for a lock that nobody will release.
    with_buckets(options.lock_deadline(Duration::from_secs(1)), 1, 32 << 10)
}

/// Behind the end of any sweep.
pub(crate) fn later() -> Expiry {
    Expiry::after(LIFETIME * 9 / 10)
}
