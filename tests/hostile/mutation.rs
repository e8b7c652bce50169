//! What is done to a segment: one word, one field, or one whole record at a time.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Input;
use super::window::{
    BUCKET_HEADER_WORDS, BUCKET_WORDS, HEADER_WORDS, KEY_COPIES, KEY_COPY_WORDS, KEYS, KEYS_LOCK,
    MEMBER_WORDS, MEMBERS, MEMBERS_LOCK, RECORD_HEAD_WORDS, RECORDS, SLOT_COUNT, SLOTS, Window,
};

/// `TID_MASK` of the layout.
const TID_MASK: u32 = 0x3fff_ffff;
/// The kernel gives no ID from here on.
const TIDS: u32 = 1 << 22;
const SEED: usize = 20;
const CHECK: usize = 36;

impl Window {
    /// One change, as the input wants it. `None`: it ended in the middle of one.
    pub(crate) fn mutate(&self, what: u8, input: &mut Input<'_>, tid: u32) -> Option<()> {
        match what % 32 {
            0 => self.seal_header(),
            1 => self.seal_keys(input.byte()?.into()),
            2 | 3 => self.reforge(input)?,
            4 | 5 => self.copy_record(input)?,
            6 => self.fill_slots(input)?,
            7 => self.note_move(input)?,
            kind => {
                let at = self.place(kind, input)?;
                let value = self.value(self.get(at), input, tid)?;
                self.set(at, value);
            }
        }
        // Who holds these for a moment too long delays everybody by half a second, as is right,
        // and as tests of its own show. Here it would only cost executions.
        for lock in [MEMBERS_LOCK, KEYS_LOCK] {
            if self.is_held_by_another(lock, tid) {
                self.set(lock, self.get(lock) | TIDS);
            }
        }
        Some(())
    }

    /// Whether a lock word names a thread that may live.
    pub(crate) fn is_held_by_another(&self, lock: usize, tid: u32) -> bool {
        let owner = self.get(lock) & TID_MASK;
        owner != 0 && owner != tid && owner < TIDS
    }

    /// A word of the part that `kind` names.
    fn place(&self, kind: u8, input: &mut Input<'_>) -> Option<usize> {
        let (a, b) = (usize::from(input.byte()?), usize::from(input.byte()?));
        let (any, bucket) = (a << 8 | b, self.bucket(a));
        Some(match kind {
            8 => any % HEADER_WORDS,
            9 => HEADER_WORDS + any % 256,
            10 | 11 => KEYS + b % 4,
            12 => KEY_COPIES + a % 2 * KEY_COPY_WORDS + b % 64,
            13 => KEYS + any % (MEMBERS - KEYS),
            14 | 15 => MEMBERS + any % (4 * MEMBER_WORDS),
            16..=19 => bucket + b % BUCKET_HEADER_WORDS,
            20 => bucket + SLOT_COUNT,
            21 => self.slot(a, b),
            22 | 23 => self.used_slot(a, b),
            24..=28 => {
                let (record, len) = self.record(a, self.used_slot(a, a >> 4));
                record + if kind == 28 { b % len } else { b % RECORD_HEAD_WORDS }
            }
            29 => bucket + RECORDS + (a >> 1 << 8 | b) % (BUCKET_WORDS - RECORDS),
            _ => any % self.len(),
        })
    }

    fn value(&self, was: u32, input: &mut Input<'_>, tid: u32) -> Option<u32> {
        let flags = |byte: u8| u32::from(byte & 3) << 30;
        Some(match input.byte()? % 20 {
            0 => 0,
            1 => 1,
            2 => u32::MAX,
            3 => was.wrapping_add(1),
            4 => was.wrapping_sub(1),
            5 | 6 => was ^ 1 << (input.byte()? % 32),
            7 => input.byte()?.into(),
            8 => u32::from(input.byte()?) << 8,
            9 => was & 0xffff_0000 | u32::from(input.byte()?) << 8 | u32::from(input.byte()?),
            10 => was & 0xffff | u32::from(input.byte()?) << 24 | u32::from(input.byte()?) << 16,
            11 => input.u32()?,
            12 => was.rotate_left((input.byte()? % 32).into()),
            13 => {
                let kind = input.byte()?;
                self.get(self.place(kind % 32, input)?)
            }
            14 => flags(input.byte()?),
            15 => tid | flags(input.byte()?),
            16 => (TIDS + 7) | flags(input.byte()?),
            17 => 1 | flags(input.byte()?),
            18 => !was,
            _ => was >> 1,
        })
    }

    /// As if a creator had chosen all that.
    fn seal_header(&self) {
        self.set_u64(CHECK, xxh3_64(&self.bytes(0, CHECK)));
    }

    pub(crate) fn is_header_sealed(&self) -> bool {
        self.get_u64(CHECK) == xxh3_64(&self.bytes(0, CHECK))
    }

    fn seal_keys(&self, copy: usize) {
        self.seal(KEY_COPIES + copy % 2 * KEY_COPY_WORDS, KEY_COPY_WORDS);
    }

    fn seal(&self, at: usize, words: usize) {
        self.set_u64(at, self.check_of(at, words));
    }

    fn check_of(&self, at: usize, words: usize) -> u64 {
        xxh3_64_with_seed(&self.bytes(at + 2, words - 2), self.get_u64(SEED))
    }

    fn check_of_record(&self, at: usize, words: usize) -> u32 {
        xxh3_64_with_seed(&self.bytes(at + 1, words - 1), self.get_u64(SEED)) as u32
    }

    /// Another flag, time, writer or length of the ID in a whole record, and the check with it:
    /// whoever reads it has no reason to doubt it. Its bytes stay those of its session.
    fn reforge(&self, input: &mut Input<'_>) -> Option<()> {
        let (a, field, value) = (input.byte()?.into(), input.byte()?, input.byte()?);
        let slot = self.used_slot(a, a >> 1);
        let (at, words) = self.record(a, slot);
        if self.get(at) != self.check_of_record(at, words) {
            return Some(());
        }
        let (place, shift) = match field % 6 {
            0 => (2, 16), // the ID's length, flags
            1 => (2, 24), // flags, protocol
            2 => (3, 16), // writer
            3 => (1, 24), // expiry
            4 => (1, 0),
            _ => (3, 0), // span
        };
        let mask = 0xff << shift;
        let was = self.get(at + place);
        self.set(at + place, was & !mask | u32::from(value) << shift);
        self.set(at, self.check_of_record(at, words));
        Some(())
    }

    /// Copies a record to any place of any bucket and points a slot at it.
    fn copy_record(&self, input: &mut Input<'_>) -> Option<()> {
        let (a, slot, high, low) = (input.byte()?, input.byte()?, input.byte()?, input.byte()?);
        let (from, to) = (usize::from(a), usize::from(a >> 1));
        let source = self.used_slot(from, from >> 2);
        let (record, words) = self.record(from, source);
        let room = (BUCKET_WORDS - RECORDS - words) / 2 + 1;
        let position = (usize::from(high) << 8 | usize::from(low)) % room;
        let target = self.bucket(to) + RECORDS + position * 2;
        let copy: Vec<u32> = (record..record + words).map(|at| self.get(at)).collect();
        let tag = self.get(source) & 0xffff_0000;
        copy.iter().zip(target..).for_each(|(word, at)| self.set(at, *word));
        self.set(self.slot(to, slot.into()), tag | (position as u32 + 1));
        Some(())
    }

    /// A journal that belongs together, as of a death while a record was moved: to where a slot
    /// points, from a little further, or from where nothing can lie.
    fn note_move(&self, input: &mut Input<'_>) -> Option<()> {
        let (a, distance, done) = (usize::from(input.byte()?), input.byte()?, input.byte()?);
        let (bucket, slot) = (self.bucket(a), self.used_slot(a, a >> 1));
        let to = (self.get(slot) & 0x1fff).saturating_sub(1);
        let body = ((BUCKET_WORDS - RECORDS) / 2) as u32;
        let from = match distance {
            0..192 => to + u32::from(distance),
            _ => body - u32::from(distance - 192),
        };
        let words = self.record(a, slot).1 as u32 / 2;
        let behind = (bucket + BUCKET_WORDS - slot) as u32;
        let index = (behind - 1) / 2 * 2 + slot as u32 % 2;
        for (field, value) in (4..).zip([index + 1, from, to, words, u32::from(done)]) {
            self.set(bucket + field, value);
        }
        self.set(bucket + 1, self.get(bucket + 1) | 1);
        Some(())
    }

    /// Many slots at once: all the same, or one behind the other.
    fn fill_slots(&self, input: &mut Input<'_>) -> Option<()> {
        let (bucket, step, first) = (input.byte()?, input.byte()?, input.u32()?);
        for nth in 0..SLOTS {
            let value = first.wrapping_add(u32::from(step) * nth as u32);
            self.set(self.slot(bucket.into(), nth), value);
        }
        self.set(self.bucket(bucket.into()) + SLOT_COUNT, SLOTS as u32);
        Some(())
    }
}
