//! What the process table says of a process.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::layout::MemberLine;
use crate::stats::Stats;
use crate::sys::process;

/// One line of the process table.
///
/// ```
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// assert!(cache.processes().iter().any(|process| process.pid() == std::process::id()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInfo {
    pid: u32,
    writer: u16,
    start_ticks: u64,
    attached_secs: u64,
    heartbeat_secs: u64,
    command: String,
    key_epoch: u64,
    recovered_secs: u64,
    recovered_bucket: u64,
    stats: Stats,
}

impl ProcessInfo {
    /// What a line says; `None` if it is free.
    pub(super) fn of(line: &MemberLine) -> Option<Self> {
        let pid = line.pid.load(Acquire);
        if pid == 0 {
            return None;
        }
        let command: Vec<u8> =
            line.command.iter().flat_map(|w| w.load(Relaxed).to_ne_bytes()).collect();
        let command = command.split(|&byte| byte == 0).next().unwrap_or_default();
        Some(Self {
            pid,
            writer: line.writer(),
            start_ticks: line.start_ticks.load(Relaxed),
            attached_secs: line.attached_unix_secs.load(Relaxed),
            heartbeat_secs: line.heartbeat_unix_secs.load(Relaxed),
            command: String::from_utf8_lossy(command).into_owned(),
            key_epoch: line.key_epoch.load(Relaxed),
            recovered_secs: line.recovered_unix_secs.load(Relaxed),
            recovered_bucket: line.recovered_bucket.load(Relaxed),
            stats: Stats::from_counters(|counter| line.counters[counter as usize].load(Relaxed)),
        })
    }

    /// Process ID, in the PID namespace of the segment.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The number by which stored sessions name this process.
    pub fn writer(&self) -> u16 {
        self.writer
    }

    /// The first 16 bytes of its command.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// When it attached.
    pub fn attached(&self) -> SystemTime {
        time_of(self.attached_secs)
    }

    /// When it last used the cache, to the second.
    pub fn last_seen(&self) -> SystemTime {
        time_of(self.heartbeat_secs)
    }

    /// The epoch of the ticket keys that it used last; 0 if it has used none.
    pub fn key_epoch(&self) -> u64 {
        self.key_epoch
    }

    /// When it last took over a lock from a dead owner, and the bucket of that lock.
    pub fn last_recovery(&self) -> Option<(SystemTime, u64)> {
        let is_set = self.recovered_secs != 0;
        is_set.then(|| (time_of(self.recovered_secs), self.recovered_bucket))
    }

    /// What it counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Whether it is still there. Only meaningful in the segment's PID namespace.
    pub fn is_alive(&self) -> bool {
        !process::is_gone(self.pid, self.start_ticks)
    }
}

/// A time from shared memory: cut to what every clock can tell.
fn time_of(unix_secs: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_secs.min(u32::MAX.into()))
}
