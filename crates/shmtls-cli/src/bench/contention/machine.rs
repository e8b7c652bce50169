//! Where and with what was measured.

use std::fs;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Machine {
    architecture: &'static str,
    kernel: String,
    cpu: Option<String>,
    pub(super) cores: usize,
    rustc: &'static str,
    shmtls: &'static str,
    /// Debug builds measure little but themselves.
    pub(super) optimized: bool,
    command_line: Vec<String>,
    /// What taking the time adds to each latency.
    pub(super) timer_ns: u64,
}

impl Machine {
    pub(super) fn new(cores: usize) -> Self {
        Self {
            architecture: std::env::consts::ARCH,
            kernel: read("/proc/sys/kernel/osrelease"),
            cpu: cpu(),
            cores,
            rustc: env!("SHMTLS_RUSTC"),
            shmtls: env!("CARGO_PKG_VERSION"),
            optimized: !cfg!(debug_assertions),
            command_line: std::env::args().collect(),
            timer_ns: timer().as_nanos() as u64,
        }
    }

    pub(super) fn text(&self) -> String {
        let cpu = self.cpu.as_deref().unwrap_or(self.architecture);
        format!("{cpu}, {} cores, Linux {}, {}", self.cores, self.kernel, self.rustc)
    }
}

/// The cores that we may use.
pub(super) fn cores() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count()).filter(|core| allowed.is_set(*core) == Ok(true)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().into()
}

fn cpu() -> Option<String> {
    let info = read("/proc/cpuinfo");
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().into())
}

/// The median of what two readings in a row differ by.
fn timer() -> Duration {
    let mut readings: Vec<_> = (0..10_001).map(|_| Instant::now().elapsed()).collect();
    readings.sort_unstable();
    readings[readings.len() / 2]
}
