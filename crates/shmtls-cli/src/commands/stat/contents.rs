//! How full a segment is, and with what.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use shmtls::{EntryInfo, Inspector};

/// In so many buckets sessions are looked at one by one.
const SAMPLE: usize = 512;

#[derive(Debug, Serialize)]
pub(crate) struct Contents {
    pub(crate) sessions: usize,
    /// Sessions that would fit if all were of the smallest size.
    pub(crate) slots: usize,
    /// Of all buckets, with the head of each session.
    pub(crate) used_bytes: usize,
    pub(crate) capacity_bytes: usize,
    /// Buckets in which sizes and ages were looked at: spread over all, or all.
    pub(crate) sampled_buckets: usize,
    pub(crate) sampled_sessions: usize,
    pub(crate) mean_session_bytes: Option<usize>,
    /// Of the sessions that are alive.
    pub(crate) oldest_age_secs: Option<u64>,
}

impl Contents {
    pub(crate) fn of(inspector: &Inspector) -> Self {
        let info = inspector.info();
        let (mut sessions, mut used_bytes) = (0, 0);
        for bucket in inspector.buckets() {
            sessions += bucket.sessions();
            used_bytes += bucket.used_bytes();
        }
        let sample = Sample::of(inspector, SAMPLE);
        Self {
            sessions,
            slots: info.buckets() * info.bucket_slots(),
            used_bytes,
            capacity_bytes: info.buckets() * info.bucket_capacity(),
            sampled_buckets: sample.buckets,
            sampled_sessions: sample.sessions,
            mean_session_bytes: sample.bytes.checked_div(sample.sessions),
            oldest_age_secs: sample.oldest.map(|age| age.as_secs()),
        }
    }
}

/// Mean size of a session, without what the segment keeps besides, of so many buckets.
#[cfg(feature = "top")]
pub(crate) fn mean_session_bytes(inspector: &Inspector, buckets: usize) -> Option<usize> {
    let sample = Sample::of(inspector, buckets);
    sample.bytes.checked_div(sample.sessions)
}

#[derive(Debug, Default)]
struct Sample {
    buckets: usize,
    sessions: usize,
    bytes: usize,
    oldest: Option<Duration>,
}

impl Sample {
    fn of(inspector: &Inspector, buckets: usize) -> Self {
        let all = inspector.info().buckets();
        let step = all.div_ceil(buckets);
        let mut sample = Self::default();
        let now = SystemTime::now();
        let unread = inspector.for_each_in((0..all).step_by(step), |entry| sample.add(entry, now));
        sample.buckets = all.div_ceil(step) - unread.len();
        sample
    }

    fn add(&mut self, entry: &EntryInfo, now: SystemTime) {
        self.sessions += 1;
        self.bytes += entry.len();
        if !entry.expiry().has_passed() {
            let age = now.duration_since(entry.created()).unwrap_or_default();
            self.oldest = self.oldest.max(Some(age));
        }
    }
}
