//! All that the rules look at, read once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use shmtls::{EntryInfo, Inspector, KeyRole, KeyStatus, ProcessInfo, SegmentInfo, Stats};

use super::events::Recent;
use super::swap::Swap;
use crate::commands::keys::source;
use crate::commands::locks::{Held, held_now};
use crate::segment::Segment;
use crate::system::{self, ProcessState};

#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) now: SystemTime,
    /// What the user calls the segment.
    pub(super) label: String,
    pub(super) created: SystemTime,
    pub(super) chosen: Chosen,
    /// For so long was counted; `None`: since it was made.
    pub(super) window: Option<Duration>,
    pub(super) stats: Stats,
    pub(super) members: Vec<Member>,
    /// Whether PIDs in the segment are those that this tool knows.
    pub(super) knows_pids: bool,
    pub(super) keys: Option<Keys>,
    pub(super) recent: Recent,
    /// Held at this moment.
    pub(super) locks: Vec<Lock>,
    /// The longest that a session lives, of a sample of those stored.
    pub(super) longest_lifetime: Option<Duration>,
    pub(super) access: Option<Access>,
    pub(super) swap: Swap,
}

/// By the creator.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    /// `shmtls create` could make such a one: it has a name, and no sealing key.
    pub(super) by_command: bool,
    pub(super) bytes: u64,
    pub(super) max_session: u64,
    pub(super) lifetime: Duration,
    pub(super) processes: usize,
    pub(super) events: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) pid: u32,
    pub(super) command: String,
    pub(super) state: ProcessState,
    /// `None` if it has not used the cache since it attached.
    pub(super) last_seen: Option<SystemTime>,
    pub(super) lookups: u64,
    /// Of the keys that it used last; 0 if none.
    pub(super) key_epoch: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Keys {
    pub(super) epoch: u64,
    pub(super) published: SystemTime,
    pub(super) source: &'static str,
    /// Since when the key has encrypted that does so now, at the latest.
    pub(super) encrypts_since: Option<SystemTime>,
    /// Whether that is the start of the key, and not just the time of the last update.
    pub(super) knows_start: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Lock {
    pub(super) place: String,
    /// `None` if it is not known any more.
    pub(super) pid: Option<u32>,
    pub(super) state: ProcessState,
}

/// Who may open the file.
#[derive(Debug, Clone)]
pub(super) struct Access {
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) group: String,
}

/// In so many buckets sessions are looked at one by one.
const SAMPLE: usize = 512;

impl Picture {
    /// `earlier` is what had been counted so long ago.
    pub(super) fn take(
        segment: &Segment,
        inspector: &Inspector,
        earlier: Option<(Duration, Stats)>,
    ) -> Self {
        let (info, stats) = (inspector.info(), inspector.stats());
        let members = inspector.processes();
        let members: Vec<_> = members.iter().map(|it| Member::of(it, &info)).collect();
        let (now, window) = (SystemTime::now(), earlier.map(|(window, _)| window));
        let start = window.and_then(|window| now.checked_sub(window));
        let start = start.unwrap_or(SystemTime::UNIX_EPOCH);
        let file = fs::metadata(segment.path()).ok();
        let path = segment.path().display().to_string();
        Self {
            now,
            label: segment.label().into(),
            created: info.created(),
            chosen: Chosen::of(segment, &info),
            window,
            stats: earlier.map_or(stats, |(_, earlier)| stats.since(&earlier)),
            knows_pids: info.is_in_our_pid_namespace(),
            keys: inspector.keys().as_ref().map(Keys::of),
            recent: Recent::since(start, inspector),
            locks: held_now(inspector).iter().map(Lock::of).collect(),
            longest_lifetime: longest_lifetime(inspector),
            swap: Swap::of(file.as_ref(), info.bytes(), &members),
            access: file.map(|file| Access {
                path,
                mode: file.mode() & 0o777,
                group: system::group_name(file.gid()),
            }),
            members,
        }
    }

    /// Those that are not known to be dead.
    pub(super) fn live(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| !member.state.is_dead())
    }

    pub(super) fn dead(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.state.is_dead())
    }

    /// How long ago that was; what lies ahead is now.
    pub(super) fn age(&self, time: SystemTime) -> Duration {
        self.now.duration_since(time).unwrap_or_default()
    }
}

impl Chosen {
    fn of(segment: &Segment, info: &SegmentInfo) -> Self {
        Self {
            by_command: segment.has_name() && !info.is_sealed(),
            bytes: info.bytes(),
            max_session: info.max_session() as u64,
            lifetime: info.lifetime(),
            processes: info.processes(),
            events: info.events(),
        }
    }
}

impl Member {
    fn of(process: &ProcessInfo, segment: &SegmentInfo) -> Self {
        Self {
            pid: process.pid(),
            command: process.command().into(),
            state: ProcessState::of(process, segment),
            last_seen: system::last_seen(process),
            lookups: process.stats().lookups(),
            key_epoch: process.key_epoch(),
        }
    }

    /// `pid 81022 (nginx)`.
    pub(super) fn name(&self) -> String {
        format!("pid {} ({})", self.pid, self.command)
    }
}

impl Keys {
    fn of(status: &KeyStatus) -> Self {
        let current = status.keys.iter().find(|key| key.role == KeyRole::Current);
        let start = current.map(|key| u64::from(key.not_before.unix_secs()));
        let since = |start: u64| match start {
            // One without a start encrypts since it was published, or longer.
            0 => status.published,
            start => SystemTime::UNIX_EPOCH + Duration::from_secs(start),
        };
        Self {
            epoch: status.epoch,
            published: status.published,
            source: source(status.source),
            encrypts_since: start.map(since),
            knows_start: start.is_some_and(|start| start != 0),
        }
    }
}

impl Lock {
    fn of(held: &Held) -> Self {
        Self { place: held.place(), pid: held.pid, state: held.state }
    }
}

fn longest_lifetime(inspector: &Inspector) -> Option<Duration> {
    let all = inspector.info().buckets();
    let mut longest = None;
    let lifetime = |entry: &EntryInfo| {
        let end = Duration::from_secs(entry.expiry().unix_secs().into());
        let start = entry.created().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        end.checked_sub(start)
    };
    let buckets = (0..all).step_by(all.div_ceil(SAMPLE).max(1));
    inspector.for_each_in(buckets, |entry| longest = longest.max(lifetime(entry)));
    longest
}
