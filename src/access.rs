//! The way into a bucket: lock it, repair it if its last owner died, do one thing, unlock, count.

use std::sync::atomic::Ordering::Relaxed;

use crate::departures::Departures;
use crate::events::{self, Happening, Note, Recovery};
use crate::fault::Occupied;
use crate::geometry::Geometry;
use crate::hash::{self, Place};
use crate::hook::Origin;
use crate::layout::MemberLine;
use crate::members::Membership;
use crate::miss::Busy;
use crate::repair::Repaired;
use crate::robust::{self, Death, Journey, NotAcquired, Patience};
use crate::segment::{BucketRef, Segment};
use crate::session::SessionId;
use crate::stats::Counter;
use crate::sys::clock::Now;
use crate::writer::Writer;

/// A segment and this process's place in it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) segment: Segment,
    membership: Membership,
    patience: Patience,
}

impl Access {
    pub(crate) fn new(segment: Segment, patience: Patience) -> Self {
        Self { segment, membership: Membership::new(patience), patience }
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        self.segment.geometry()
    }

    /// The line that counts for this process.
    #[inline]
    pub(crate) fn line(&self) -> &MemberLine {
        self.membership.line(&self.segment)
    }

    /// Whether this process may take a lock of the segment.
    #[inline]
    pub(crate) fn may_lock(&self) -> bool {
        self.membership.may_lock(&self.segment)
    }

    pub(crate) fn locate(&self, id: &SessionId) -> Place {
        hash::locate(self.geometry().seed, id, self.geometry().bucket_count as usize)
    }

    pub(crate) fn buckets(&self) -> std::ops::Range<usize> {
        0..self.geometry().bucket_count as usize
    }

    /// Does `work` in bucket `index` under its lock. `work` copies words and does nothing else: no
    /// callback, allocation, system call or log line.
    pub(crate) fn with_bucket<R>(
        &self,
        index: usize,
        work: impl FnOnce(BucketRef<'_>) -> R,
    ) -> Result<R, Busy> {
        self.enter(index, false, |bucket, _| work(bucket))
    }

    /// Repairs a bucket in which something is not as a writer leaves it. If its last owner died in
    /// it, that is this repair: there is one, and one is counted.
    pub(crate) fn repair(&self, index: usize) -> Result<Repaired, Busy> {
        self.enter(index, true, |_, repaired| repaired.unwrap_or_default())
    }

    /// The only place that locks a bucket. Repairs it if its last owner left it in the midst of
    /// something, or if `must_repair`.
    #[inline]
    fn enter<R>(
        &self,
        index: usize,
        must_repair: bool,
        work: impl FnOnce(BucketRef<'_>, Option<Repaired>) -> R,
    ) -> Result<R, Busy> {
        // Joining the table takes a lock of its own, so it comes before.
        let (line, listed) = self.membership.place(&self.segment);
        if listed.is_none() && !self.may_lock() {
            return Err(Busy);
        }
        let bucket = self.segment.bucket(index);
        let acquired = match robust::lock(&bucket.header.lock, self.patience) {
            Ok(acquired) => acquired,
            Err(refused) => {
                count_refusal(line, refused);
                return Err(Busy);
            }
        };
        // A panic leaves no dead owner, but an odd generation.
        let damaged = !bucket.header.generation.load(Relaxed).is_multiple_of(2);
        let must_repair = must_repair || damaged || acquired.death.is_some();
        let repaired = must_repair.then(|| self.repair_locked(bucket));
        if acquired.journey.waited {
            let contended = &bucket.header.contended;
            contended.store(contended.load(Relaxed).wrapping_add(1), Relaxed);
        }
        let mark = &bucket.header.reserved;
        Occupied::enter(mark, repaired.is_some());
        let result = work(bucket, repaired);
        Occupied::leave(mark);
        drop(acquired.guard);
        count_journey(line, acquired.journey);
        self.count_recovery(index, acquired.death, repaired);
        Ok(result)
    }

    /// What a call that begins now makes leave.
    pub(crate) fn departures(&self, with_keys: bool) -> Departures {
        Departures::new(with_keys, self.geometry(), Now::read())
    }

    /// Notes an event in the ring of this process, if there is one.
    pub(crate) fn note(&self, now: Now, note: Note) {
        if self.geometry().event_slots > 0
            && let (line, Some(index)) = self.membership.place(&self.segment)
        {
            events::note(line, self.segment.events(index), now, note);
        }
    }

    #[inline]
    fn count_recovery(&self, index: usize, death: Option<Death>, repaired: Option<Repaired>) {
        if death.is_some() || repaired.is_some() {
            self.count_rare_recovery(index, death, repaired.unwrap_or_default());
        }
    }

    #[cold]
    fn count_rare_recovery(&self, index: usize, death: Option<Death>, repaired: Repaired) {
        let (line, now) = (self.line(), Now::read());
        let recovery = match death {
            None => Recovery::Damage,
            Some(Death::Kernel) => Recovery::Kernel,
            Some(Death::Stolen) => Recovery::TakenOver,
            Some(Death::SameTid) => Recovery::OwnId,
        };
        match recovery {
            Recovery::Damage => {}
            Recovery::Kernel => line.count(Counter::OwnerDiedKernel),
            Recovery::TakenOver => line.count(Counter::OwnerDiedStolen),
            Recovery::OwnId => line.count(Counter::OwnerDiedSelf),
        }
        line.count(Counter::Repairs);
        line.add(Counter::RepairKept, repaired.kept);
        line.add(Counter::RepairLost, repaired.lost);
        if death.is_some() {
            line.recovered_unix_secs.store(now.secs().into(), Relaxed);
            line.recovered_bucket.store(index as u64, Relaxed);
        }
        let happening = Happening::Recovered(recovery);
        let (origin, subject) = (Origin::Api, index as u64);
        self.note(now, Note { happening, origin, subject, context: 0, len: 0 });
    }

    fn repair_locked(&self, bucket: BucketRef<'_>) -> Repaired {
        let writer = Writer::begin(bucket, self.geometry());
        let repaired = writer.repair();
        writer.finish();
        repaired
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.membership.leave(&self.segment);
    }
}

fn count_refusal(line: &MemberLine, refused: NotAcquired) {
    match refused {
        NotAcquired::Deadline(journey) => {
            line.count(Counter::LockDeadlines);
            count_journey(line, journey);
        }
        NotAcquired::Reentered => line.count(Counter::LockReentered),
    }
}

fn count_journey(line: &MemberLine, journey: Journey) {
    if journey.waited {
        let nanos = u64::try_from(journey.wait.as_nanos()).unwrap_or(u64::MAX);
        line.count(Counter::LockWaits);
        line.add(Counter::LockWaitNanos, nanos);
        line.count(Counter::of_wait(nanos));
    }
    line.add(Counter::LockLateWakes, journey.late_wakes.into());
    line.add(Counter::LocksWithoutKernel, journey.without_kernel.into());
}
