//! The header of a real segment, with every field that never changes set to every kind of wrong
//! value. The fields and their places come from the tables of `shm-layout.md`.

use std::collections::BTreeSet;
use std::fs::File;

use shmtls::{AttachError, Options};
use xxhash_rust::xxh3::xxh3_64;

use crate::lab::{
    Place, SMALL_BYTES, assert_tells, assert_works, open, read, refused, refused_to_all, write,
};
use crate::layout_doc::{Row, Table, tables};

/// A field of the header, or one word of a field that has several.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) size: usize,
    /// Written by the creator, or by nobody.
    pub(crate) is_constant: bool,
}

/// All of the header as `shm-layout.md` has it.
pub(crate) fn fields() -> Vec<Field> {
    let tables = tables(include_str!("../../shm-layout.md"));
    let table = tables.iter().find(|table| table.heading.contains("`Header`"));
    let table = table.expect("a table of the header");
    table.rows.iter().flat_map(|row| words_of(table, row)).collect()
}

fn words_of(table: &Table, row: &Row) -> Vec<Field> {
    let whole = |cell: Option<_>| cell.unwrap_or_else(|| panic!("line {}: too short", row.line));
    let cell = |column| whole(table.cell(row, column));
    let number = |column| cell(column).parse::<usize>().expect("a number");
    let (size, word) = (number("size"), if cell("type") == "u32" { 4 } else { 8 });
    let is_constant = matches!(cell("written by"), "creator" | "nobody");
    let words = (0..size / word).map(|nth| Field {
        name: cell("field").to_string(),
        offset: (number("offset") + nth * word) as u64,
        size: word,
        is_constant,
    });
    words.collect()
}

impl Field {
    pub(crate) fn named(name: &str) -> Self {
        fields().into_iter().find(|field| field.name == name).expect("a field of that name")
    }

    pub(crate) fn value(&self, file: &File) -> u64 {
        match read(file, self.offset, self.size)[..] {
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            ref bytes => u64::from_ne_bytes(bytes.try_into().expect("4 or 8 bytes")),
        }
    }

    pub(crate) fn set(&self, file: &File, value: u64) {
        match self.size {
            4 => write(file, self.offset, &(value as u32).to_ne_bytes()),
            _ => write(file, self.offset, &value.to_ne_bytes()),
        }
    }

    /// None, one, the most, one more, one less, off its alignment, of another magnitude.
    fn wrong_values(&self, right: u64) -> BTreeSet<u64> {
        let most = if self.size == 4 { u32::MAX.into() } else { u64::MAX };
        let near = [right.wrapping_add(1), right.wrapping_sub(1), right.wrapping_add(4)];
        let far = [0, 1, most, right << 1, right >> 1, right << 16, !right];
        let all = near.into_iter().chain(far).map(|value| value & most);
        all.filter(|value| *value != right).collect()
    }
}

/// The header as its creator wrote it, to be put back.
struct Original {
    file: File,
    path: String,
    bytes: Vec<u8>,
}

impl Original {
    fn new(path: &str) -> Self {
        let file = open(path);
        let bytes = read(&file, 0, 4096);
        Self { file, path: path.into(), bytes }
    }

    /// As whoever changes a field on purpose would: the check fits again.
    fn make_check_right(&self) {
        let check = Field::named("check");
        let hash = xxh3_64(&read(&self.file, 0, check.offset as usize));
        check.set(&self.file, hash);
    }

    fn restore(&self) {
        write(&self.file, 0, &self.bytes);
    }

    /// Refused to writers and to readers, and not a byte was written.
    #[track_caller]
    fn refused(&self) -> AttachError {
        let before = read(&self.file, 0, SMALL_BYTES as usize);
        let error = refused_to_all(&self.path);
        assert!(read(&self.file, 0, SMALL_BYTES as usize) == before, "{error:?}, but written to");
        error
    }
}

#[test]
fn every_constant_field_with_every_wrong_value_is_refused() {
    let (_place, path) = Place::with_segment("s");
    let original = Original::new(&path);
    let constants: Vec<Field> = fields().into_iter().filter(|field| field.is_constant).collect();
    let bytes: usize = constants.iter().map(|field| field.size).sum();
    assert_eq!(bytes, 192 + 56 + 2752, "all but the table's lock, its counter, and the totals");
    let mut refusals = 0;
    for field in &constants {
        let right = field.value(&original.file);
        for wrong in field.wrong_values(right) {
            field.set(&original.file, wrong);
            let error = original.refused();
            let expected = match field.name.as_str() {
                "magic" => matches!(error, AttachError::NotASegment { .. }),
                "layout_version" => {
                    assert_tells(&error, &[&format!("layout {wrong},"), "has layout 3"]);
                    matches!(error, AttachError::OtherVersion { expected: 3, .. })
                }
                "fingerprint" => {
                    assert_tells(&error, &[&format!("{wrong:#018x}"), &format!("{right:#018x}")]);
                    matches!(error, AttachError::OtherFingerprint { .. })
                }
                "state" => {
                    assert_tells(&error, &[&format!("{wrong:#x}"), &format!("{right:#x}")]);
                    matches!(error, AttachError::NotReady { .. })
                }
                name if field.offset > Field::named("check").offset => is_bad(&error, name),
                _ => is_bad(&error, "check"),
            };
            assert!(expected, "{field:?} {wrong:#x}: {error:?}");
            refusals += 1;
        }
        original.restore();
    }
    assert!(refusals > 1300, "{refusals}");
    assert_works(&Options::new().attach(&path).expect("all is as it was"));
}

/// A check is no proof against a broken creator, or one who knows how it is computed.
#[test]
fn every_constant_field_is_checked_for_sense_too() {
    let (_place, path) = Place::with_segment("s");
    let original = Original::new(&path);
    let check = Field::named("check").offset;
    for field in fields().into_iter().filter(|field| field.offset < check) {
        let right = field.value(&original.file);
        for wrong in field.wrong_values(right) {
            field.set(&original.file, wrong);
            original.make_check_right();
            if is_free_choice(&field.name, wrong) {
                assert_works(&Options::new().attach(&path).expect("a creator can write that"));
                assert_eq!(field.value(&original.file), wrong, "{field:?}");
            } else if ["pid_namespace", "boot_id"].contains(&field.name.as_str()) {
                assert_other_origin(&original, &field, wrong, right);
            } else if field.name == "sealing" {
                // As if the segment were sealed: who only looks needs no key.
                let error = refused(Options::new().attach(&original.path));
                assert!(matches!(error, AttachError::SealingKeyMissing), "{error:?}");
                assert!(Options::new().inspect(&original.path).expect("a reader").is_sealed());
            } else {
                let error = original.refused();
                assert!(says_which(&error, &field.name, wrong), "{field:?} {wrong}: {error:?}");
            }
            original.restore();
        }
    }
    assert_works(&Options::new().attach(&path).expect("all is as it was"));
}

/// Values of which nobody can say that they are wrong, by the rules of shm-layout.md, 2.2: they are
/// in range, and lead to the geometry that the header has.
fn is_free_choice(name: &str, value: u64) -> bool {
    match name {
        "seed" | "created_unix_secs" | "creator_pid" => true,
        "member_count" => (1..=4).contains(&value),
        "event_slots" => value.is_power_of_two() && value <= 32,
        "max_session_bytes" => (256..=32_544).contains(&value),
        "lifetime_secs" => value.div_ceil(128) == 29,
        _ => false,
    }
}

/// The error of a header that makes no sense: it names the field, or what the field leads to.
fn says_which(error: &AttachError, name: &str, wrong: u64) -> bool {
    match name {
        "magic" => matches!(error, AttachError::NotASegment { .. }),
        "layout_version" => matches!(error, AttachError::OtherVersion { .. }),
        "fingerprint" => matches!(error, AttachError::OtherFingerprint { .. }),
        "state" => matches!(error, AttachError::NotReady { .. }),
        "total_bytes" => {
            assert_tells(error, &[&SMALL_BYTES.to_string(), &wrong.to_string()]);
            matches!(error, AttachError::WrongLength { .. })
        }
        "member_count" => ["member_count", "events_offset", "buckets_offset"]
            .iter()
            .any(|field| is_bad(error, field)),
        "event_slots" => is_bad(error, name) || is_bad(error, "buckets_offset"),
        "max_session_bytes" => is_bad(error, name) || is_bad(error, "bucket_count"),
        "lifetime_secs" => is_bad(error, name) || is_bad(error, "use_tick_secs"),
        _ => is_bad(error, name),
    }
}

fn is_bad(error: &AttachError, name: &str) -> bool {
    let AttachError::BadField { field, found, expected } = error else { return false };
    assert_tells(error, &[field, &found.to_string(), expected]);
    *field == name
}

/// Thread IDs of another boot or PID namespace mean nothing here; who only looks needs none.
fn assert_other_origin(original: &Original, field: &Field, wrong: u64, right: u64) {
    let error = refused(Options::new().attach(&original.path));
    match error {
        AttachError::OtherBoot => assert_eq!(field.name, "boot_id"),
        AttachError::OtherPidNamespace { found, expected } => {
            assert_eq!((field.name.as_str(), found, expected), ("pid_namespace", wrong, right));
            assert_tells(&error, &[&wrong.to_string(), &right.to_string()]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(Options::new().inspect(&original.path).expect("a reader").len(), 0);
}

#[test]
fn a_length_that_fits_a_wrong_header_is_refused_all_the_same() {
    let (_place, path) = Place::with_segment("s");
    let original = Original::new(&path);
    let total = Field::named("total_bytes");
    for len in
        [4096, 20_480, 20_480 + 32_767, SMALL_BYTES - 1, SMALL_BYTES + 4096, (1 << 40) + 4096]
    {
        original.file.set_len(len).expect("ftruncate");
        total.set(&original.file, len);
        original.make_check_right();
        let error = refused_to_all(&path);
        assert!(matches!(error, AttachError::BadField { .. }), "{len}: {error:?}");
        original.file.set_len(SMALL_BYTES).expect("ftruncate");
        original.restore();
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let (_place, path) = Place::with_segment("s");
    let original = Original::new(&path);
    let mut flips = 0;
    let constants = fields().into_iter().filter(|field| field.is_constant);
    for at in constants.flat_map(|field| field.offset..field.offset + field.size as u64) {
        for bit in 0..8 {
            write(&original.file, at, &[original.bytes[at as usize] ^ 1 << bit]);
            refused(Options::new().attach(&path));
            flips += 1;
        }
        write(&original.file, at, &[original.bytes[at as usize]]);
    }
    assert_eq!(flips, (192 + 56 + 2752) * 8);
    assert_works(&Options::new().attach(&path).expect("all is as it was"));
}

/// A creator that was killed half-way, in an order of stores that nobody promised: any part of the
/// header may be there.
#[test]
fn a_header_that_is_not_whole_is_refused() {
    let (_place, path) = Place::with_segment("s");
    let original = Original::new(&path);
    let written = fields().into_iter().filter(|f| f.is_constant && f.value(&original.file) != 0);
    let written: Vec<Field> = written.collect();
    for first in 0..written.len() {
        for last in first..written.len() {
            for field in &written[first..=last] {
                field.set(&original.file, 0);
            }
            let error = refused(Options::new().attach(&path));
            let not_ready = matches!(error, AttachError::NotReady { found: 0, .. });
            let only_state = first == last && written[first].name == "state";
            assert!(!only_state || not_ready, "{error:?}");
            original.restore();
        }
    }
}
