//! What a process has: memory of its own and descriptors, looked at from outside, over time.

use std::fs;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

/// What memory may grow by over the last two thirds of the run, whatever its length. malloc's
/// arenas settle before, and kilobytes more are not told from noise; a leak of 100 bytes in each
/// handshake is ten times as much in two minutes.
const GROWTH_MAX_KB: f64 = 256.0;
/// Descriptors that a process has for a moment: a connection at each door, an attached segment.
const FDS_PASSING: usize = 3;

/// One process that is there from the beginning to the end.
pub(crate) struct Patient {
    name: &'static str,
    pid: Pid,
    start: Instant,
    /// Room for all is made at the start: this is memory, too.
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    memory_kb: u64,
    fds: usize,
}

impl Patient {
    pub(crate) fn new(name: &'static str, pid: Pid) -> Self {
        Self { name, pid, start: Instant::now(), samples: Vec::with_capacity(1000) }
    }

    pub(crate) fn look(&mut self) {
        let fds = fs::read_dir(format!("/proc/{}/fd", self.pid)).expect("alive").count();
        let memory_kb = private_memory_kb(self.pid);
        self.samples.push(Sample { at: self.start.elapsed(), memory_kb, fds });
    }

    /// Panics if it has more and more.
    pub(crate) fn assert_steady(&self) {
        let (early, late) = self.samples.split_at(self.samples.len() / 3);
        let most = |samples: &[Sample]| samples.iter().map(|sample| sample.fds).max();
        let (before, after) = (most(early).expect("samples"), most(late).expect("samples"));
        assert!(after <= before + FDS_PASSING, "{}: {before} descriptors, {after}", self.name);
        let growth = growth_kb(late);
        assert!(growth <= GROWTH_MAX_KB, "{}: memory grew by {growth:.0} kB: {self}", self.name);
    }
}

/// First and last, and what the line through the last two thirds says.
impl std::fmt::Display for Patient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return f.write_str(self.name);
        };
        let late = &self.samples[self.samples.len() / 3..];
        write!(
            f,
            "{} {} -> {} kB ({:+.0} in the last two thirds), {} -> {} descriptors",
            self.name,
            first.memory_kb,
            last.memory_kb,
            growth_kb(late),
            first.fds,
            last.fds
        )
    }
}

/// How much higher the line through the samples ends than it begins (least squares).
fn growth_kb(samples: &[Sample]) -> f64 {
    let points = samples.iter().map(|sample| (sample.at.as_secs_f64(), sample.memory_kb as f64));
    let n = samples.len() as f64;
    let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
    let (mean_x, mean_y) = (sum_x / n, sum_y / n);
    let (mut xy, mut xx) = (0.0, 0.0);
    for (x, y) in points {
        xy += (x - mean_x) * (y - mean_y);
        xx += (x - mean_x) * (x - mean_x);
    }
    let span = samples.last().map_or(0.0, |last| (last.at - samples[0].at).as_secs_f64());
    if xx > 0.0 { xy / xx * span } else { 0.0 }
}

/// All that is not a file's, the segment's above all, which has its size for ever. To the page:
/// what `status` says is rounded by the kernel, to some hundreds of kilobytes.
fn private_memory_kb(pid: Pid) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("alive");
    let line = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("since Linux 4.14")
}
