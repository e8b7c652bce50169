//! Storms of SIGKILL: updaters and rotators die at random instructions, as fast as fork makes new
//! ones, and watchers look at the ring all the time.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::unistd::alarm;
use shmtls::{Cache, KeyError, KeyFiles, KeyFormat, KeySource, Published, Rotation};

use super::procs::{Child, Report, alone, fork_reporting, notice};
use super::raw::{Raw, bytes48, bytes80, key};
use super::scoreboard::{Shared, Zeroed};
use super::segment;

const WATCHERS: usize = 2;
/// Of rotation: the shortest that there is.
const INTERVAL: Duration = Duration::from_millis(100);
/// Between two looks of those who only look, or the others would have no core to run on.
const PAUSE: Duration = Duration::from_micros(100);
/// More than a storm of the largest size makes.
const EPOCHS_MAX: usize = 1 << 25;

/// What is known of every epoch, whoever is dead.
#[repr(C)]
#[derive(Debug)]
struct Board {
    stop: AtomicU32,
    done: AtomicU32,
    leave: AtomicU32,
    next_key: AtomicU64,
    looks: AtomicU64,
    refreshes: AtomicU64,
    busy: AtomicU64,
    pids: [AtomicU64; WATCHERS],
    ends: [AtomicU64; WATCHERS],
    /// Digest of the ring of each epoch, by whoever saw it first.
    digests: [AtomicU64; EPOCHS_MAX],
    /// The process that was told that its update made this epoch.
    makers: [AtomicU64; EPOCHS_MAX],
}

// SAFETY: made of atomics.
unsafe impl Zeroed for Board {}

impl Board {
    /// One epoch has one content, and one maker.
    fn enter(&self, cell: &[AtomicU64; EPOCHS_MAX], epoch: u64, value: u64, what: &str) {
        let cell = cell.get(epoch as usize).expect("the board is full: fewer kills, please");
        let before =
            cell.compare_exchange(0, value, SeqCst, SeqCst).unwrap_or_else(|before| before);
        assert!(before == 0 || before == value, "epoch {epoch} has two {what}");
    }
}

/// How updates are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Keys of 256 bits, from three to twenty of them.
    Publish,
    /// Two files, as nginx has them.
    Load,
    /// TSSslTicketKeyUpdate's form.
    Update48,
    /// Rotation, and what it does when it is due: an update over the epoch that was looked at.
    Rotate,
}

struct Updater<'a> {
    cache: &'a Cache,
    board: &'a Board,
    files: KeyFiles,
    rotation: Rotation,
}

impl Updater<'_> {
    /// For ever: somebody will put an end to it.
    fn run(&mut self, kind: Kind) {
        loop {
            match self.update(kind) {
                Ok(Some(published)) => {
                    let pid = u64::from(std::process::id());
                    self.board.enter(&self.board.makers, published.epoch, pid, "makers");
                }
                Ok(None) | Err(KeyError::Stale { .. }) => {}
                Err(KeyError::Busy) => {
                    self.board.busy.fetch_add(1, SeqCst);
                }
                Err(error) => panic!("{kind:?}: {error}"),
            }
        }
    }

    fn update(&mut self, kind: Kind) -> Result<Option<Published>, KeyError> {
        let (keys, n) = (self.cache.keys(), self.board.next_key.fetch_add(20, SeqCst) + 1);
        match kind {
            Kind::Publish => keys.publish((n..=n + 2 + n % 18).map(key).collect()).map(Some),
            Kind::Load => keys.load(&mut self.files).map(Some),
            Kind::Update48 => {
                keys.ticket_key_update(&(n..n + 5).flat_map(bytes48).collect::<Vec<u8>>()).map(Some)
            }
            Kind::Rotate => match keys.rotate_if_due(&self.rotation)? {
                Some(published) => Ok(Some(published)),
                None => {
                    let ring = vec![key(n + 1), key(n)];
                    keys.publish_over(keys.epoch(), ring, KeySource::Rotation).map(Some)
                }
            },
        }
    }
}

/// Looks until told to stop, at the bytes and through the library.
fn watch(cache: &Cache, board: &Board, me: usize) {
    // As long as it takes; the parent sees to it that it ends.
    alarm::cancel();
    let raw = Raw::of(cache);
    let (mut seen, mut used) = (0, 0);
    // Random keys follow from nothing: but one name is one key, whoever shows it.
    let mut random = HashMap::new();
    let mut look = |is_last: bool| {
        if let Some(ring) = raw.ring() {
            assert!(ring.epoch >= seen, "the ring went back from {seen} to {}", ring.epoch);
            board.enter(&board.digests, ring.epoch, ring.digest, "contents");
            seen = ring.epoch;
            for key in ring.keys.iter().filter(|key| !key.is_derived()) {
                assert_eq!(*random.entry(key.name).or_insert(*key), *key, "two keys of one name");
            }
            board.looks.fetch_add(1, SeqCst);
        }
        if let Some(status) = cache.keys().status() {
            assert!(status.epoch >= used, "the keys went back from {used} to {}", status.epoch);
            board.refreshes.fetch_add((status.epoch > used).into(), SeqCst);
            used = status.epoch;
            assert!((1..=32).contains(&status.keys.len()));
        }
        if is_last { used } else { 0 }
    };
    board.pids[me].store(std::process::id().into(), SeqCst);
    while board.stop.load(SeqCst) == 0 {
        look(false);
        thread::sleep(PAUSE);
    }
    board.ends[me].store(look(true), SeqCst);
    board.done.fetch_add(1, SeqCst);
    while board.leave.load(SeqCst) == 0 {
        thread::sleep(Duration::from_millis(1));
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} does not come");
        thread::sleep(Duration::from_millis(1));
    }
}

fn kills() -> u64 {
    std::env::var("SHMTLS_KILLS").map_or(10_000, |n| n.parse().expect("SHMTLS_KILLS: a number"))
}

fn seed() -> u64 {
    let chosen = std::env::var("SHMTLS_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    chosen.unwrap_or_else(now).max(1)
}

/// Marsaglia's xorshift.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

struct Storm {
    name: &'static str,
    kinds: &'static [Kind],
    kills: u64,
    /// Before a kill, at the most.
    pause_ns: u64,
    /// Rotates only when it is due.
    by_time: Option<Rotation>,
}

impl Storm {
    fn run(&self) {
        let (seed, start) = (seed(), Instant::now());
        let told = format!("{} (SHMTLS_SEED={seed})", self.name);
        let mut rng = Rng(seed);
        let (cache, report) = (segment(), Report::new());
        let board = Shared::<Board>::new();
        let dir = tempfile::tempdir().expect("a directory");
        let paths: Vec<PathBuf> = (0..2).map(|n| dir.path().join(n.to_string())).collect();
        for (n, path) in (u64::MAX / 2..).zip(&paths) {
            fs::write(path, bytes80(n)).expect("written");
        }
        cache.keys().publish(vec![key(u64::MAX)]).expect("valid");

        let (cache, board) = (&cache, &*board);
        let watchers: Vec<Child> =
            (0..WATCHERS).map(|me| fork_reporting(&report, || watch(cache, board, me))).collect();
        let enlist = |kind: Kind| {
            fork_reporting(&report, || {
                let files = KeyFiles::new(KeyFormat::Nginx80, &paths);
                let rotation = Rotation::every(Duration::ZERO);
                let mut updater = Updater { cache, board, files, rotation };
                match self.by_time {
                    None => updater.run(kind),
                    Some(rotation) => rotate(cache, board, rotation),
                }
            })
        };
        let mut updaters: Vec<Child> = self.kinds.iter().map(|kind| enlist(*kind)).collect();
        let raw = Raw::of(cache);
        let mut in_the_lock = 0;
        let mut kills = 0;
        while kills < self.kills {
            // Some die together, or each death would wait for a core alone.
            let together = 1 + rng.below(updaters.len() as u64) as usize;
            let first = rng.below(updaters.len() as u64) as usize;
            let victims: Vec<usize> =
                (first..first + together).map(|slot| slot % updaters.len()).collect();
            for slot in &victims {
                thread::sleep(Duration::from_nanos(rng.below(self.pause_ns)));
                updaters[*slot].signal(Signal::SIGKILL);
            }
            for slot in victims {
                assert!(updaters[slot].wait_killed(), "{told}: {}", report.text());
                in_the_lock += u64::from(raw.owner_has_died());
                updaters[slot] = enlist(self.kinds[slot]);
                kills += 1;
            }
        }
        for mut updater in updaters {
            updater.signal(Signal::SIGKILL);
            assert!(updater.wait_killed(), "{told}: {}", report.text());
        }
        let took = start.elapsed();
        board.stop.store(1, SeqCst);
        until("the watchers' end", || {
            assert_eq!(report.text(), "", "{told}");
            board.done.load(SeqCst) == WATCHERS as u32
        });
        let epoch = self.look_around(cache, board, &told);
        if self.by_time.is_some() {
            // The first ring was published before the clock started.
            let intervals = took.as_millis() as u64 / INTERVAL.as_millis() as u64;
            let made = epoch - 1;
            assert!(made <= intervals + 1, "{told}: {made} keys in {intervals} intervals");
            assert!(made >= intervals / 2, "{told}: {made} keys in {intervals} intervals");
        }
        board.leave.store(1, SeqCst);
        watchers.into_iter().for_each(Child::join);
        notice(&format!(
            "{}: {} kills in {:.1} s, {epoch} epochs, {in_the_lock} seen dead in the lock, {} looks, \
             {} refreshes, {} busy",
            self.name,
            kills,
            took.as_secs_f64(),
            board.looks.load(SeqCst),
            board.refreshes.load(SeqCst),
            board.busy.load(SeqCst),
        ));
    }

    /// All updaters are dead: everybody has the same newest ring, the lock is free, and the copy
    /// that does not count holds nothing.
    fn look_around(&self, cache: &Cache, board: &Board, told: &str) -> u64 {
        let raw = Raw::of(cache);
        let status = cache.keys().status().expect("there are keys");
        assert_eq!(status.epoch, raw.epoch(), "{told}");
        let table = cache.processes();
        for me in 0..WATCHERS {
            assert_eq!(board.ends[me].load(SeqCst), status.epoch, "{told}: watcher {me}");
            let pid = board.pids[me].load(SeqCst);
            let line = table.iter().find(|line| u64::from(line.pid()) == pid);
            assert_eq!(line.map(|line| line.key_epoch()), Some(status.epoch), "{told}: the table");
        }
        assert!(raw.other_copy().iter().all(|byte| *byte == 0), "{told}: retired keys are left");
        let start = Instant::now();
        let published = cache.keys().publish(vec![key(1)]).expect("the lock is free");
        assert!(start.elapsed() < Duration::from_millis(200), "{told}: the lock is hard to get");
        assert_eq!(published.epoch, status.epoch + 1, "{told}");
        status.epoch
    }
}

/// Rotates when it is due, and looks as often as it can.
fn rotate(cache: &Cache, board: &Board, rotation: Rotation) {
    loop {
        match cache.keys().rotate_if_due(&rotation) {
            Ok(None) => thread::sleep(PAUSE),
            Ok(Some(published)) => {
                let pid = u64::from(std::process::id());
                board.enter(&board.makers, published.epoch, pid, "makers");
            }
            Err(KeyError::Busy) => {
                board.busy.fetch_add(1, SeqCst);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// httpd's workers read their key file each for itself, and one killed while it is rewritten leaves
/// half a key. Here they die in every kind of update.
#[test]
fn ten_thousand_killed_updaters_leave_the_ring_whole_and_the_epoch_going_up() {
    let _turn = alone();
    let kinds = &[Kind::Publish, Kind::Load, Kind::Update48, Kind::Rotate];
    Storm { name: "updaters", kinds, kills: kills(), pause_ns: 200_000, by_time: None }.run();
}

/// Whoever makes the key may die of it: the others are there.
#[test]
fn killed_rotators_rotate_on_time_and_one_at_a_time() {
    let _turn = alone();
    let kinds = &[Kind::Rotate; 4];
    let by_time = Some(Rotation::every(INTERVAL));
    Storm { name: "rotators", kinds, kills: kills() / 5, pause_ns: 5_000_000, by_time }.run();
}
