//! What the system says of users and processes.

use std::fs;
use std::time::SystemTime;

use nix::unistd::{Gid, Group, Uid, User};
use serde::Serialize;
use shmtls::{ProcessInfo, SegmentInfo};

use crate::output::style;
use crate::output::table::Cell;

/// The name of a user; the number if it has none.
pub(crate) fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The name of a group; the number if it has none.
pub(crate) fn group_name(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => group.name,
        _ => gid.to_string(),
    }
}

/// The name of the user who runs this.
pub(crate) fn me() -> String {
    user_name(Uid::effective().as_raw())
}

/// When a process last used the cache; `None` if it has not since it attached, for which the table
/// has 0.
pub(crate) fn last_seen(process: &ProcessInfo) -> Option<SystemTime> {
    Some(process.last_seen()).filter(|time| *time != SystemTime::UNIX_EPOCH)
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProcessState {
    Running,
    /// By a signal or a debugger: it can hold a lock and do nothing.
    Stopped,
    /// Dead, and its parent has not asked how.
    Zombie,
    Dead,
    /// It is in another PID namespace.
    Unknown,
}

impl ProcessState {
    /// Of a line of the process table.
    pub(crate) fn of(process: &ProcessInfo, segment: &SegmentInfo) -> Self {
        if !segment.is_in_our_pid_namespace() {
            return Self::Unknown;
        }
        match (process.is_alive(), letter(process.pid())) {
            (true, Some('T' | 't')) => Self::Stopped,
            (true, _) => Self::Running,
            (false, Some('Z' | 'X')) => Self::Zombie,
            (false, _) => Self::Dead,
        }
    }

    pub(crate) fn cell(self) -> Cell {
        match self {
            Self::Running => Cell::new(style::GOOD, "running"),
            Self::Stopped => Cell::new(style::WARN, "stopped"),
            Self::Zombie => Cell::new(style::BAD, "zombie"),
            Self::Dead => Cell::new(style::BAD, "dead"),
            Self::Unknown => Cell::new(style::DIM, "unknown"),
        }
    }

    pub(crate) fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Stopped)
    }

    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Self::Zombie | Self::Dead)
    }
}

/// A thread that is still there, dead or alive.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) pid: u32,
    pub(crate) command: String,
    pub(crate) state: ProcessState,
}

impl Thread {
    pub(crate) fn of(tid: u32) -> Option<Self> {
        // Such a path is there for every thread, though only processes are listed.
        let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
        let pid =
            status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let state = match letter(tid)? {
            'T' | 't' => ProcessState::Stopped,
            'Z' | 'X' => ProcessState::Zombie,
            _ => ProcessState::Running,
        };
        Some(Self { pid, command: command.trim_end().into(), state })
    }
}

/// The state in `/proc/PID/stat`.
fn letter(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses, and may have any in itself.
    stat.rsplit(") ").next()?.chars().next()
}
