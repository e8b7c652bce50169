//! What the system says of users and processes.

use std::fs;

use nix::unistd::{Uid, User};
use serde::Serialize;

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

/// What `/proc` says of a process; `is_alive` tells whether it is still the one of that number.
pub(crate) fn process_state(pid: u32, is_alive: bool) -> ProcessState {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command stands in parentheses, and may have any in itself.
    let letter = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
    match (is_alive, letter) {
        (true, Some('T' | 't')) => ProcessState::Stopped,
        (true, _) => ProcessState::Running,
        (false, Some('Z' | 'X')) => ProcessState::Zombie,
        (false, _) => ProcessState::Dead,
    }
}

/// Inode of this process's PID namespace.
pub(crate) fn pid_namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}
