//! The way into a bucket: lock it, repair it if its last owner died, do one thing, unlock, count.

use std::sync::atomic::Ordering::Relaxed;

use crate::fault::Occupied;
use crate::geometry::Geometry;
use crate::hash::{self, Place};
use crate::layout::MemberLine;
use crate::members::Membership;
use crate::miss::Busy;
use crate::repair::Repaired;
use crate::robust::{self, Death, Journey, NotAcquired, Patience};
use crate::segment::{BucketRef, Segment};
use crate::session::SessionId;
use crate::stats::Counter;
use crate::writer::{Departures, Writer};

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
        // Joining the table takes a lock of its own, so it comes before.
        let line = self.line();
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
        let repaired = (damaged || acquired.death.is_some()).then(|| self.repair_locked(bucket));
        if acquired.journey.waited {
            let contended = &bucket.header.contended;
            contended.store(contended.load(Relaxed).wrapping_add(1), Relaxed);
        }
        let mark = &bucket.header.reserved[0];
        Occupied::enter(mark, repaired.is_some());
        let result = work(bucket);
        Occupied::leave(mark);
        drop(acquired.guard);
        count_journey(line, acquired.journey);
        count_recovery(line, acquired.death, repaired);
        Ok(result)
    }

    /// Repairs a bucket in which a record failed its check.
    pub(crate) fn repair(&self, index: usize) {
        if let Ok(repaired) = self.with_bucket(index, |bucket| self.repair_locked(bucket)) {
            count_recovery(self.line(), None, Some(repaired));
        }
    }

    pub(crate) fn departures(&self, with_keys: bool) -> Departures {
        Departures::new(with_keys, self.geometry())
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
    line.add(Counter::LockWaits, journey.waited.into());
    line.add(Counter::LockLateWakes, journey.late_wakes.into());
    line.add(Counter::LocksWithoutKernel, journey.without_kernel.into());
}

fn count_recovery(line: &MemberLine, death: Option<Death>, repaired: Option<Repaired>) {
    match death {
        None => {}
        Some(Death::Kernel) => line.count(Counter::OwnerDiedKernel),
        Some(Death::Stolen) => line.count(Counter::OwnerDiedStolen),
        Some(Death::SameTid) => line.count(Counter::OwnerDiedSelf),
    }
    if let Some(Repaired { kept, lost }) = repaired {
        line.count(Counter::Repairs);
        line.add(Counter::RepairKept, kept);
        line.add(Counter::RepairLost, lost);
    }
}
