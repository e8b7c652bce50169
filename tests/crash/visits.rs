//! What a worker does now and then besides sessions: walks, key updates, attaching, looking in.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use shmtls::{KeyError, KeySource, Options};

use super::battery::IS_WIDE;
use super::board::Board;
use super::payload::{self, HEAD, Rng};
use super::raw_keys::{Raw, key};
use super::storm::DEADLINE;
use super::worker::Worker;

/// The locks of the ring and of the process table are waited for half a second, and again by who
/// finds that somebody was faster: with wide windows that is often.
const LONG_DEADLINE: Duration = Duration::from_secs(if IS_WIDE { 20 } else { 2 });

impl Worker<'_> {
    pub(crate) fn visit(&mut self) {
        match self.rng.below(40) {
            0..4 => self.walk(),
            4..18 => self.change_keys(),
            18..34 => self.use_keys(),
            34..38 => self.look_in(),
            _ => self.attach(),
        }
    }

    /// All that a walk shows is whole.
    fn walk(&self) {
        let busy = self.timed_over(self.plan.buckets, |cache| {
            cache.for_each(|entry, bytes| {
                let number = entry.id().as_bytes().first_chunk().expect("32 bytes");
                payload::check(u64::from_le_bytes(*number), bytes);
                assert!(bytes.len() >= HEAD && entry.len() == bytes.len());
            })
        });
        self.note_busy(busy);
    }

    /// Publishes a ring, or a key in front of it.
    fn change_keys(&mut self) {
        let n = self.board.last_key.fetch_add(8, SeqCst) + 1;
        let keys: Vec<_> = (n..=n + self.rng.below(8)).map(key).collect();
        let is_whole_ring = self.rng.one_in(2);
        let published =
            self.timed_within(LONG_DEADLINE, || match (is_whole_ring, self.cache.keys()) {
                (true, ring) => ring.publish(keys),
                (false, ring) => ring.add(key(n), 4, KeySource::Api),
            });
        match published {
            Ok(published) => self.board.has_seen(published.epoch),
            Err(KeyError::Busy) => self.note_busy(1),
            Err(error) => panic!("{error}"),
        }
        self.tally().key_updates.fetch_add(1, SeqCst);
    }

    /// The ring is whole at any moment and never goes back: neither as its users have it nor as
    /// its bytes stand in the segment.
    fn use_keys(&self) {
        let newest = self.board.key_epoch.load(SeqCst);
        let status = self.timed_within(DEADLINE, || self.cache.keys().status());
        if let Some(status) = status {
            assert!((1..=32).contains(&status.keys.len()), "{status:?}");
            // Who finds the ring under way too often keeps what it has.
            let before = self.keys_used.replace(status.epoch);
            assert!(status.epoch >= before, "the keys went back from {before}: {status:?}");
        }
        let stands = Raw::of(self.cache).ring().map_or(0, |ring| {
            assert!(ring.keys.iter().all(|key| key.is_derived()), "a key that nobody published");
            ring.epoch
        });
        assert!(stands >= newest, "the ring went back from {newest} to {stands}");
        self.board.has_seen(stands);
    }

    /// Looks into the segment as a tool does.
    fn look_in(&self) {
        let fd = self.cache.fd().try_clone_to_owned().expect("a descriptor");
        let inspector = Options::new().inspect_fd(fd).expect("a whole segment");
        let newest = self.board.key_epoch.load(SeqCst);
        inspector.for_each(|entry| {
            let number = entry.id().as_bytes().first_chunk().expect("32 bytes");
            assert!(u64::from_le_bytes(*number) < self.plan.ids() && entry.len() >= HEAD);
        });
        if let Some(status) = inspector.keys() {
            assert!(status.epoch >= newest, "{newest} was seen, then {}", status.epoch);
        }
        self.tally().looks.fetch_add(1, SeqCst);
    }

    /// Attaches the segment once more, works in it, and leaves.
    fn attach(&mut self) {
        let fd = self.cache.fd().try_clone_to_owned().expect("a descriptor");
        let attached = self.timed_within(LONG_DEADLINE, || Options::new().attach_fd(fd));
        let attached = attached.expect("a whole segment");
        let rng = Rng::new(self.rng.next());
        let mut guest = Worker::new(self.plan, self.board, &attached, self.slot, rng);
        let first_shared = self.plan.ids() - self.plan.shared;
        for _ in 0..8 {
            let number = first_shared + guest.rng.below(self.plan.shared);
            guest.use_shared(number);
        }
        self.timed_within(LONG_DEADLINE, || drop(attached));
        self.tally().attaches.fetch_add(1, SeqCst);
    }
}

impl Board {
    fn has_seen(&self, epoch: u64) {
        self.key_epoch.fetch_max(epoch, SeqCst);
    }
}
