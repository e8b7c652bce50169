//! What the system says of users and processes.

use std::fs;

use nix::unistd::{Uid, User};
use serde::Serialize;
use shmtls::{ProcessInfo, SegmentInfo};

/// The name of a user; the number if it has none.
pub(crate) fn user_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// The name of the user who runs this.
pub(crate) fn me() -> String {
    user_name(Uid::effective().as_raw())
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

    pub(crate) fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Stopped)
    }

    pub(crate) fn is_dead(self) -> bool {
        matches!(self, Self::Zombie | Self::Dead)
    }
}

/// The state in `/proc/PID/stat`.
fn letter(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command stands in parentheses, and may have any in itself.
    stat.rsplit(") ").next()?.chars().next()
}
