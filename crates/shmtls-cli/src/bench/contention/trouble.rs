//! What happens to the workers while they work: some are stopped for a while, some are killed, if
//! one can be found while it has a lock. Then the time until somebody else has that lock is taken.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use shmtls::{Cache, Inspector, LockState};

use super::arena::Arena;
use super::crew::Crew;
use super::gate::Gate;
use super::plan::Lock;
use super::sessions::Random;
use super::workload;

/// The supervisor of a burst.
#[derive(Debug)]
pub(super) struct Trouble<'a> {
    pub(super) lock: Lock,
    pub(super) arena: &'a Arena,
    pub(super) cache: &'a Cache,
    pub(super) inspector: &'a Inspector,
    pub(super) random: Random,
    pub(super) toll: Toll,
}

/// What it did.
#[derive(Debug, Default, Clone)]
pub(super) struct Toll {
    pub(super) kills: u64,
    pub(super) stops: u64,
    /// Of kills in a section: nanoseconds until somebody had the lock again.
    pub(super) recoveries: Vec<u64>,
    /// Recoveries of a global lock that fell to the supervisor.
    pub(super) own: u64,
    /// A lock that nobody got any more.
    pub(super) hung: bool,
}

/// When something is due next, so many times a second; never for 0.
#[derive(Debug)]
struct Clock {
    period: Option<Duration>,
    next: Instant,
}

/// How long a worker is stopped.
const STOP: Duration = Duration::from_millis(50);
/// How often a worker is looked at until one has a lock.
const LOOKS: usize = 40;
/// Who has not had the lock by then never will.
const PATIENCE: Duration = Duration::from_secs(1);

impl Trouble<'_> {
    /// Until the burst is over, or hangs.
    pub(super) fn make(
        &mut self,
        crew: &mut Crew,
        (kill, stop): (f64, f64),
        end: Instant,
    ) -> io::Result<()> {
        let (mut kills, mut stops) = (Clock::new(kill), Clock::new(stop));
        let mut stopped: Option<(usize, Instant)> = None;
        while Instant::now() < end && !self.toll.hung {
            if let Some((worker, until)) = stopped
                && Instant::now() >= until
            {
                crew.go_on(worker)?;
                stopped = None;
            }
            if kills.is_due() {
                self.kill_one(crew)?;
            }
            if stopped.is_none() && stops.is_due() {
                stopped = self.stop_one(crew)?;
            }
            let resume = stopped.map_or(end, |(_, until)| until);
            let next = kills.next.min(stops.next).min(resume).min(end);
            thread::sleep(next.saturating_duration_since(Instant::now()).min(STOP));
        }
        if let Some((worker, _)) = stopped {
            crew.go_on(worker)?;
        }
        Ok(())
    }

    fn stop_one(&mut self, crew: &mut Crew) -> io::Result<Option<(usize, Instant)>> {
        let Some(worker) = self.choose(crew) else { return Ok(None) };
        crew.stop(worker)?;
        self.toll.stops += 1;
        Ok(Some((worker, Instant::now() + STOP)))
    }

    fn kill_one(&mut self, crew: &mut Crew) -> io::Result<()> {
        for look in 1..=LOOKS {
            let Some(worker) = self.choose(crew) else { return Ok(()) };
            crew.stop(worker)?;
            let owns = self.owns_a_lock(crew, worker);
            if owns || look == LOOKS {
                self.toll.kills += 1;
                self.kill(crew, worker, owns)?;
                return if self.toll.hung { Ok(()) } else { crew.replace(worker) };
            }
            crew.go_on(worker)?;
            thread::sleep(Duration::from_micros(self.random.below(200).into()));
        }
        Ok(())
    }

    fn choose(&mut self, crew: &Crew) -> Option<usize> {
        let running = crew.running();
        let n = u32::try_from(running.len()).ok().filter(|n| *n > 0)?;
        Some(running[self.random.below(n) as usize])
    }

    /// Of a stopped worker.
    fn owns_a_lock(&self, crew: &Crew, worker: usize) -> bool {
        if self.lock.is_global() {
            return self.arena.holder.load(Relaxed) == worker as u32 + 1;
        }
        let pid = crew.pid(worker).as_raw() as u32;
        let is_his = |lock| matches!(lock, LockState::Held { tid, .. } if tid == pid);
        self.inspector.buckets().any(|bucket| is_his(bucket.lock()))
    }

    fn kill(&mut self, crew: &Crew, worker: usize, owns: bool) -> io::Result<()> {
        let before = self.recovered();
        let start = Instant::now();
        crew.kill(worker)?;
        while owns && !self.try_next(worker, before) {
            if start.elapsed() > PATIENCE {
                self.toll.hung = true;
                return Ok(());
            }
        }
        if owns {
            self.toll.recoveries.push(start.elapsed().as_nanos() as u64);
        }
        Ok(())
    }

    /// Wants the lock that the dead worker had, for the shortest possible operation.
    fn try_next(&mut self, worker: usize, before: u64) -> bool {
        if !self.lock.is_global() {
            let id = workload::id(self.arena.line(worker).doing.load(Relaxed));
            return self.cache.remove(&workload::context(), &id).is_ok();
        }
        if let Some(owner_died) = Gate::new(self.arena, self.lock, 0).probe() {
            self.toll.own += u64::from(owner_died);
            return true;
        }
        thread::sleep(Duration::from_micros(10));
        self.recovered() > before
    }

    /// Recoveries of a global lock until now.
    fn recovered(&self) -> u64 {
        let lines = self.arena.lines(super::arena::WORKERS_MAX).iter();
        lines.map(|line| line.recoveries.load(Relaxed)).sum()
    }
}

impl Clock {
    fn new(rate: f64) -> Self {
        let period = (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate));
        let never = Duration::from_secs(1 << 32);
        Self { period, next: Instant::now() + period.map_or(never, |period| period / 2) }
    }

    fn is_due(&mut self) -> bool {
        let (now, Some(period)) = (Instant::now(), self.period) else { return false };
        let due = now >= self.next;
        if due {
            self.next = now + period;
        }
        due
    }
}
