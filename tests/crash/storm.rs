//! The supervisor of a storm: forks workers, kills one at a random moment, forks another.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use shmtls::{Cache, Options, Stats};

use super::board::{Board, Plan};
use super::payload::{Rng, context, id};
use super::procs::{Child, Report, ask_for_pid, fork_reporting, notice};
use super::scoreboard::{RunDelay, Shared};
use super::worker::Worker;

/// How workers die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// SIGKILL: the kernel walks the robust list.
    Killed,
    /// SIGKILL and `process_mrelease`, as earlyoom does: the list may be gone before that.
    Released,
}

/// The longest that an operation waits for a bucket: what the options say by default.
const DEADLINE: Duration = Duration::from_millis(50);
const SLACK: Duration = Duration::from_millis(50);
/// Where somebody ready to run waits this long for a core, the owner of a lock may do so too: those
/// who want the lock sleep for whole slices, and may rightly give up.
const CROWDED: Duration = Duration::from_millis(25);

pub(crate) struct Storm {
    pub(crate) name: &'static str,
    pub(crate) plan: Plan,
    pub(crate) death: Death,
    pub(crate) kills: u64,
    /// Gives the next worker the dead one's process ID.
    pub(crate) reuse_ids: bool,
}

/// What a storm left behind.
pub(crate) struct Aftermath {
    pub(crate) stats: Stats,
    line: String,
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
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
        let mut rng = Rng::new(seed);
        let cache = self.plan.options().create_memfd().expect("a segment");
        let board = Shared::<Board>::new();
        let report = Report::new();
        self.plan.store_residents(&cache);
        let (plan, board, cache) = (&self.plan, &*board, &cache);
        let enlist = |worker: usize, seed: u64| {
            fork_reporting(&report, || {
                thread::scope(|scope| {
                    for thread in 0..plan.threads {
                        let slot = worker * plan.threads + thread;
                        let rng = Rng::new(seed ^ thread as u64);
                        let work = move || {
                            let delay = RunDelay::of_this_thread();
                            Worker { plan, board, cache, slot, rng, delay }.run()
                        };
                        // The first thread has the process's own ID.
                        if thread + 1 == plan.threads {
                            work();
                        }
                        scope.spawn(work);
                    }
                });
            })
        };
        let mut workers: Vec<Child> =
            (0..self.plan.workers).map(|slot| enlist(slot, rng.next())).collect();
        for _ in 0..self.kills {
            if rng.one_in(2) {
                thread::sleep(Duration::from_nanos(rng.below(300_000)));
            }
            let slot = rng.below(workers.len() as u64) as usize;
            let victim = &mut workers[slot];
            let pid = victim.pid();
            self.put_to_death(victim, &report, seed);
            if self.reuse_ids {
                ask_for_pid(pid);
            }
            workers[slot] = enlist(slot, rng.next());
        }
        for worker in &mut workers {
            self.put_to_death(worker, &report, seed);
        }
        self.look_around(cache, board, start.elapsed(), seed)
    }

    fn put_to_death(&self, victim: &mut Child, report: &Arc<Report>, seed: u64) {
        let pidfd = (self.death == Death::Released).then(|| pidfd_open(victim.pid()));
        victim.signal(Signal::SIGKILL);
        if let Some(pidfd) = pidfd {
            process_mrelease(&pidfd);
        }
        let was_killed = victim.wait_killed();
        assert!(was_killed, "{} (SHMTLS_SEED={seed}): {}", self.name, report.text());
    }

    /// All are dead: nothing is locked, nothing torn, nothing lost.
    fn look_around(&self, cache: &Cache, board: &Board, took: Duration, seed: u64) -> Aftermath {
        let told = format!("{} (SHMTLS_SEED={seed})", self.name);
        let deadlines = cache.stats().lock_deadlines;
        for number in 0..self.plan.ids() {
            let start = Instant::now();
            let _ = cache.size_of(&context(), &id(number));
            assert!(start.elapsed() < Duration::from_secs(1), "{told}: a lock is hard to get");
        }
        assert_eq!(cache.stats().lock_deadlines, deadlines, "{told}: a lock is lost");
        let fd = cache.fd().try_clone_to_owned().expect("a descriptor");
        let inspector = Options::new().inspect_fd(fd).expect("read-only");
        let mut whole = 0;
        assert_eq!(inspector.for_each(|_| whole += 1), 0, "{told}: a bucket was left unrepaired");
        assert_eq!((whole, cache.len()), (inspector.len(), whole), "{told}: a session is torn");
        for number in 0..self.plan.residents {
            assert!(cache.size_of(&context(), &id(number)).is_ok(), "{told}: a resident is lost");
        }
        let stats = cache.stats();
        let (ops, busy) = (board.sum(|tally| &tally.ops), board.sum(|tally| &tally.busy));
        let wait = board.longest(|tally| &tally.longest_wait_ns);
        let delay = board.longest(|tally| &tally.longest_delay_ns);
        let line = format!(
            "{}: {} kills in {:.1} s, {} operations, {} hits, {} deaths in a lock (kernel {}, \
             stolen {}, own ID {}), {} repairs kept {} and lost {}, {} evicted, {} lock waits, \
             {} late wakes, {} busy, longest wait {:.1} ms (without a core {:.1} ms)",
            self.name,
            self.kills,
            took.as_secs_f64(),
            ops,
            board.sum(|tally| &tally.hits),
            stats.recoveries(),
            stats.owner_died_kernel,
            stats.owner_died_stolen,
            stats.owner_died_self,
            stats.repairs,
            stats.repair_kept,
            stats.repair_lost,
            stats.evicted,
            stats.lock_waits,
            stats.lock_late_wakes,
            busy,
            wait.as_secs_f64() * 1e3,
            delay.as_secs_f64() * 1e3,
        );
        notice(&line);
        assert!(wait <= DEADLINE + SLACK + delay, "{told}: somebody waited for too long: {line}");
        let late_wakes = stats.lock_late_wakes;
        assert!(late_wakes <= ops / 5000, "{told}: wake-ups are lost: {line}");
        if delay < CROWDED && !self.reuse_ids {
            assert_eq!(
                (busy, late_wakes),
                (0, 0),
                "{told}: nobody was kept from a core, but: {line}"
            );
        }
        // What the owner's death tore was never in its slot.
        assert_eq!(stats.repair_lost, 0, "{told}: {line}");
        Aftermath { stats, line }
    }
}

fn pidfd_open(pid: Pid) -> OwnedFd {
    // SAFETY: takes numbers only.
    #[allow(clippy::disallowed_methods)]
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    assert!(fd >= 0, "pidfd_open of a child: {}", std::io::Error::last_os_error());
    // SAFETY: a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Frees a dying process's memory. It may have gone by itself meanwhile.
fn process_mrelease(pidfd: &OwnedFd) {
    // SAFETY: takes numbers only.
    #[allow(clippy::disallowed_methods)]
    unsafe {
        libc::syscall(libc::SYS_process_mrelease, pidfd.as_fd().as_raw_fd(), 0)
    };
}
