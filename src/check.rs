//! Every invariant of a segment that can be seen from outside, read without a lock.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::thread;
use std::time::Duration;

use crate::bucket::Slot;
use crate::hash;
use crate::keyring;
use crate::layout::MemberLine;
use crate::record::{self, Key};
use crate::robust::TID_MASK;
use crate::secret::SecretBytes;
use crate::segment::{BucketImage, BucketRef, Segment};
use crate::session::now_secs;
use crate::snapshot;
use crate::sys::process;

/// An invariant of `shm-layout.md` that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Its number in section 9: 9 is I9.
    pub invariant: u8,
    /// Where.
    pub spot: Spot,
    /// What was found there.
    pub found: String,
}

/// A part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spot {
    /// A bucket.
    Bucket(usize),
    /// A slot of a bucket, and its record.
    Slot {
        /// The bucket.
        bucket: usize,
        /// The slot's index.
        slot: usize,
    },
    /// A line of the process table.
    Line(usize),
    /// The ring of ticket keys.
    Keys,
}

/// What a look at all of a segment came to.
///
/// ```
/// let cache = shmtls::Options::new().size(1 << 20).create_memfd()?;
/// let inspector = shmtls::Options::new().inspect_fd(cache.fd().try_clone_to_owned()?)?;
/// assert!(inspector.check().violations.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Sessions that are whole.
    pub sessions: usize,
    /// Buckets that somebody was changing all the time: nothing is known of them.
    pub busy: usize,
    /// What is wrong, in the order of places; at most [`Checked::MOST`] are listed.
    pub violations: Vec<Violation>,
    /// Violations beyond those.
    pub unlisted: usize,
}

impl Checked {
    /// Violations listed at most.
    pub const MOST: usize = 10_000;

    fn note(&mut self, invariant: u8, spot: Spot, found: impl Into<String>) {
        if self.violations.len() < Self::MOST {
            self.violations.push(Violation { invariant, spot, found: found.into() });
        } else {
            self.unlisted += 1;
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(bucket) => write!(f, "bucket {bucket}"),
            Self::Slot { bucket, slot } => write!(f, "bucket {bucket}, slot {slot}"),
            Self::Line(line) => write!(f, "line {line} of the process table"),
            Self::Keys => f.write_str("the ring of ticket keys"),
        }
    }
}

/// Looks at everything. `same_pids`: the thread IDs in lock words are those of this namespace.
pub(crate) fn check(segment: &Segment, same_pids: bool) -> Checked {
    let mut checked = Checked::default();
    let image = BucketImage::new(segment.geometry());
    let mut record = SecretBytes::with_capacity(segment.geometry().max_record_bytes());
    for index in 0..segment.geometry().bucket_count as usize {
        let bucket = segment.bucket(index);
        if same_pids {
            check_owner(index, bucket, &mut checked);
        }
        if snapshot::copy(bucket, &image) {
            if bucket.header.move_slot.load(Relaxed) != 0 && is_at_rest(bucket) {
                checked.note(9, Spot::Bucket(index), "a move is noted, and nobody makes it");
            }
            Image { segment, index, bucket: image.bucket(), checked: &mut checked }
                .check(&mut record);
        } else if is_at_rest(bucket) {
            let found = "half changed: a writer died or panicked in it, and nobody came after";
            checked.note(9, Spot::Bucket(index), found);
        } else {
            checked.busy += 1;
        }
    }
    check_table(segment, &mut checked);
    let ring = keyring::read(&segment.header().keys, segment.geometry().seed);
    if ring.is_err() {
        checked.note(22, Spot::Keys, "the copy that counts fails its check");
    }
    checked
}

/// Nobody holds the lock, now and a moment later, and nothing happened in between.
fn is_at_rest(bucket: BucketRef<'_>) -> bool {
    let look = || (bucket.header.lock.load(Acquire), bucket.header.generation.load(Relaxed));
    let before = look();
    thread::sleep(Duration::from_millis(2));
    before == look() && before.0 & TID_MASK == 0
}

/// A lock whose owner is dead and that nobody has marked.
fn check_owner(index: usize, bucket: BucketRef<'_>, checked: &mut Checked) {
    let owner = |bucket: BucketRef<'_>| bucket.header.lock.load(Acquire) & TID_MASK;
    let tid = owner(bucket);
    if tid != 0 && process::is_dead(tid) && owner(bucket) == tid {
        let found =
            format!("its lock is held by thread {tid}, which is dead; who comes takes over");
        checked.note(6, Spot::Bucket(index), found);
    }
}

/// A consistent copy of one bucket, under examination.
struct Image<'a> {
    segment: &'a Segment,
    index: usize,
    bucket: BucketRef<'a>,
    checked: &'a mut Checked,
}

impl Image<'_> {
    fn check(mut self, record: &mut SecretBytes) {
        let mut places = Vec::new();
        let mut keys = HashSet::new();
        for slot in 0..self.bucket.slot_count() {
            let word = self.bucket.slot(slot);
            if word == Slot::EMPTY {
                continue;
            }
            match self.bucket.entry(slot, word) {
                None => self.note(9, slot, "points at no record that could lie in the bucket"),
                Some(entry) => {
                    record.clear();
                    self.bucket.copy_out(&entry, record);
                    if record::is_whole(self.segment.geometry().seed, record) {
                        self.checked.sessions += 1;
                        let key = record::load_key(self.bucket.body, entry.at, &entry.head);
                        self.check_session(slot, word, &key, &entry.head);
                        if !keys.insert((*key.context.as_bytes(), *key.id.padded())) {
                            self.note(14, slot, "a second session of the same ID and context");
                        }
                    } else {
                        self.note(9, slot, "the record fails its check");
                    }
                    places.push((entry.at, entry.at + entry.head.words(), slot));
                }
            }
        }
        places.sort_unstable();
        self.check_places(&places);
    }

    fn check_session(&mut self, slot: usize, word: Slot, key: &Key, head: &record::Head) {
        let geometry = self.segment.geometry();
        let place = hash::locate(geometry.seed, &key.id, geometry.bucket_count as usize);
        if place.bucket != self.index {
            self.note(14, slot, format!("its ID belongs in bucket {}", place.bucket));
        } else if place.tag != word.tag() {
            self.note(14, slot, format!("its tag is {}, not {}", word.tag(), place.tag));
        }
        let left = head.expiry.unix_secs().saturating_sub(now_secs());
        // The wall clock may have been set back a little.
        if left > geometry.lifetime_secs.saturating_add(CLOCK_SLACK_SECS) {
            let most = geometry.lifetime_secs;
            self.note(15, slot, format!("lives {left} s more; the most is {most} s"));
        }
        if head.is_sealed() != (geometry.sealing != 0) {
            self.note(24, slot, "sealed where the segment is not, or the other way round");
        }
    }

    /// The places of records in order: none may overlap, and between them is nothing.
    fn check_places(&mut self, places: &[(usize, usize, usize)]) {
        let mut end = 0;
        for &(from, to, slot) in places {
            if from < end {
                self.note(9, slot, "its record shares bytes with another one");
            } else if !self.is_zero(end, from) {
                self.note_bucket("bytes of no session between two records");
            }
            end = end.max(to);
        }
        let slots = self.bucket.slot_count();
        let limit = self.bucket.records(slots).len();
        if end > limit {
            self.note_bucket("a record lies over the slots");
        } else if !self.is_zero(end, limit) {
            self.note_bucket("bytes of no session behind the last record");
        }
        if !slots.is_multiple_of(2) && self.bucket.slot(slots) != Slot::EMPTY {
            self.note_bucket("a slot that is not counted");
        }
    }

    fn is_zero(&self, from: usize, to: usize) -> bool {
        self.bucket.body[from..to].iter().all(|word| word.load(Relaxed) == 0)
    }

    fn note(&mut self, invariant: u8, slot: usize, found: impl Into<String>) {
        self.checked.note(invariant, Spot::Slot { bucket: self.index, slot }, found);
    }

    fn note_bucket(&mut self, found: &str) {
        // That is I13, too: whatever it is, it belongs to no session that is there.
        self.checked.note(9, Spot::Bucket(self.index), found);
    }
}

const CLOCK_SLACK_SECS: u32 = 60;

/// Free lines have counted nothing.
fn check_table(segment: &Segment, checked: &mut Checked) {
    for (index, line) in segment.members().iter().enumerate() {
        let is_free = || line.pid.load(Acquire) == 0;
        if is_free() && has_counted(line) && is_free() {
            checked.note(16, Spot::Line(index), "a free line with counters");
        }
    }
}

fn has_counted(line: &MemberLine) -> bool {
    line.counters.iter().any(|counter| counter.load(Relaxed) != 0)
}
