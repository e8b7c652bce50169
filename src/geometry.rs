//! Where everything lies: computed once by the creator, read once and checked by everyone who
//! attaches. The rest of the library uses the private copy and never asks the header again.

use std::mem::offset_of;
use std::ops::Range;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{AttachError, OptionsError};
use crate::layout::{
    BucketHeader, EventSlot, FINGERPRINT, HEADER_FIELDS_BYTES, Header, LAYOUT_VERSION, MAGIC,
    MemberLine, PAGE, RECORD_HEAD_WORDS, SEAL_SALT, SEAL_TAG, STATE_READY,
};
use crate::words::{WORD, words_for};

const HEADER_BYTES: u64 = size_of::<Header>() as u64;
/// The most slots of a bucket per 32 KiB: the smallest sessions of TLS fill the bytes before.
const SLOTS_PER_UNIT: u32 = 256;
/// The smallest bucket: large enough that what is lost at its end is one percent, and that one
/// bucket is seldom much fuller than another.
const BUCKET_UNIT: u32 = 32 << 10;
/// Bucket sizes double up to this; a slot's position reaches no further.
const BUCKET_MAX: u32 = 64 << 10;
/// The most slots of the largest bucket.
pub(crate) const SLOTS_MAX: usize = (BUCKET_MAX / BUCKET_UNIT * SLOTS_PER_UNIT) as usize;
const MAX_SESSION_RANGE: (u32, u32) = (256, 48 << 10);
const MEMBERS_MAX: u32 = 4096;
/// More than a tool that looks ten times a second needs.
const EVENTS_MAX: u32 = 65_536;
/// RFC 8446, section 4.6.1.
const LIFETIME_MAX_SECS: u64 = 7 * 24 * 3600;
/// 1 TiB: every count and offset below fits its type with room to spare.
const TOTAL_MAX: u64 = 1 << 40;
/// What one session takes where a third bring client certificates, with its share of all else.
const TYPICAL_SESSION: u64 = 704;

/// How large a segment is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Bytes(u64),
    Sessions(u64),
}

/// What the creator chooses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) size: Size,
    pub(crate) max_session: u32,
    pub(crate) members: u32,
    /// Events kept for each member: a power of two, or 0.
    pub(crate) events: u32,
    pub(crate) lifetime: Duration,
    pub(crate) seed: u64,
    /// The check of the key that seals the sessions; 0 without one.
    pub(crate) sealing: u32,
}

/// The checked numbers of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) total_bytes: u64,
    pub(crate) members_offset: u64,
    pub(crate) member_count: u32,
    pub(crate) events_offset: u64,
    pub(crate) event_slots: u32,
    pub(crate) buckets_offset: u64,
    pub(crate) bucket_count: u64,
    pub(crate) bucket_bytes: u32,
    pub(crate) bucket_slots: u32,
    pub(crate) max_session: u32,
    pub(crate) lifetime_secs: u32,
    pub(crate) use_tick_secs: u32,
    pub(crate) seed: u64,
    pub(crate) sealing: u32,
}

impl Geometry {
    /// The segment that fits `plan`.
    pub(crate) fn plan(plan: &Plan) -> Result<Self, OptionsError> {
        let (min, max) = MAX_SESSION_RANGE;
        if !(min..=max).contains(&plan.max_session) {
            return Err(OptionsError::MaxSession { found: plan.max_session, min, max });
        }
        if !(1..=MEMBERS_MAX).contains(&plan.members) {
            return Err(OptionsError::Processes { found: plan.members, max: MEMBERS_MAX });
        }
        if plan.events > EVENTS_MAX || !(plan.events == 0 || plan.events.is_power_of_two()) {
            return Err(OptionsError::Events { found: plan.events, max: EVENTS_MAX });
        }
        let lifetime = plan.lifetime.as_secs();
        if !(1..=LIFETIME_MAX_SECS).contains(&lifetime) {
            return Err(OptionsError::Lifetime { found: lifetime, max: LIFETIME_MAX_SECS });
        }
        let bucket_bytes = bucket_bytes_for(plan.max_session);
        let events_offset = events_offset(plan.members);
        let buckets_offset = events_offset + event_bytes(plan.members, plan.events);
        let bytes = match plan.size {
            Size::Bytes(bytes) => bytes,
            Size::Sessions(n) => n
                .saturating_mul(TYPICAL_SESSION)
                .checked_next_multiple_of(bucket_bytes.into())
                .unwrap_or(u64::MAX)
                .saturating_add(buckets_offset),
        };
        let least = buckets_offset + u64::from(bucket_bytes);
        if bytes < least {
            return Err(OptionsError::TooSmall { found: bytes, min: least });
        }
        if bytes > TOTAL_MAX {
            return Err(OptionsError::TooLarge { found: bytes, max: TOTAL_MAX });
        }
        let bucket_count = (bytes - buckets_offset) / u64::from(bucket_bytes);
        Ok(Self {
            total_bytes: buckets_offset + bucket_count * u64::from(bucket_bytes),
            members_offset: HEADER_BYTES,
            member_count: plan.members,
            events_offset,
            event_slots: plan.events,
            buckets_offset,
            bucket_count,
            bucket_bytes,
            bucket_slots: slots_for(bucket_bytes),
            max_session: plan.max_session,
            lifetime_secs: lifetime as u32,
            use_tick_secs: use_tick_secs(lifetime as u32),
            seed: plan.seed,
            sealing: plan.sealing,
        })
    }

    /// The geometry that a header describes, if a creator of this layout can have written it.
    ///
    /// Everything but the free choices (total length, members, events, session limit, lifetime,
    /// seed, sealing) is computed anew and compared, so no field can point outside the file.
    pub(crate) fn parse(header: &HeaderBytes, file_len: u64) -> Result<Self, AttachError> {
        header.check_identity()?;
        let total_bytes = header.u64(offset_of!(Header, total_bytes));
        if file_len != total_bytes {
            return Err(AttachError::WrongLength { found: file_len, expected: total_bytes });
        }
        let found = header.geometry();
        let plan = Plan {
            size: Size::Bytes(total_bytes),
            max_session: found.max_session,
            members: found.member_count,
            events: found.event_slots,
            lifetime: Duration::from_secs(found.lifetime_secs.into()),
            seed: found.seed,
            sealing: found.sealing,
        };
        let expected = Self::plan(&plan).map_err(bad_choice)?;
        for (field, found, expected) in found
            .fields()
            .into_iter()
            .zip(expected.fields())
            .map(|((field, found), (_, expected))| (field, found, expected))
        {
            if found != expected {
                let expected = expected.to_string();
                return Err(AttachError::BadField { field, found, expected });
            }
        }
        Ok(expected)
    }

    /// Words of a bucket behind its header, for records and slots.
    pub(crate) fn body_words(&self) -> usize {
        body_words(self.bucket_bytes)
    }

    /// Seconds in one unit of a record's span: two bytes hold the longest lifetime.
    pub(crate) fn span_secs(&self) -> u32 {
        self.lifetime_secs.div_ceil(u16::MAX.into())
    }

    /// Bytes of the largest record.
    pub(crate) fn max_record_bytes(&self) -> usize {
        max_record_bytes(self.max_session)
    }

    /// Now, as a slot's `used` byte tells it: it wraps after two lifetimes.
    pub(crate) fn use_tick(&self, now_secs: u32) -> u8 {
        (now_secs / self.use_tick_secs) as u8
    }

    /// The derived fields by name, for comparison and for errors.
    fn fields(&self) -> [(&'static str, u64); 8] {
        [
            ("members_offset", self.members_offset),
            ("events_offset", self.events_offset),
            ("buckets_offset", self.buckets_offset),
            ("bucket_count", self.bucket_count),
            ("bucket_bytes", self.bucket_bytes.into()),
            ("bucket_slots", self.bucket_slots.into()),
            ("use_tick_secs", self.use_tick_secs.into()),
            ("total_bytes", self.total_bytes),
        ]
    }
}

/// A private copy of a header, not yet believed.
pub(crate) struct HeaderBytes(pub(crate) [u8; HEADER_FIELDS_BYTES]);

impl HeaderBytes {
    /// Magic, version, fingerprint and state, in the order in which they make sense.
    fn check_identity(&self) -> Result<(), AttachError> {
        let magic = self.u64(offset_of!(Header, magic));
        if magic != MAGIC {
            return Err(AttachError::NotASegment { found: magic.to_ne_bytes() });
        }
        let version = self.u32(offset_of!(Header, layout_version));
        if version != LAYOUT_VERSION {
            return Err(AttachError::OtherVersion { found: version, expected: LAYOUT_VERSION });
        }
        let fingerprint = self.u64(offset_of!(Header, fingerprint));
        if fingerprint != FINGERPRINT {
            let (found, expected) = (fingerprint, FINGERPRINT);
            return Err(AttachError::OtherFingerprint { found, expected });
        }
        let state = self.u32(offset_of!(Header, state));
        if state != STATE_READY {
            return Err(AttachError::NotReady { found: state, expected: STATE_READY });
        }
        self.check_unchanged()
    }

    /// The check over the fields that never change, and zeroes in the reserved ones.
    fn check_unchanged(&self) -> Result<(), AttachError> {
        let (found, check) = (self.u64(offset_of!(Header, check)), self.check());
        if found != check {
            let expected = format!("{check:#018x}, the hash of the fields before it");
            return Err(AttachError::BadField { field: "check", found, expected });
        }
        for (field, range) in RESERVED {
            if let Some(byte) = self.0[range].iter().find(|byte| **byte != 0) {
                let (found, expected) = (u64::from(*byte), "zeroes".to_string());
                return Err(AttachError::BadField { field, found, expected });
            }
        }
        Ok(())
    }

    /// The hash that belongs into the field `check`.
    pub(crate) fn check(&self) -> u64 {
        xxh3_64(&self.0[..offset_of!(Header, check)])
    }

    fn geometry(&self) -> Geometry {
        Geometry {
            total_bytes: self.u64(offset_of!(Header, total_bytes)),
            members_offset: self.u64(offset_of!(Header, members_offset)),
            member_count: self.u32(offset_of!(Header, member_count)),
            events_offset: self.u64(offset_of!(Header, events_offset)),
            event_slots: self.u32(offset_of!(Header, event_slots)),
            buckets_offset: self.u64(offset_of!(Header, buckets_offset)),
            bucket_count: self.u64(offset_of!(Header, bucket_count)),
            bucket_bytes: self.u32(offset_of!(Header, bucket_bytes)),
            bucket_slots: self.u32(offset_of!(Header, bucket_slots)),
            max_session: self.u32(offset_of!(Header, max_session_bytes)),
            lifetime_secs: self.u32(offset_of!(Header, lifetime_secs)),
            use_tick_secs: self.u32(offset_of!(Header, use_tick_secs)),
            seed: self.u64(offset_of!(Header, seed)),
            sealing: self.u32(offset_of!(Header, sealing)),
        }
    }

    pub(crate) fn pid_namespace(&self) -> u64 {
        self.u64(offset_of!(Header, pid_namespace))
    }

    pub(crate) fn boot_id(&self) -> [u64; 2] {
        let at = offset_of!(Header, boot_id);
        [self.u64(at), self.u64(at + WORD)]
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(*self.0[at..].first_chunk().expect("a header field lies in the header"))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(*self.0[at..].first_chunk().expect("a header field lies in the header"))
    }
}

/// Parts of the header that no process of this layout ever writes.
const RESERVED: [(&str, Range<usize>); 4] = [
    ("reserved_choice", offset_of!(Header, reserved_choice)..offset_of!(Header, check)),
    ("reserved_check", offset_of!(Header, reserved_check)..offset_of!(Header, members_lock)),
    ("reserved_members", offset_of!(Header, reserved_members)..offset_of!(Header, retired)),
    ("reserved", offset_of!(Header, reserved)..offset_of!(Header, keys)),
];

/// A free choice in the header that no option allows.
fn bad_choice(error: OptionsError) -> AttachError {
    let (field, found, expected) = match error {
        OptionsError::TooSmall { found, min } => ("total_bytes", found, format!("at least {min}")),
        OptionsError::TooLarge { found, max } => ("total_bytes", found, format!("at most {max}")),
        OptionsError::MaxSession { found, min, max } => {
            ("max_session_bytes", found.into(), format!("{min} to {max}"))
        }
        OptionsError::Processes { found, max } => {
            ("member_count", found.into(), format!("1 to {max}"))
        }
        OptionsError::Events { found, max } => {
            ("event_slots", found.into(), format!("0 or a power of two up to {max}"))
        }
        OptionsError::Lifetime { found, max } => ("lifetime_secs", found, format!("1 to {max}")),
    };
    AttachError::BadField { field, found, expected }
}

/// The smallest bucket that holds a record of the largest session.
fn bucket_bytes_for(max_session: u32) -> u32 {
    let mut bytes = BUCKET_UNIT;
    while bytes < BUCKET_MAX
        && body_words(bytes) < max_record_bytes(max_session) / WORD + slot_words(1)
    {
        bytes *= 2;
    }
    bytes
}

/// With room for a seal, whether there is one or not: it does not change where anything lies.
fn max_record_bytes(max_session: u32) -> usize {
    (RECORD_HEAD_WORDS + words_for(SEAL_SALT + max_session as usize + SEAL_TAG)) * WORD
}

fn slots_for(bucket_bytes: u32) -> u32 {
    bucket_bytes / BUCKET_UNIT * SLOTS_PER_UNIT
}

const fn body_words(bucket_bytes: u32) -> usize {
    (bucket_bytes as usize - size_of::<BucketHeader>()) / WORD
}

/// Words that so many slots take: two share one.
pub(crate) const fn slot_words(slots: usize) -> usize {
    slots.div_ceil(2)
}

fn events_offset(members: u32) -> u64 {
    HEADER_BYTES + (u64::from(members) * size_of::<MemberLine>() as u64).next_multiple_of(PAGE)
}

fn event_bytes(members: u32, events: u32) -> u64 {
    let slots = u64::from(members) * u64::from(events);
    (slots * size_of::<EventSlot>() as u64).next_multiple_of(PAGE)
}

/// 128 ticks to a lifetime: the 8-bit difference of two ticks never wraps for a live session.
fn use_tick_secs(lifetime_secs: u32) -> u32 {
    lifetime_secs.div_ceil(128)
}

const _: () = {
    assert!(HEADER_BYTES.is_multiple_of(PAGE));
    assert!(MAX_SESSION_RANGE.1 as usize <= u16::MAX as usize);
    // A slot's 13 bits hold the position of any record, and one more.
    assert!(body_words(BUCKET_MAX) < 1 << 13);
    assert!(SLOTS_MAX < u16::MAX as usize);
    assert!(MAX_SESSION_RANGE.1 as usize + 128 <= body_words(BUCKET_MAX) * WORD);
};
