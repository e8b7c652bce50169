//! The operations over all buckets, one at a time: count, fold, clear, sweep.

use crate::bucket::Entry;
use crate::cache::Cache;
use crate::hook::Removal;
use crate::miss::{Busy, Purged};
use crate::record;
use crate::repair::Repaired;
use crate::segment::{BucketImage, BucketRef};
use crate::session::{Context, now_secs};
use crate::snapshot::{self, EntryInfo};
use crate::stats::Counter;
use crate::writer::Writer;

impl Cache {
    /// Sessions stored, expired ones included until they are cleared away. Takes no lock.
    pub fn len(&self) -> usize {
        self.inner.access.buckets().map(|index| self.inner.access.segment.bucket(index).len()).sum()
    }

    /// Whether there is no session at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` with every session and its bytes, a consistent copy of one bucket at a time. Locks
    /// only a bucket that a dead process left behind, to repair it. `f` may call the cache.
    ///
    /// Returns the number of buckets that could not be had before the deadline.
    pub fn for_each(&self, mut f: impl FnMut(&EntryInfo, &[u8])) -> usize {
        let access = &self.inner.access;
        let image = BucketImage::new(access.geometry());
        let busy = access.buckets().filter(|&index| {
            let copied = snapshot::copy(access.segment.bucket(index), &image)
                || access
                    .with_bucket(index, |bucket| snapshot::copy_words(bucket, image.bucket()))
                    .is_ok();
            if copied {
                snapshot::for_each_record(index, &image, access.geometry(), |entry, record| {
                    if let Some(bytes) = entry.open(record, self.seal_of(index)) {
                        f(entry, bytes);
                    }
                });
            }
            !copied
        });
        busy.count()
    }

    /// Removes every session.
    pub fn clear(&self) -> Purged {
        self.purge(|_, _| Some(Removal::Removed))
    }

    /// Removes every session of a context: its certificate or policy has changed, say.
    pub fn remove_context(&self, context: &Context) -> Purged {
        self.purge(|bucket, entry| {
            let key = record::load_key(bucket.body, entry.at, &entry.head);
            (key.context == *context).then_some(Removal::Removed)
        })
    }

    /// Removes every session whose lifetime is over. Not needed for correctness: an expired session
    /// is never found, and gives way first.
    pub fn sweep(&self) -> Purged {
        let now = now_secs();
        self.purge(|_, entry| entry.head.expiry.passed_at(now).then_some(Removal::Expired))
    }

    /// Locks a bucket and makes it whole, as everyone does who finds that its last owner died in
    /// it. What is whole already stays as it is. For tools: nobody else need call this.
    ///
    /// # Errors
    ///
    /// [`Busy`] if the bucket could not be had before the deadline.
    ///
    /// # Panics
    ///
    /// If the segment has no bucket of that index.
    pub fn repair(&self, bucket: usize) -> Result<Repaired, Busy> {
        self.inner.access.repair(bucket)
    }

    /// Walks over all buckets and removes what `reason_of` says.
    fn purge(&self, reason_of: impl Fn(BucketRef<'_>, &Entry) -> Option<Removal>) -> Purged {
        let access = &self.inner.access;
        let mut purged = Purged::default();
        for index in access.buckets() {
            if access.segment.bucket(index).len() == 0 {
                continue;
            }
            let mut departures = self.departures();
            let removed = access.with_bucket(index, |bucket| {
                let writer = Writer::begin(bucket, access.geometry());
                writer.clear_impossible_slots();
                let mut removed = 0;
                for entry in bucket.entries() {
                    if let Some(reason) = reason_of(bucket, &entry) {
                        writer.remove(&entry, reason, &mut departures);
                        removed += 1;
                    }
                }
                writer.finish();
                removed
            });
            match removed {
                Ok(removed) => {
                    purged.removed += removed;
                    let by_caller = removed as u64 - departures.expired;
                    access.line().add(Counter::Removed, by_caller);
                }
                Err(Busy) => purged.busy += 1,
            }
            self.settle(departures);
        }
        purged
    }
}
