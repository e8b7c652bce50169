//! Buckets that were taken over from dead owners: how many, and the last of each process.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use shmtls::{ProcessInfo, Stats};

use crate::output::units;

#[derive(Debug, Serialize)]
pub(crate) struct Recoveries {
    /// Locks whose owner died in them and that are in use again.
    count: u64,
    /// Of these, such as the kernel had marked.
    by_kernel: u64,
    buckets_repaired: u64,
    sessions_kept: u64,
    sessions_lost: u64,
    /// The last one of each process that is still in the table, the latest first.
    last: Vec<Recovery>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Recovery {
    pub(crate) unix_secs: u64,
    pub(crate) pid: u32,
    pub(crate) command: String,
    pub(crate) bucket: u64,
}

impl Recoveries {
    pub(crate) fn of(stats: &Stats, processes: &[ProcessInfo]) -> Self {
        let mut last: Vec<_> = processes.iter().filter_map(Recovery::of).collect();
        last.sort_by_key(|recovery| (std::cmp::Reverse(recovery.unix_secs), recovery.pid));
        Self {
            count: stats.recoveries(),
            by_kernel: stats.owner_died_kernel,
            buckets_repaired: stats.repairs,
            sessions_kept: stats.repair_kept,
            sessions_lost: stats.repair_lost,
            last,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn last(&self) -> &[Recovery] {
        &self.last
    }

    /// `1 bucket repaired, 7 sessions kept, 1 lost`.
    pub(crate) fn repairs(&self) -> String {
        let buckets = units::plural(self.buckets_repaired, "bucket", "buckets");
        let kept = units::plural(self.sessions_kept, "session", "sessions");
        format!("{buckets} repaired, {kept} kept, {} lost", units::count(self.sessions_lost))
    }
}

impl Recovery {
    fn of(process: &ProcessInfo) -> Option<Self> {
        let (at, bucket) = process.last_recovery()?;
        Some(Self {
            unix_secs: units::unix_secs(at),
            pid: process.pid(),
            command: process.command().into(),
            bucket,
        })
    }

    /// `2h 3m ago by pid 81022 (nginx) in bucket 7`.
    pub(crate) fn text(&self) -> String {
        let age = units::age(UNIX_EPOCH + Duration::from_secs(self.unix_secs));
        format!("{age} ago by pid {} ({}) in bucket {}", self.pid, self.command, self.bucket)
    }
}
