//! The process table: a line of identity and counters for each attached process.
//!
//! A dead process's counters are folded into the retired total by whoever needs its line or asks
//! for the table to be tidied; until then readers simply add them. Folding survives a death at any
//! instruction: the new total is written into the copy that does not count yet, one store of the
//! commit word makes it count and names the line, and clearing that line can be done again.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::time::Duration;

use crate::layout::{COUNTERS, Header, MemberLine};
use crate::robust::{self, Patience, RobustGuard};
use crate::segment::Segment;
use crate::session::now_secs;
use crate::stats::{Counter, Stats};
use crate::step::{kill_point, word_done};
use crate::sys::process;
use crate::sys::thread::fork_stamp;

mod info;

pub use info::ProcessInfo;

/// This process's place in the table. A forked child finds that it has none and takes its own.
#[derive(Debug)]
pub(crate) struct Membership {
    /// [`fork_stamp`] (upper bits) and line index + 1 or [`ELSEWHERE`] (lower 16): 0 before the
    /// first use.
    current: AtomicU64,
    /// The member number under which that line was taken.
    member: AtomicU32,
    /// The PID namespace of the process that attached; 0 is unknown.
    namespace: u64,
    /// The [`stamp`] under which the table was found locked beyond all patience.
    gave_up: AtomicU64,
    /// How long an operation may wait.
    patience: Patience,
    /// Counts for a process that found the table full.
    unlisted: Box<MemberLine>,
}

impl Membership {
    pub(crate) fn new(patience: Patience) -> Self {
        let (current, gave_up) = (AtomicU64::new(0), AtomicU64::new(0));
        let (member, unlisted) = (AtomicU32::new(0), Box::new(empty_line()));
        let namespace = process::pid_namespace().unwrap_or(0);
        Self { current, member, namespace, gave_up, patience, unlisted }
    }

    /// The line of the process that asks.
    #[inline]
    pub(crate) fn line<'a>(&'a self, segment: &'a Segment) -> &'a MemberLine {
        self.place(segment).0
    }

    /// That line, and its index if it is one of the table.
    #[inline]
    pub(crate) fn place<'a>(&'a self, segment: &'a Segment) -> (&'a MemberLine, Option<usize>) {
        let mut current = self.current.load(Relaxed);
        if current >> LINE_BITS != stamp() {
            current = self.join(segment, current);
        }
        let index = line_index(current);
        (index.map_or(&*self.unlisted, |index| &segment.members()[index]), index)
    }

    /// Whether this process may take a lock of the segment. A child that was forked into another
    /// PID namespace may not: lock words hold thread IDs, and its own are strangers' here.
    #[inline]
    pub(crate) fn may_lock(&self, segment: &Segment) -> bool {
        self.place(segment).1.is_some() || self.current.load(Relaxed) & LINE_MASK != ELSEWHERE
    }

    /// Gives the line back, its counters to the retired total.
    pub(crate) fn leave(&self, segment: &Segment) {
        let current = self.current.load(Relaxed);
        let is_ours = current >> LINE_BITS == stamp();
        if let (true, Some(index)) = (is_ours, line_index(current)) {
            give_back(segment, Seat { index, member: self.member.load(Relaxed) });
        }
    }

    /// Takes a line for this process; of two threads that try at once, the loser gives its back.
    /// As long as the table is locked there is none, and every call tries again. A process of
    /// another PID namespace gets none.
    #[cold]
    fn join(&self, segment: &Segment, before: u64) -> u64 {
        if self.is_elsewhere() {
            let joined = stamp() << LINE_BITS | ELSEWHERE;
            let current = self.current.compare_exchange(before, joined, Relaxed, Relaxed);
            return current.map_or_else(|other| other, |_| joined);
        }
        let seat = match claim(segment, self.patience_to_join(before)) {
            Ok(seat) => seat,
            Err(TableBusy) => {
                self.gave_up.store(stamp(), Relaxed);
                return 0;
            }
        };
        let line = seat.map_or(0, |seat| seat.index as u64 + 1);
        let joined = stamp() << LINE_BITS | line;
        match self.current.compare_exchange(before, joined, Relaxed, Relaxed) {
            Ok(_) => {
                // Only who drops the last handle reads it, when all calls are over.
                self.member.store(seat.map_or(0, |seat| seat.member), Relaxed);
                joined
            }
            Err(other) => {
                if let Some(seat) = seat {
                    give_back(segment, seat);
                }
                other
            }
        }
    }

    /// Whether this process is a child that was forked into another PID namespace.
    fn is_elsewhere(&self) -> bool {
        let now = process::pid_namespace().unwrap_or(0);
        now != 0 && self.namespace != 0 && now != self.namespace
    }

    /// Whoever attaches has time. A forked child's first operation has its own deadline, and those
    /// after one that gave up do not wait again.
    fn patience_to_join(&self, before: u64) -> Patience {
        match before {
            _ if self.gave_up.load(Relaxed) == stamp() => Patience::NONE,
            0 => AT_LEISURE,
            _ => self.patience,
        }
    }
}

/// The bits of [`Membership::current`] that name a line.
const LINE_BITS: u32 = 16;
const LINE_MASK: u64 = (1 << LINE_BITS) - 1;
/// No line: this process is of another PID namespace. There are never so many lines.
const ELSEWHERE: u64 = LINE_MASK;

/// The fork stamp as far as it fits, never that of an unused [`Membership`].
fn stamp() -> u64 {
    (fork_stamp() << LINE_BITS >> LINE_BITS).max(1)
}

fn line_index(current: u64) -> Option<usize> {
    match current & LINE_MASK {
        0 | ELSEWHERE => None,
        line => Some(line as usize - 1),
    }
}

pub(crate) fn empty_line() -> MemberLine {
    MemberLine {
        pid: 0.into(),
        member: 0.into(),
        start_ticks: 0.into(),
        attached_unix_secs: 0.into(),
        heartbeat_unix_secs: 0.into(),
        command: [const { AtomicU64::new(0) }; 2],
        key_epoch: 0.into(),
        events: 0.into(),
        counters: [const { AtomicU64::new(0) }; COUNTERS],
        recovered_unix_secs: 0.into(),
        recovered_bucket: 0.into(),
        reserved: [const { AtomicU64::new(0) }; 6],
    }
}

impl MemberLine {
    #[inline]
    pub(crate) fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    #[inline]
    pub(crate) fn add(&self, counter: Counter, n: u64) {
        if n > 0 {
            self.counters[counter as usize].fetch_add(n, Relaxed);
        }
    }

    pub(crate) fn raise(&self, counter: Counter, n: u64) {
        self.counters[counter as usize].fetch_max(n, Relaxed);
    }

    /// Notes that the process is at work; one store a second at most.
    #[inline]
    pub(crate) fn heartbeat(&self, now: u32) {
        if self.heartbeat_unix_secs.load(Relaxed) != u64::from(now) {
            self.heartbeat_unix_secs.store(now.into(), Relaxed);
        }
    }

    /// Notes which ticket keys the process uses; one store for each epoch.
    #[inline]
    pub(crate) fn uses_keys_of(&self, epoch: u64) {
        if self.key_epoch.load(Relaxed) != epoch {
            self.key_epoch.store(epoch, Relaxed);
        }
    }

    /// The writer number that records carry.
    #[inline]
    pub(crate) fn writer(&self) -> u16 {
        self.member.load(Relaxed) as u16
    }
}

/// All lines in use, the dead ones too.
pub(crate) fn list(segment: &Segment) -> Vec<ProcessInfo> {
    segment.members().iter().filter_map(ProcessInfo::of).collect()
}

/// Sum over all processes, past and present.
///
/// A fold moves counters from a line to the total: the commit word says whether one happened
/// while we added, and then we add again.
pub(crate) fn totals(segment: &Segment) -> Stats {
    let retired = &segment.header().retired;
    let mut sums = [0; COUNTERS];
    for _ in 0..TOTALS_TRIES {
        let commit = retired.commit.load(Acquire);
        sums = std::array::from_fn(|i| retired.totals[copy_of(commit)][i].load(Relaxed));
        for (index, line) in segment.members().iter().enumerate() {
            if pending_line(commit) != Some(index) {
                sums = std::array::from_fn(|i| {
                    Counter::merge(i, sums[i], line.counters[i].load(Relaxed))
                });
            }
        }
        // Whoever saw a store of a fold sees its commit word too.
        fence(Acquire);
        if retired.commit.load(Relaxed) == commit {
            break;
        }
    }
    Stats::from_counters(|counter| sums[counter as usize])
}

/// Attempts at a sum that no fold disturbed; folds are as rare as deaths.
const TOTALS_TRIES: usize = 16;

/// A line that somebody took.
#[derive(Debug, Clone, Copy)]
struct Seat {
    index: usize,
    /// Another's by now if the line has another number.
    member: u32,
}

/// Frees a line, its counters to the retired total; unless it was taken for that of a dead process
/// and is another's by now.
fn give_back(segment: &Segment, seat: Seat) {
    let Ok(_held) = lock_table(segment, AT_LEISURE) else { return };
    if segment.members()[seat.index].member.load(Relaxed) == seat.member {
        fold(segment, seat.index);
    }
}

/// A line for this process: a free one, or that of a process that is gone. `None` if there is
/// neither.
fn claim(segment: &Segment, patience: Patience) -> Result<Option<Seat>, TableBusy> {
    let pid = std::process::id();
    let start_ticks = process::start_ticks(pid);
    let command = process::own_command();
    let Some((index, _held)) = vacate(segment, patience)? else { return Ok(None) };
    let line = &segment.members()[index];
    let member = segment.header().next_member.fetch_add(1, Relaxed);
    line.member.store(member, Relaxed);
    line.start_ticks.store(start_ticks, Relaxed);
    line.key_epoch.store(0, Relaxed);
    line.recovered_unix_secs.store(0, Relaxed);
    line.attached_unix_secs.store(now_secs().into(), Relaxed);
    for (word, bytes) in line.command.iter().zip(command.as_chunks().0) {
        word.store(u64::from_ne_bytes(*bytes), Relaxed);
    }
    // The line is free until this store; whatever stood in it before is overwritten next time.
    line.pid.store(pid, Release);
    Ok(Some(Seat { index, member }))
}

/// A free line, with the table's lock.
fn vacate(
    segment: &Segment,
    patience: Patience,
) -> Result<Option<(usize, RobustGuard<'_>)>, TableBusy> {
    let lines = segment.members();
    // Liveness is asked without the lock. Whoever comes at the same time may have taken what was
    // vacant by the time the lock is ours: then there may be another.
    for _ in lines {
        let Some(vacant) = vacant_line(segment) else { break };
        let held = lock_table(segment, patience)?;
        if let Some(index) = lines.iter().position(|line| line.pid.load(Relaxed) == 0) {
            return Ok(Some((index, held)));
        }
        match vacant {
            Vacant::Gone(index, member) if lines[index].member.load(Relaxed) == member => {
                fold(segment, index);
                return Ok(Some((index, held)));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A line to take.
enum Vacant {
    Free,
    /// Index and member number of a process that is gone.
    Gone(usize, u32),
}

fn vacant_line(segment: &Segment) -> Option<Vacant> {
    let lines = segment.members();
    if lines.iter().any(|line| line.pid.load(Acquire) == 0) {
        return Some(Vacant::Free);
    }
    lines.iter().enumerate().find_map(|(index, line)| {
        // Before the liveness: if the line changes hands meanwhile, so does this number.
        let member = line.member.load(Acquire);
        process::is_gone(line.pid.load(Acquire), line.start_ticks.load(Relaxed))
            .then_some(Vacant::Gone(index, member))
    })
}

/// Moves a line's counters into the retired total and frees the line. Under the table's lock.
fn fold(segment: &Segment, index: usize) {
    let retired = &segment.header().retired;
    let line = &segment.members()[index];
    let commit = retired.commit.load(Relaxed);
    let (from, to) = (copy_of(commit), 1 - copy_of(commit));
    // A reader may still be in that copy: it must not see the new sums and the old commit word.
    fence(Release);
    for i in 0..COUNTERS {
        let total = retired.totals[from][i].load(Relaxed);
        let sum = Counter::merge(i, total, line.counters[i].load(Relaxed));
        retired.totals[to][i].store(sum, Relaxed);
        word_done();
    }
    kill_point();
    let epoch = (commit >> 32).wrapping_add(1);
    retired.commit.store(epoch << 32 | (index as u64 + 1), Release);
    finish_fold(segment.header(), segment.members());
}

/// Clears the line that the commit word names, if it names one. Can be done again.
fn finish_fold(header: &Header, lines: &[MemberLine]) {
    let commit = header.retired.commit.load(Relaxed);
    // Nor a cleared line without the commit word that says so.
    fence(Release);
    if let Some(line) = pending_line(commit).and_then(|index| lines.get(index)) {
        for counter in &line.counters {
            counter.store(0, Relaxed);
            word_done();
        }
        kill_point();
        line.pid.store(0, Release);
    }
    kill_point();
    header.retired.commit.store(commit >> 32 << 32, Release);
}

/// Which copy of the totals counts.
fn copy_of(commit: u64) -> usize {
    (commit >> 32 & 1) as usize
}

/// The line that was folded and is not cleared yet.
fn pending_line(commit: u64) -> Option<usize> {
    (commit & 0xffff_ffff).checked_sub(1).map(|index| index as usize)
}

/// The table is held by somebody who stands still.
struct TableBusy;

/// For who attaches or leaves: nobody waits for that.
const AT_LEISURE: Patience =
    Patience { deadline: Duration::from_millis(500), slice: Duration::from_millis(10) };

/// The table's lock, with a fold that a dead owner began finished first.
fn lock_table(segment: &Segment, patience: Patience) -> Result<RobustGuard<'_>, TableBusy> {
    let acquired = robust::lock(&segment.header().members_lock, patience).map_err(|_| TableBusy)?;
    finish_fold(segment.header(), segment.members());
    Ok(acquired.guard)
}

#[cfg(test)]
mod tests;
