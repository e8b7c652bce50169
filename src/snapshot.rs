//! A consistent copy of one bucket without its lock: what readers of a live segment look at.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;
use std::time::SystemTime;
use std::time::{Duration, UNIX_EPOCH};

use crossbeam_utils::Backoff;

use crate::bucket::{Entry, Slot};
use crate::geometry::Geometry;
use crate::hash::IdDigest;
use crate::record::{self, Key};
use crate::sealing::Seal;
use crate::secret::SecretBytes;
use crate::segment::{BucketImage, BucketRef};
use crate::session::{Context, Expiry, Library, SessionId, now_secs};

/// Copies `bucket` into `image`. `false` if writers kept changing it, or one died in it.
pub(crate) fn copy(bucket: BucketRef<'_>, image: &BucketImage) -> bool {
    let backoff = Backoff::new();
    while !backoff.is_completed() {
        let generation = bucket.header.generation.load(Acquire);
        if generation.is_multiple_of(2) {
            copy_words(bucket, image.bucket());
            fence(Acquire);
            if bucket.header.generation.load(Relaxed) == generation {
                return true;
            }
        }
        backoff.snooze();
    }
    false
}

/// Copies a bucket whose lock is held, or that nobody changes.
pub(crate) fn copy_words(from: BucketRef<'_>, to: BucketRef<'_>) {
    to.header.slot_count.store(from.header.slot_count.load(Relaxed), Relaxed);
    for (to, from) in to.body.iter().zip(from.body) {
        to.store(from.load(Relaxed), Relaxed);
    }
}

/// Calls `f` for every whole record of an image of bucket `index`, with a private copy of it.
pub(crate) fn for_each_record(
    index: usize,
    image: &BucketImage,
    geometry: &Geometry,
    mut f: impl FnMut(&EntryInfo, &mut [u8]),
) {
    let bucket = image.bucket();
    let mut bytes = SecretBytes::with_capacity(geometry.max_record_bytes());
    for entry in bucket.entries() {
        bytes.clear();
        bucket.copy_out(&entry, &mut bytes);
        if record::is_whole(geometry.seed, &bytes) {
            f(&EntryInfo::of(index, bucket, &entry, geometry), &mut bytes);
        }
    }
}

/// What is known of a stored session without its bytes.
///
/// ```
/// # use std::time::Duration;
/// # use shmtls::{Context, Expiry, Options, SessionId};
/// # let cache = Options::new().size(1 << 20).create_memfd()?;
/// # let (context, id) = (Context::named("doc"), SessionId::new(b"id")?);
/// let _ = cache.insert(&context, &id, b"bytes", Expiry::after(Duration::from_secs(60)));
/// cache.for_each(|entry, _bytes| assert_eq!((entry.id(), entry.len()), (&id, 5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct EntryInfo {
    key: Key,
    head: record::Head,
    created_secs: u32,
    digest: IdDigest,
    bucket: usize,
    slot: Slot,
    tick_secs: u32,
}

impl EntryInfo {
    /// What is known of an entry of bucket `index`, from an image of it.
    pub(crate) fn of(
        index: usize,
        bucket: BucketRef<'_>,
        entry: &Entry,
        geometry: &Geometry,
    ) -> Self {
        let key = record::load_key(bucket.body, entry.at, &entry.head);
        Self {
            key,
            created_secs: entry.head.created_secs(geometry.span_secs()),
            head: entry.head,
            digest: IdDigest::of(geometry.seed, &key.id),
            bucket: index,
            slot: bucket.slot(entry.slot),
            tick_secs: geometry.use_tick_secs,
        }
    }

    /// The session in a private copy of the record, opened if it is sealed.
    pub(crate) fn open<'a>(
        &self,
        record: &'a mut [u8],
        seal: Option<Seal<'_>>,
    ) -> Option<&'a [u8]> {
        let at = record::open(record, &self.head, &self.key, seal)?;
        Some(&record[at..][..self.head.payload_len])
    }

    /// The context it was stored under.
    pub fn context(&self) -> &Context {
        &self.key.context
    }

    /// Its ID. For a TLS 1.3 ticket it is a secret.
    pub fn id(&self) -> &SessionId {
        &self.key.id
    }

    /// What stands for its ID where others look.
    pub fn digest(&self) -> IdDigest {
        self.digest
    }

    /// The bucket that holds it.
    pub fn bucket(&self) -> usize {
        self.bucket
    }

    /// How often it was looked up and found; 7 is that often, or more.
    pub fn hits(&self) -> u8 {
        self.slot.hits()
    }

    /// How long ago it was stored or last looked up, in steps of 1/128 of the segment's lifetime.
    pub fn idle(&self) -> Duration {
        let now = (now_secs() / self.tick_secs) as u8;
        let ticks = now.wrapping_sub(self.slot.used());
        Duration::from_secs(u64::from(ticks) * u64::from(self.tick_secs))
    }

    /// Bytes of the session.
    #[expect(clippy::len_without_is_empty, reason = "a size, not a collection")]
    pub fn len(&self) -> usize {
        self.head.payload_len
    }

    /// When it ends.
    pub fn expiry(&self) -> Expiry {
        self.head.expiry
    }

    /// When it was stored.
    pub fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::from(self.created_secs))
    }

    /// The TLS version as on the wire; 0 where the writer did not say.
    pub fn protocol(&self) -> u16 {
        self.head.protocol()
    }

    /// Whose bytes they are; `None` for a library that this build does not know.
    pub fn library(&self) -> Option<Library> {
        self.head.library()
    }

    /// Whether the first resumption takes it.
    pub fn is_single_use(&self) -> bool {
        self.head.is_single_use()
    }

    /// The number of the process that stored it, see
    /// [`ProcessInfo::writer`](crate::ProcessInfo::writer).
    pub fn writer(&self) -> u16 {
        self.head.writer
    }
}
