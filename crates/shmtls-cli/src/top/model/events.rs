//! The latest events, as far back as somebody may want to scroll.

use std::collections::VecDeque;
use std::time::SystemTime;

const KEPT: usize = 2000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: SystemTime,
    /// `None` if the process has given its line back.
    pub(crate) pid: Option<u32>,
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    /// On whose behalf.
    pub(crate) origin: &'static str,
    /// A digest of the session's ID, or a bucket.
    pub(crate) subject: String,
    /// The start of its context.
    pub(crate) context: Option<u32>,
    /// 0 where it is not known.
    pub(crate) bytes: usize,
    pub(crate) tone: Tone,
}

/// How it is for the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Plain,
    Notable,
    Bad,
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// The oldest first.
    list: VecDeque<Event>,
    /// Overwritten before they were seen.
    pub(crate) missed: u64,
    /// How many have ever been added.
    pub(crate) total: u64,
}

impl Events {
    pub(crate) fn add(&mut self, events: Vec<Event>, missed: u64) {
        self.missed = self.missed.saturating_add(missed);
        self.total += events.len() as u64;
        self.list.extend(events);
        let spare = self.list.len().saturating_sub(KEPT);
        self.list.drain(..spare);
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Event> {
        self.list.iter().rev()
    }
}
