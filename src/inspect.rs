//! Looking into a live segment from outside: no lock is taken and nothing is written.

use crate::keyring;
use crate::keys::{self, KeyStatus};
use crate::members::{self, ProcessInfo};
use crate::segment::{BucketImage, Segment};
use crate::snapshot::{self, EntryInfo};
use crate::stats::Stats;

/// A read-only view of a segment, for tools. The mapping is PROT_READ.
///
/// ```
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// let inspector = shmtls::Options::new().inspect_fd(cache.fd().try_clone_to_owned()?)?;
/// assert_eq!(inspector.len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Inspector {
    segment: Segment,
}

impl Inspector {
    pub(crate) fn new(segment: Segment) -> Self {
        Self { segment }
    }

    /// Sum of the counters of all processes that ever attached.
    pub fn stats(&self) -> Stats {
        members::totals(&self.segment)
    }

    /// What the ring of ticket keys holds: never key material. `None` before there are any.
    pub fn keys(&self) -> Option<KeyStatus> {
        let region = &self.segment.header().keys;
        let ring = keyring::read(region, self.segment.geometry().seed).ok()??;
        Some(keys::status(&ring))
    }

    /// The processes in the table, dead ones included until somebody needs their line.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        members::list(&self.segment)
    }

    /// Sessions stored, expired ones included until they are cleared away.
    pub fn len(&self) -> usize {
        self.buckets().map(|index| self.segment.bucket(index).len()).sum()
    }

    /// Whether there is no session at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether sessions are sealed: then only those who have the key can read them.
    pub fn is_sealed(&self) -> bool {
        self.segment.geometry().sealing != 0
    }

    /// Calls `f` for every session, a consistent copy of one bucket at a time; never with its
    /// bytes. Returns the number of buckets that could not be copied: somebody is in them, or died
    /// in them.
    pub fn for_each(&self, mut f: impl FnMut(&EntryInfo)) -> usize {
        let image = BucketImage::new(self.segment.geometry());
        let unread = self.buckets().filter(|&index| {
            let copied = snapshot::copy(self.segment.bucket(index), &image);
            if copied {
                snapshot::for_each_record(&image, self.segment.geometry(), |entry, _| f(entry));
            }
            !copied
        });
        unread.count()
    }

    fn buckets(&self) -> impl Iterator<Item = usize> {
        0..self.segment.geometry().bucket_count as usize
    }
}
