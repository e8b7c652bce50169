//! A lock that is held, and who has it.

use std::cmp::Reverse;

use serde::Serialize;
use shmtls::{LockState, ProcessInfo, SegmentInfo};

use super::sample::{Place, Sample, Seen};
use crate::output::units;
use crate::system::{ProcessState, Thread};

#[derive(Debug, Serialize)]
pub(crate) struct Held {
    place: &'static str,
    bucket: Option<usize>,
    pub(super) lock: &'static str,
    /// Null if the kernel has marked the owner's death.
    pub(super) tid: Option<u32>,
    pub(crate) pid: Option<u32>,
    pub(crate) command: Option<String>,
    pub(crate) state: ProcessState,
    /// Whether the process is in the table. One that is not has been given a dead owner's ID.
    pub(super) attached: Option<bool>,
    /// At least.
    pub(super) held_millis: u64,
    pub(super) waiters: bool,
    /// The bucket is half changed.
    pub(super) changing: bool,
}

impl Held {
    /// The longest held first.
    pub(super) fn all(sample: &Sample, processes: &[ProcessInfo], info: &SegmentInfo) -> Vec<Self> {
        let held = sample.held();
        let mut all: Vec<_> =
            held.map(|(place, seen)| Self::of(place, seen, processes, info)).collect();
        all.sort_by_key(|held| Reverse(held.held_millis));
        all
    }

    fn of(place: Place, seen: &Seen, processes: &[ProcessInfo], info: &SegmentInfo) -> Self {
        let (lock, tid, waiters) = match seen.lock {
            LockState::Held { tid, waiters } => ("held", Some(tid), waiters),
            LockState::Claimed { tid } => ("claimed", Some(tid), false),
            _ => ("owner died", None, false),
        };
        let owner = Owner::of(tid, processes, info);
        Self {
            place: match place {
                Place::ProcessTable => "process table",
                Place::TicketKeys => "ticket keys",
                Place::Bucket(_) => "bucket",
            },
            bucket: if let Place::Bucket(index) = place { Some(index) } else { None },
            lock,
            tid,
            pid: owner.pid,
            command: owner.command,
            state: owner.state,
            attached: owner.pid.map(|pid| processes.iter().any(|process| process.pid() == pid)),
            held_millis: units::millis(seen.held_for()),
            waiters,
            changing: seen.changing,
        }
    }

    pub(crate) fn place(&self) -> String {
        match self.bucket {
            Some(bucket) => format!("{} {bucket}", self.place),
            None => self.place.into(),
        }
    }
}

struct Owner {
    pid: Option<u32>,
    command: Option<String>,
    state: ProcessState,
}

impl Owner {
    fn of(tid: Option<u32>, processes: &[ProcessInfo], info: &SegmentInfo) -> Self {
        let Some(tid) = tid else {
            return Self { pid: None, command: None, state: ProcessState::Dead };
        };
        if !info.is_in_our_pid_namespace() {
            return Self { pid: None, command: None, state: ProcessState::Unknown };
        }
        match Thread::of(tid) {
            Some(thread) => {
                Self { pid: Some(thread.pid), command: Some(thread.command), state: thread.state }
            }
            // A process's first thread has its ID; of others nothing is left.
            None => {
                let process = processes.iter().find(|process| process.pid() == tid);
                Self {
                    pid: process.map(ProcessInfo::pid),
                    command: process.map(|process| process.command().into()),
                    state: ProcessState::Dead,
                }
            }
        }
    }
}
