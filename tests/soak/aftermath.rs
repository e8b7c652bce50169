//! What must hold when it is over, and what there is to tell.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use shmtls::{Cache, Options, Stats};

use crate::board::{Board, Rate};
use crate::client::Kind;
use crate::health::Patient;
use crate::payload::{HEAD, context, id, payload, soon};
use crate::plan::{LINES, Plan, Weather, capacity, options};
use crate::procs::notice;
use crate::supervisor::Damage;
use crate::worker::DOORS;

/// Percentage points by which the storm may cost resumptions.
const LOSS_MAX: f64 = 1.0;
/// Percent below which the calm is no measure: with caches of their own workers have a sixth.
const RATE_MIN: f64 = 85.0;

pub(crate) struct Aftermath<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) cache: &'a Cache,
    pub(crate) board: &'a Board,
    pub(crate) patients: Vec<Patient>,
    pub(crate) damage: Damage,
    pub(crate) start: Instant,
}

impl Aftermath<'_> {
    /// The dead have left their lines to the living, of whom each has one.
    pub(crate) fn assert_all_are_listed(&self, alive: &[u32]) {
        let listed = self.cache.processes();
        assert!(listed.len() <= LINES as usize);
        for pid in alive {
            assert!(listed.iter().any(|line| line.pid() == *pid), "{pid} has no line: {listed:?}");
        }
    }

    /// All are dead.
    pub(crate) fn look_around(&self, name: &str) {
        let (stats, epoch) = (self.cache.stats(), self.cache.keys().epoch());
        self.tell(&stats, epoch);
        self.check_rates();
        check_counters(&stats);
        self.check_rotations(epoch);
        self.patients.iter().for_each(Patient::assert_steady);
        self.check_segment(name);
    }

    fn check_rates(&self) {
        for weather in [Weather::Calm, Weather::Storm] {
            let tickets = self.board.tally(weather).rate(|kind| !Kind::is_stored(kind));
            assert_eq!(tickets.resumed, tickets.offered, "{weather:?}: keys were lost");
        }
        // A visit that began in the calm may end with the first death of the storm.
        let cut = |weather| self.board.tally(weather).cut.load(SeqCst);
        let cut = cut(Weather::Calm) + cut(Weather::Storm);
        let at_most = self.damage.kills * DOORS as u64;
        assert!(cut <= at_most, "{cut} were cut off: more than the dead had at a time, {at_most}");
        let [calm, storm] = self.rates(Kind::is_stored).map(Rate::percent);
        assert!(calm >= RATE_MIN, "{calm:.2} % in calm");
        assert!(calm - storm <= LOSS_MAX, "{calm:.2} % in calm, {storm:.2} % in storm");
    }

    fn rates(&self, counts: impl Fn(usize) -> bool) -> [Rate; 2] {
        [Weather::Calm, Weather::Storm].map(|weather| self.board.tally(weather).rate(&counts))
    }

    fn check_rotations(&self, epoch: u64) {
        let intervals = self.start.elapsed().div_duration_f64(self.plan.rotation_interval());
        let made = epoch as f64;
        // The first key is there at the start, and a new one may be due right now.
        assert!(made <= intervals + 2.0, "{made} keys in {intervals:.1} intervals");
        assert!(made >= intervals * 0.8, "{made} keys in {intervals:.1} intervals");
    }

    /// Nothing is locked, nothing torn, no room lost.
    fn check_segment(&self, name: &str) {
        let (cache, before) = (self.cache, self.cache.stats().lock_deadlines);
        let start = Instant::now();
        assert_eq!(cache.sweep().busy, 0, "a lock is lost");
        assert_eq!(cache.for_each(|_, _| ()), 0, "a lock is lost");
        assert!(start.elapsed() < Duration::from_secs(5), "locks are hard to get");
        assert_eq!(cache.stats().lock_deadlines, before, "a lock is lost");

        let inspector = Options::new().inspect(name).expect("there, and whole");
        let mut whole = 0;
        assert_eq!(inspector.for_each(|_| whole += 1), 0, "a bucket was left unrepaired");
        assert_eq!((whole, cache.len()), (inspector.len(), whole), "a session is torn");

        assert_eq!(cache.clear().busy, 0, "a lock is lost");
        assert!(cache.is_empty() && inspector.is_empty(), "{} sessions stay", cache.len());
        let fresh = options().create_memfd().expect("memory");
        // Short ones need all slots, long ones all bytes.
        for len in [HEAD, 1000] {
            assert_eq!(fill(cache, len), fill(&fresh, len), "room is lost");
        }
    }

    fn tell(&self, stats: &Stats, epoch: u64) {
        let [calm, storm] = [Weather::Calm, Weather::Storm].map(|w| self.board.tally(w));
        let percent = |rate: [Rate; 2]| {
            let [calm, storm] = rate.map(Rate::percent);
            format!("calm {calm:.2} %, storm {storm:.2} % ({:+.2} points)", storm - calm)
        };
        let [offered_in_calm, offered_in_storm] = self.rates(|_| true).map(|rate| rate.offered);
        let damage = &self.damage;
        let lines = [
            format!(
                "{:.1} minutes (SHMTLS_SEED={}), {} handshakes, {} of them in calm and {} in storm",
                self.start.elapsed().as_secs_f64() / 60.0,
                self.plan.seed,
                self.board.all_visits(),
                calm.visits.load(SeqCst),
                storm.visits.load(SeqCst),
            ),
            format!(
                "resumed: {}, of {offered_in_calm} and {offered_in_storm} offers",
                percent(self.rates(|_| true))
            ),
            format!("  from the cache: {}", percent(self.rates(Kind::is_stored))),
            format!("  from tickets:   {}", percent(self.rates(|kind| !Kind::is_stored(kind)))),
            format!(
                "{} workers killed, {} tools killed, {} stopped, {} handshakes cut off",
                damage.kills,
                damage.kills_of_tools,
                damage.stops,
                storm.cut.load(SeqCst),
            ),
            format!(
                "{} keys, {} attached, {} executed, {} inspected",
                epoch,
                self.board.attached.load(SeqCst),
                damage.executed,
                self.board.inspected.load(SeqCst),
            ),
            format!(
                "{} owner deaths (kernel {}, stolen {}), {} repairs kept {} and lost {}, \
                 {} lock waits, {} deadlines, {} late wakes",
                stats.recoveries(),
                stats.owner_died_kernel,
                stats.owner_died_stolen,
                stats.repairs,
                stats.repair_kept,
                stats.repair_lost,
                stats.lock_waits,
                stats.lock_deadlines,
                stats.lock_late_wakes,
            ),
            format!(
                "{} stored, {} evicted, {} expired, {} sessions left; {} hits, {} foreign, \
                 {} absent, {} busy",
                stats.stored_new,
                stats.evicted,
                stats.expired,
                self.cache.len(),
                stats.hits,
                stats.foreign_hits,
                stats.misses_absent,
                stats.misses_busy,
            ),
        ];
        let lines = lines.into_iter().chain(self.patients.iter().map(Patient::to_string));
        lines.for_each(|line| notice(&format!("soak: {line}")));
    }
}

/// What never happens, and what must have happened for this to mean something.
fn check_counters(stats: &Stats) {
    let never = [
        stats.misses_damaged,
        stats.misses_undecodable,
        stats.misses_context,
        stats.misses_library,
        stats.misses_invalid_id,
        stats.refused_too_large,
        stats.repair_lost,
        stats.tickets_unknown_key,
        stats.keys_dropped,
        stats.locks_without_kernel,
    ];
    assert!(never.iter().all(|count| *count == 0), "{stats:?}");
    let sometimes = [
        stats.foreign_hits,
        stats.evicted,
        stats.expired,
        stats.recoveries(),
        stats.tickets_current_key,
        stats.tickets_old_key,
    ];
    assert!(sometimes.iter().all(|count| *count > 0), "{stats:?}");
}

/// Stores more sessions than there is room for, all of one length; returns how many stay.
fn fill(cache: &Cache, len: usize) -> usize {
    assert_eq!(cache.clear().busy, 0);
    for number in 0..capacity() as u64 * 4 {
        let outcome = cache.insert(&context(), &id(number), &payload(number, 0, len), soon());
        assert!(outcome.is_stored(), "{outcome:?}");
    }
    cache.len()
}
