//! What `shm-layout.md` has to say, as the code knows it: from the structs, or by trying.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::bucket::Slot;
use crate::error::OptionsError;
use crate::events;
use crate::geometry::{Geometry, Plan, SLOTS_MAX, Size};
use crate::keyring::{KeySource, Staged};
use crate::layout::*;
use crate::robust::{self, NotAcquired, OWNER_DIED, Patience, TID_MASK, WAITERS};
use crate::session::Expiry;
use crate::stats::Stats;
use crate::sys::thread::Section;
use crate::ticket_key::{KeySet, MAX_KEYS, TicketKey};

mod record;

use record::record_words;
pub(super) use record::{SEED, Sample, record_of};

/// A table as the code would write it: those columns that can be compared.
pub(super) struct Expected {
    pub(super) heading: String,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<String>>,
}

pub(super) static EXPECTED: LazyLock<Vec<Expected>> = LazyLock::new(|| {
    vec![
        constants(),
        bucket_sizes(),
        fields("3", "Header", size_of::<Header>(), Header::FIELDS),
        fields("4", "Retired", size_of::<Retired>(), Retired::FIELDS),
        fields("4.1", "KeyRegion", size_of::<KeyRegion>(), KeyRegion::FIELDS),
        key_copy(),
        fields("5", "MemberLine", size_of::<MemberLine>(), MemberLine::FIELDS),
        counters(),
        fields("5.1", "EventSlot", size_of::<EventSlot>(), EventSlot::FIELDS),
        event_codes(),
        fields("6.1", "BucketHeader", size_of::<BucketHeader>(), BucketHeader::FIELDS),
        slot_word(),
        record_words(),
        lock_word(),
    ]
});

fn fields(section: &str, name: &str, size: usize, fields: &[Field]) -> Expected {
    let row = |field: &Field| {
        let spelled = spelled(field.ty);
        vec![field.offset.to_string(), field.size.to_string(), field.name.into(), spelled]
    };
    Expected {
        heading: format!("{section} `{name}`: {size} bytes"),
        columns: &["offset", "size", "field", "type"],
        rows: fields.iter().map(row).collect(),
    }
}

/// `[[AtomicU64; COUNTERS]; 2]` as a C programmer reads it: `u64[2][56]`.
fn spelled(ty: &str) -> String {
    let mut ty = ty;
    let mut dimensions = String::new();
    while let Some((inner, len)) =
        ty.strip_prefix('[').and_then(|t| t.strip_suffix(']')?.rsplit_once("; "))
    {
        let len = match len {
            "COUNTERS" => COUNTERS.to_string(),
            "KEY_COPY_WORDS" => KEY_COPY_WORDS.to_string(),
            "GHOSTS" => GHOSTS.to_string(),
            number => number.to_string(),
        };
        dimensions += &format!("[{len}]");
        ty = inner;
    }
    ty.replace("AtomicU", "u") + &dimensions
}

/// Names and indices as the segment has them; meanings from the comments in `src/stats.rs`.
fn counters() -> Expected {
    let source = include_str!("../../stats.rs");
    let meaning_of = |name: &str| {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let declaration = format!(" = {name},");
        let at = lines.iter().position(|line| line.ends_with(&declaration)).expect("declared");
        let comment = lines[..at].iter().rev().take_while(|line| line.starts_with("///"));
        let comment: Vec<&str> = comment.map(|line| line[3..].trim()).collect();
        comment.into_iter().rev().collect::<Vec<_>>().join(" ")
    };
    let stats = Stats::from_counters(|counter| counter as u64);
    let row = |(name, index): (&str, u64)| vec![index.to_string(), name.into(), meaning_of(name)];
    Expected {
        heading: format!("5 `MemberLine`: {} bytes", size_of::<MemberLine>()),
        columns: &["index", "counter", "meaning"],
        rows: stats.fields().into_iter().map(row).collect(),
    }
}

pub(super) fn plan(
    size: Size,
    max_session: u32,
    members: u32,
    secs: u64,
) -> Result<Geometry, OptionsError> {
    let lifetime = Duration::from_secs(secs);
    let events = 32;
    Geometry::plan(&Plan { size, max_session, members, events, lifetime, seed: 0, sealing: 0 })
}

fn constants() -> Expected {
    let some = Size::Bytes(3 << 20);
    let geometry = plan(some, 256, 1, 1).expect("valid");
    let Err(OptionsError::MaxSession { min, max, .. }) = plan(some, 0, 1, 1) else { panic!() };
    let Err(OptionsError::Processes { max: members, .. }) = plan(some, 256, 0, 1) else { panic!() };
    let second = Duration::from_secs(1);
    let odd = Plan {
        size: some,
        max_session: 256,
        members: 1,
        events: 3,
        lifetime: second,
        seed: 0,
        sealing: 0,
    };
    let Err(OptionsError::Events { max: events, .. }) = Geometry::plan(&odd) else { panic!() };
    let Err(OptionsError::Lifetime { max: lifetime, .. }) = plan(some, 256, 1, 0) else { panic!() };
    let Err(OptionsError::TooLarge { max: total, .. }) = plan(Size::Bytes(1 << 63), 256, 1, 1)
    else {
        panic!()
    };
    let ticks = lifetime / u64::from(plan(some, 256, 1, lifetime).expect("valid").use_tick_secs);
    let sessions = |n| plan(Size::Sessions(n), 256, 1, 1).expect("valid").total_bytes;
    let magic = MAGIC.to_ne_bytes().map(|byte| format!("{byte:02x}"));
    let slots = geometry.bucket_slots * 32_768 / geometry.bucket_bytes;
    let rows = [
        ("MAGIC", magic.join(" ")),
        ("LAYOUT_VERSION", LAYOUT_VERSION.to_string()),
        ("FINGERPRINT", format!("{FINGERPRINT:#018x}")),
        ("STATE_READY", format!("{STATE_READY:#x}")),
        ("PAGE", PAGE.to_string()),
        ("COUNTERS", COUNTERS.to_string()),
        ("GHOSTS", GHOSTS.to_string()),
        ("KEY_COPY_WORDS", KEY_COPY_WORDS.to_string()),
        ("MAX_KEYS", MAX_KEYS.to_string()),
        ("RECORD_HEAD_WORDS", RECORD_HEAD_WORDS.to_string()),
        ("SEAL_SALT", SEAL_SALT.to_string()),
        ("SEAL_TAG", SEAL_TAG.to_string()),
        ("WAITERS", format!("{WAITERS:#x}")),
        ("OWNER_DIED", format!("{OWNER_DIED:#x}")),
        ("TID_MASK", format!("{TID_MASK:#x}")),
        ("slots in 32 KiB of a bucket", slots.to_string()),
        ("slots of the largest bucket", SLOTS_MAX.to_string()),
        ("max_session_bytes", format!("{min} to {max}")),
        ("member_count", format!("1 to {members}")),
        ("event_slots", format!("0, or a power of two up to {events}")),
        ("lifetime_secs", format!("1 to {lifetime}")),
        ("greatest total_bytes", total.to_string()),
        ("ticks in a lifetime", ticks.to_string()),
        (
            "bytes planned for a session",
            ((sessions(2 << 20) - sessions(1 << 20)) >> 20).to_string(),
        ),
    ];
    Expected {
        heading: "2.1 Constants".into(),
        columns: &["constant", "value"],
        rows: rows.into_iter().map(|(name, value)| vec![name.into(), value]).collect(),
    }
}

/// Where the parts of a copy of the keys lie: found by what they hold.
fn key_copy() -> Expected {
    let key = |n| TicketKey::aes256([n; 16], &[n + 1; 32], &[n + 2; 32]).expect("not zero");
    let first = key(0x10)
        .not_before(Expiry::from_unix(0x2020_2020))
        .not_after(Expiry::from_unix(0x7030_3030));
    let keys = KeySet::new(vec![first, key(0x40)]).expect("one encrypts");
    let (epoch, seed) = (0x0505_0505_0505, 7);
    let staged = Staged::new(epoch - 1, &keys, KeySource::Rotation, seed);
    let words = staged.words();
    let bytes = |n: u8| u64::from_ne_bytes([n; 8]);
    let check = crate::hash::wide_check(seed, &staged.bytes()[crate::words::WORD..]);
    let find = |value: u64| {
        let first = words.iter().position(|word| *word == value).expect("it is there");
        let last = words.iter().rposition(|word| *word == value).expect("it is there");
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let count_and_source = 2 | 3 << 32;
    let rows = [
        (find(check), "check"),
        (find(epoch), "epoch"),
        ("2".into(), "published"),
        ("3".into(), "uptime"),
        (find(count_and_source), "count, source"),
        (find(std::process::id().into()), "writer"),
        (find(bytes(0x10)), "name of the first key"),
        (find(bytes(0x11)), "HMAC key"),
        (find(bytes(0x12)), "AES key"),
        (find(0x2020_2020), "not-before"),
        (find(0x7030_3030), "not-after"),
        ("28".into(), "cipher"),
        (find(bytes(0x40)).split('-').next().expect("a first").into(), "the next key"),
    ];
    assert!(words[2].abs_diff(crate::session::now_secs().into()) < 60 && words[28] == 2);
    assert!(words[3].abs_diff(crate::sys::process::uptime_ms()) < 60_000);
    Expected {
        heading: "4.2 A copy of the keys".into(),
        columns: &["word", "part"],
        rows: rows.into_iter().map(|(word, part)| vec![word, part.into()]).collect(),
    }
}

/// A row for each range of session limits that have the same bucket.
fn bucket_sizes() -> Expected {
    let mut ranges: Vec<(u32, u32, [u64; 3])> = Vec::new();
    for limit in 0..=u16::MAX.into() {
        let Ok(geometry) = plan(Size::Bytes(3 << 20), limit, 1, 1) else { continue };
        let shape = [
            geometry.bucket_bytes.into(),
            geometry.bucket_slots.into(),
            geometry.body_words() as u64,
        ];
        match ranges.last_mut() {
            Some((_, last, same)) if *same == shape => *last = limit,
            _ => ranges.push((limit, limit, shape)),
        }
    }
    let row = |(first, last, shape): (u32, u32, [u64; 3])| {
        let numbers = shape.iter().map(u64::to_string);
        std::iter::once(format!("{first} to {last}")).chain(numbers).collect()
    };
    Expected {
        heading: "2.2 Geometry".into(),
        columns: &["session limit", "bucket bytes", "slots", "words of the body"],
        rows: ranges.into_iter().map(row).collect(),
    }
}

/// The codes, in their order, and what they say.
fn event_codes() -> Expected {
    let row = |(code, happening)| vec![format!("{code}"), format!("{happening:?}")];
    Expected {
        heading: format!("5.1 `EventSlot`: {} bytes", size_of::<EventSlot>()),
        columns: &["code", "happening"],
        rows: events::all_codes().map(row).collect(),
    }
}

fn slot_word() -> Expected {
    let none = Slot::new(0, 0, 0).word();
    assert_eq!((none, Slot::EMPTY.word()), (1, 0), "the position is stored one further");
    let hits = (0..9).fold(Slot::new(0, 0, 0), |slot, _| slot.hit_at(0));
    assert_eq!(hits.hits(), Slot::HITS_MAX);
    let parts = [
        ("position + 1", Slot::new(0x1ffe, 0, 0).word()),
        ("hits", hits.word() & !none),
        ("tag", Slot::new(0, 0xff, 0).word() & !none),
        ("tick", Slot::new(0, 0, 0xff).word() & !none),
    ];
    let row = |(name, mask): (&str, u32)| {
        assert_eq!(mask.count_ones() + mask.leading_zeros() + mask.trailing_zeros(), 32);
        vec![bits(mask.trailing_zeros(), 32 - mask.leading_zeros()), name.into()]
    };
    Expected {
        heading: "6.2 Slot words".into(),
        columns: &["bits", "part"],
        rows: parts.map(row).into(),
    }
}

/// `first-last` of the bits from `start` to before `end`.
fn bits(start: u32, end: u32) -> String {
    if end == start + 1 { start.to_string() } else { format!("{start}-{}", end - 1) }
}

/// All eight kinds of word, and what happens to somebody who wants the lock.
fn lock_word() -> Expected {
    let living = Section::enter(&AtomicU32::new(0)).expect("in no section").tid();
    let dead = 0x3fff_fff0;
    let rows = (0..8_u32).map(|kind| {
        let (owned, died, waiters) = (kind & 4 != 0, kind & 2 != 0, kind & 1 != 0);
        let flags = (u32::from(died) * OWNER_DIED) | (u32::from(waiters) * WAITERS);
        let digit = |yes: bool| if yes { "1" } else { "0" }.to_string();
        let (who, if_dead) = if owned { ("T", fate(flags | dead)) } else { ("0", String::new()) };
        let living = if owned { living } else { 0 };
        vec![who.into(), digit(died), digit(waiters), fate(flags | living), if_dead]
    });
    Expected {
        heading: "7 The lock word".into(),
        columns: &[
            "bits 0-29",
            "bit 30",
            "bit 31",
            "a thread that wants it",
            "and that finds T dead",
        ],
        rows: rows.collect(),
    }
}

/// What another thread meets that tries to lock this word.
fn fate(word: u32) -> String {
    let patience = Patience { deadline: Duration::from_millis(4), slice: Duration::from_millis(2) };
    let word = AtomicU32::new(word);
    let attempt = || match robust::lock(&word, patience) {
        Ok(acquired) => {
            let keeps = word.load(Relaxed) & WAITERS != 0;
            let keeps = if keeps { ", keeps WAITERS" } else { "" };
            let repairs = if acquired.death.is_some() { ", repairs" } else { "" };
            format!("takes it{keeps}{repairs}")
        }
        Err(NotAcquired::Deadline(_)) => "waits".to_string(),
        Err(NotAcquired::Reentered) => "is refused".to_string(),
    };
    thread::scope(|scope| scope.spawn(attempt).join().expect("no panic"))
}
