//! The supervisor of a storm: kills workers at random moments, and looks around when all are dead.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shmtls::{Cache, Options, Stats};

use super::battery;
use super::board::{Board, Plan};
use super::crew::{Crew, Death, Ids};
use super::payload::{Rng, context, id};
use super::scoreboard::Shared;
use super::table::{self, Row};

/// The longest that an operation waits for a bucket: what the options say by default.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);
pub(crate) const SLACK: Duration = Duration::from_millis(50);
/// Where somebody ready to run waits this long for a core, the owner of a lock may do so too: those
/// who want the lock sleep for whole slices, and may rightly give up.
const CROWDED: Duration = Duration::from_millis(25);

#[derive(Debug)]
pub(crate) struct Storm {
    pub(crate) name: &'static str,
    pub(crate) plan: Plan,
    pub(crate) death: Death,
    pub(crate) ids: Ids,
    /// Workers stand still now and then.
    pub(crate) stops: bool,
    /// The longest between two kills.
    pub(crate) pause: Duration,
    pub(crate) kills: u64,
}

/// What a storm left behind.
pub(crate) struct Aftermath {
    pub(crate) stats: Stats,
    pub(crate) row: Row,
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.row, self.stats)
    }
}

/// From the environment, or another one each time. It is told where a storm fails.
pub(crate) fn seed() -> u64 {
    let chosen = std::env::var("SHMTLS_SEED").ok().and_then(|seed| seed.parse().ok());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    chosen.unwrap_or_else(now)
}

impl Storm {
    /// Kills as often as was asked for. Panics if anything was wrong meanwhile or is afterwards.
    pub(crate) fn run(&self) -> Aftermath {
        let (seed, start) = (seed(), Instant::now());
        let told = format!("{} (SHMTLS_SEED={seed})", self.name);
        let cache = self.plan.options().create_memfd().expect("a segment");
        let board = Shared::<Board>::new();
        self.plan.store_residents(&cache);
        let kills = self.rage(&cache, &board, &told, seed);
        let took = start.elapsed();
        look_around(&self.plan, &cache, &told);
        self.judge(&cache, &board, &told, (kills, took))
    }

    fn rage(&self, cache: &Cache, board: &Board, told: &str, seed: u64) -> u64 {
        let mut rng = Rng::new(seed);
        let job = (&self.plan, board, cache);
        let fate = (&self.death, self.ids);
        let mut crew = Crew::enlist(job, fate, told, Rng::new(rng.next()));
        let mut kills = 0;
        while kills < self.kills {
            if rng.one_in(2) {
                thread::sleep(Duration::from_nanos(rng.below(self.pause.as_nanos() as u64)));
            }
            if matches!(self.death, Death::Starved(_)) {
                board.prepare();
            }
            kills += crew.kill_some();
            if self.stops {
                kills += crew.stop_one();
            }
        }
        kills + crew.kill_all()
    }

    fn judge(
        &self,
        cache: &Cache,
        board: &Board,
        told: &str,
        (kills, took): (u64, Duration),
    ) -> Aftermath {
        let stats = cache.stats();
        let delay = board.longest(|tally| &tally.longest_delay_ns);
        let row = Row::of(self.name, (kills, took), board, &stats);
        table::add(&row);
        assert_eq!(row.late, 0, "{told}: somebody waited for too long: {row}");
        let late_wakes = stats.lock_late_wakes;
        // Nobody passes on the wake-up of one whose memory is taken before the kernel has read his
        // robust list: then the next one comes by his slice.
        let is_heard = matches!(self.death, Death::Killed);
        let swallowed = if is_heard { 0 } else { stats.recoveries() };
        // A private futex loses a third of them, a crowded machine delays one in two hundred.
        let delayed = stats.lock_waits / 20;
        assert!(late_wakes <= delayed + swallowed, "{told}: wake-ups are lost: {row}");
        // Wide windows may fill a deadline, one behind the other, and so may waits for memory.
        let is_prompt = self.ids == Ids::Fresh && !battery::IS_WIDE && !self.plan.starves;
        if delay < CROWDED && is_prompt {
            assert_eq!(row.busy, 0, "{told}: nobody was kept from a core, but: {row}");
            // Who is woken and stands still does not take the lock.
            let is_told = is_heard && !self.stops;
            assert!(!is_told || late_wakes == 0, "{told}: {late_wakes} late wakes: {row}");
        }
        // What the owner's death tore was never in its slot.
        assert_eq!(stats.repair_lost, 0, "{told}: {row}");
        Aftermath { stats, row }
    }
}

/// All are dead: nothing is locked, nothing torn, nothing lost.
fn look_around(plan: &Plan, cache: &Cache, told: &str) {
    let deadlines = cache.stats().lock_deadlines;
    for number in 0..plan.ids() {
        let start = Instant::now();
        let _ = cache.size_of(&context(), &id(number));
        assert!(start.elapsed() < Duration::from_secs(1), "{told}: a lock is hard to get");
    }
    assert_eq!(cache.stats().lock_deadlines, deadlines, "{told}: a lock is lost");
    assert_eq!(words_left(plan, cache), [], "{told}: a lock word says that it is held");
    let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
    let inspector = Options::new().inspect_fd(fd).expect("read-only");
    let mut whole = 0;
    assert_eq!(inspector.for_each(|_| whole += 1), 0, "{told}: a bucket was left unrepaired");
    assert_eq!((whole, cache.len()), (inspector.len(), whole), "{told}: a session is torn");
    for number in 0..plan.residents {
        assert!(cache.size_of(&context(), &id(number)).is_ok(), "{told}: a resident is lost");
    }
    let _ = cache.keys().publish(vec![super::raw_keys::key(1)]).expect("the ring's lock is free");
}

/// The buckets' lock words that name an owner, as they stand in the segment's file.
fn words_left(plan: &Plan, cache: &Cache) -> Vec<u32> {
    const BUCKETS_OFFSET_AT: u64 = 40;
    const TID_MASK: u32 = 0x3fff_ffff;
    let file = std::fs::File::from(cache.fd().try_clone_to_owned().expect("a descriptor"));
    let mut offset = [0; 8];
    file.read_exact_at(&mut offset, BUCKETS_OFFSET_AT).expect("the header");
    let word = |bucket: u32| {
        let mut word = [0; 4];
        let at = u64::from_ne_bytes(offset) + u64::from(bucket) * u64::from(plan.bucket_bytes);
        file.read_exact_at(&mut word, at).expect("a bucket");
        u32::from_ne_bytes(word)
    };
    (0..plan.buckets).map(word).filter(|word| word & TID_MASK != 0).collect()
}
