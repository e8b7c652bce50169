//! The bytes of a segment. `shm-layout.md` is this file in prose; a test reads its tables and
//! compares them with these structs, and the compiler checks the offsets written here.
//!
//! Every shared field is an atomic: any bit pattern is valid, so hostile bytes can be wrong but
//! never undefined. Within a struct the fields tile it: there is no padding to leak.

use std::mem::{offset_of, size_of};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64};

/// One field of a shared struct, as `shm-layout.md` lists it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) offset: usize,
    pub(crate) size: usize,
    pub(crate) ty: &'static str,
}

/// Declares a shared struct with the offset of each field, and proves at compile time that the
/// compiler agrees and that no byte is left over.
macro_rules! shared {
    ($(#[$doc:meta])* $name:ident: $size:literal, align $align:literal {
        $($(#[$field_doc:meta])* $offset:literal $field:ident: $ty:ty,)*
    }) => {
        $(#[$doc])*
        #[repr(C, align($align))]
        #[derive(Debug)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $ty,)* }

        impl $name {
            pub(crate) const FIELDS: &'static [Field] = &[$(Field {
                name: stringify!($field),
                offset: $offset,
                size: size_of::<$ty>(),
                ty: stringify!($ty),
            },)*];
        }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(offset_of!($name, $field) == $offset, stringify!($field));)*
            let mut end = 0;
            $(assert!($offset == end, stringify!($field)); end += size_of::<$ty>();)*
            assert!(end == $size);
        };
    };
}

shared! {
    /// The first pages. Everything up to `check` is written once, before the segment can be found.
    Header: 16384, align 64 {
        /// [`MAGIC`].
        0 magic: AtomicU64,
        /// [`LAYOUT_VERSION`].
        8 layout_version: AtomicU32,
        /// [`STATE_READY`], stored last by the creator.
        12 state: AtomicU32,
        /// [`FINGERPRINT`].
        16 fingerprint: AtomicU64,
        24 total_bytes: AtomicU64,
        32 members_offset: AtomicU64,
        40 buckets_offset: AtomicU64,
        48 bucket_count: AtomicU64,
        56 bucket_bytes: AtomicU32,
        60 bucket_slots: AtomicU32,
        64 member_count: AtomicU32,
        68 max_session_bytes: AtomicU32,
        72 lifetime_secs: AtomicU32,
        /// Seconds in one unit of a slot's `used` byte.
        76 use_tick_secs: AtomicU32,
        /// Keys the bucket choice and the record checks. Random.
        80 seed: AtomicU64,
        88 created_unix_secs: AtomicU64,
        96 creator_pid: AtomicU32,
        /// 0: sessions lie there as they are; else the check of the key that seals them.
        100 sealing: AtomicU32,
        /// Inode of the PID namespace that the TIDs in the lock words belong to.
        104 pid_namespace: AtomicU64,
        /// The kernel's boot ID; a segment never outlives a boot.
        112 boot_id: [AtomicU64; 2],
        128 events_offset: AtomicU64,
        /// Events that each line of the process table keeps; 0: none.
        136 event_slots: AtomicU32,
        140 reserved_choice: AtomicU32,
        /// Hash of bytes 0 to 143: a header with any of them changed is refused.
        144 check: AtomicU64,
        152 reserved_check: [AtomicU64; 5],
        /// Robust lock over the process table and the retired totals.
        192 members_lock: AtomicU32,
        /// The number that the next member gets; 0 is no member.
        196 next_member: AtomicU32,
        200 reserved_members: [AtomicU64; 7],
        256 retired: Retired,
        1344 reserved: [AtomicU64; 344],
        4096 keys: KeyRegion,
    }
}

shared! {
    /// The ring of ticket keys, see src/keyring.rs.
    KeyRegion: 12288, align 64 {
        /// Counts updates; bit 0 picks the copy that counts. 0: there are no keys.
        0 epoch: AtomicU64,
        /// Robust lock of those who change the ring.
        8 lock: AtomicU32,
        12 reserved_lock: AtomicU32,
        16 reserved_epoch: [AtomicU64; 14],
        128 copies: [[AtomicU64; KEY_COPY_WORDS]; 2],
        8576 reserved: [AtomicU64; 464],
    }
}

shared! {
    /// Counters of processes that are gone: two copies and one word that says which one counts.
    Retired: 1088, align 64 {
        /// `epoch << 32 | line + 1`: bit 32 picks the copy; a line other than 0 was folded into
        /// it and is still to be cleared.
        0 commit: AtomicU64,
        8 reserved: [AtomicU64; 7],
        64 totals: [[AtomicU64; COUNTERS]; 2],
    }
}

shared! {
    /// One attached process.
    MemberLine: 640, align 64 {
        /// 0: the line is free, and all its counters are 0.
        0 pid: AtomicU32,
        /// Which attachment this is; records name their writer by its low 16 bits.
        4 member: AtomicU32,
        /// Start time of the process in clock ticks since boot: with the PID, its identity.
        8 start_ticks: AtomicU64,
        16 attached_unix_secs: AtomicU64,
        /// When the process last used the cache.
        24 heartbeat_unix_secs: AtomicU64,
        /// The command's first 16 bytes, zero padded.
        32 command: [AtomicU64; 2],
        /// Epoch of the ticket keys that the process uses.
        48 key_epoch: AtomicU64,
        /// Events that this line has ever noted, see src/events.rs.
        56 events: AtomicU64,
        64 counters: [AtomicU64; COUNTERS],
        /// When the process last took over a lock from a dead owner; 0: never.
        576 recovered_unix_secs: AtomicU64,
        /// The bucket of that lock.
        584 recovered_bucket: AtomicU64,
        592 reserved: [AtomicU64; 6],
    }
}

shared! {
    /// Something that happened, in the ring of one line of the process table.
    EventSlot: 32, align 32 {
        /// Hash of the event's number and of the words behind this one.
        0 check: AtomicU64,
        /// Milliseconds since 1970 (48 bits), what happened (8), origin (8).
        8 what: AtomicU64,
        /// Hash of the session's ID; the bucket, of a recovery.
        16 subject: AtomicU64,
        /// The context's first bytes (32 bits), the session's length (16), its writer (16).
        24 about: AtomicU64,
    }
}

shared! {
    /// The first lines of a bucket; its records follow, and its slots come from the other end.
    BucketHeader: 128, align 64 {
        /// The robust lock: `TID | WAITERS | OWNER_DIED`.
        0 lock: AtomicU32,
        /// Odd while a writer is in: then the bucket is being changed, or a writer died in it.
        4 generation: AtomicU32,
        /// First word behind the last record.
        8 records_end: AtomicU32,
        /// Slots, the empty ones among them too.
        12 slot_count: AtomicU32,
        /// Slot index + 1 of the record being moved; 0 when none is.
        16 move_slot: AtomicU32,
        20 move_from: AtomicU32,
        24 move_to: AtomicU32,
        28 move_words: AtomicU32,
        /// Words of the move that are done for certain.
        32 move_done: AtomicU32,
        /// Times the lock was had only after waiting.
        36 contended: AtomicU32,
        /// Times the bucket was repaired.
        40 repairs: AtomicU32,
        /// Sessions ever evicted: the next ghost goes to this index, modulo their number.
        44 evictions: AtomicU32,
        48 reserved: AtomicU32,
        /// Hashes of the IDs of the sessions that were evicted last; 0: none.
        52 ghosts: [AtomicU16; GHOSTS],
    }
}

/// `shmtls`, then CR and SUB: no text file begins like this (as in PNG's magic).
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"shmtls\r\x1a");
/// Raised by every change of this file that moves a byte or gives one a new meaning.
pub(crate) const LAYOUT_VERSION: u32 = 3;
/// `Header::state` of a segment that is whole. Any other value is not.
pub(crate) const STATE_READY: u32 = 0x5245_4459;
/// Counters of one process.
pub(crate) const COUNTERS: usize = 64;
/// Evicted sessions that a bucket remembers.
pub(crate) const GHOSTS: usize = 38;
/// Words of a record before its payload: check and expiry, shape, context, ID (4).
pub(crate) const RECORD_HEAD_WORDS: usize = 7;
/// Bytes of a sealed payload before and behind the session.
pub(crate) const SEAL_SALT: usize = 16;
pub(crate) const SEAL_TAG: usize = 16;
/// Words of one copy of the ticket keys: 16 of head and 16 for each of 32 keys.
pub(crate) const KEY_COPY_WORDS: usize = 528;
/// Bytes of a header before its ring of keys: all that is read to attach.
pub(crate) const HEADER_FIELDS_BYTES: usize = offset_of!(Header, keys);
/// Bytes of a page, the unit of the segment's parts.
pub(crate) const PAGE: u64 = 4096;

/// A digest of every offset, size and name above, of the word size and of the byte order: two
/// builds that lay out a segment differently refuse each other even if someone forgot to raise
/// the version.
pub(crate) const FINGERPRINT: u64 = {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    hash = fold_fields(hash, Header::FIELDS);
    hash = fold_fields(hash, KeyRegion::FIELDS);
    hash = fold_fields(hash, Retired::FIELDS);
    hash = fold_fields(hash, MemberLine::FIELDS);
    hash = fold_fields(hash, EventSlot::FIELDS);
    hash = fold_fields(hash, BucketHeader::FIELDS);
    hash = fold(hash, RECORD_HEAD_WORDS as u64);
    hash = fold(hash, COUNTERS as u64);
    hash = fold(hash, size_of::<usize>() as u64);
    fold(hash, u16::from_ne_bytes([1, 0]) as u64)
};

const fn fold_fields(mut hash: u64, fields: &[Field]) -> u64 {
    let mut i = 0;
    while i < fields.len() {
        hash = fold(hash, fields[i].offset as u64);
        hash = fold(hash, fields[i].size as u64);
        let name = fields[i].name.as_bytes();
        let mut c = 0;
        while c < name.len() {
            hash = fold(hash, name[c] as u64);
            c += 1;
        }
        i += 1;
    }
    hash
}

/// One step of FNV-1a over 64-bit units.
const fn fold(hash: u64, value: u64) -> u64 {
    (hash ^ value).wrapping_mul(0x0100_0000_01b3)
}

#[cfg(test)]
mod tests;
