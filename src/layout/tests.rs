//! `shm-layout.md` against the code. Every table there that has a counterpart here is compared with
//! it, cell by cell and in both directions; and every cell and row is then falsified, to see that
//! the comparison would notice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use self::doc::{Row, Table};
use self::expected::{EXPECTED, Expected, SEED, Sample, plan, record_of};
use crate::geometry::Size;
use crate::hash;
use crate::session::SessionId;

#[path = "../../tests/common/layout_doc.rs"]
mod doc;
mod expected;

const DOCUMENT: &str = include_str!("../../shm-layout.md");

#[test]
fn the_document_agrees_with_the_code() {
    let complaints = complaints(DOCUMENT);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn every_wrong_row_is_noticed_and_named() {
    let tables = doc::tables(DOCUMENT);
    for expected in &*EXPECTED {
        let table = expected.find_in(&tables).expect("the table is there");
        for (nth, row) in table.rows.iter().enumerate() {
            let (at, cells) = (row.line - 1, expected.cells(table, row));
            for column in expected.columns {
                let falsified = doctored(|lines| falsify(&mut lines[at], table, row, column));
                assert_noticed(row, &cells, &falsified);
            }
            assert_noticed(row, &cells, &doctored(|lines| drop(lines.remove(at))));
            assert_noticed(row, &cells, &doctored(|lines| lines.insert(at, lines[at].clone())));
            if nth > 0 {
                let swapped = doctored(|lines| lines.swap(at - 1, at));
                assert!(!complaints(&swapped).is_empty(), "order: {row:?}");
            }
        }
        let last = table.rows.last().expect("a row").line;
        let invented = "| 8 ".repeat(table.columns.len()) + "|";
        let extended = doctored(|lines| lines.insert(last, invented));
        assert!(!complaints(&extended).is_empty(), "extra: {:?}", expected.columns);
        let moved = DOCUMENT.replace(&expected.heading, "Elsewhere");
        assert!(!complaints(&moved).is_empty(), "{}", expected.heading);
    }
}

#[test]
fn the_rules_of_geometry_are_those_of_the_document() {
    for members in [1, 7, 8, 9, 255, 256, 257, 4096] {
        for (session, lifetime) in [(256, 1), (10_240, 3600), (16_384, 128), (49_152, 604_800)] {
            for bytes in [8 << 20, (32 << 20) + 1, 100_000_000] {
                let found = plan(Size::Bytes(bytes), session, members, lifetime).expect("valid");
                let bucket = u64::from(found.bucket_bytes);
                let pages = |bytes: u64| bytes.div_ceil(4096) * 4096;
                let events_offset = 16_384 + pages(u64::from(members) * 640);
                let buckets_offset = events_offset + pages(u64::from(members) * 32 * 32);
                let bucket_count = (bytes - buckets_offset) / bucket;
                assert_eq!(found.members_offset, 16_384);
                assert_eq!(found.events_offset, events_offset);
                assert_eq!(found.buckets_offset, buckets_offset);
                assert_eq!(found.bucket_count, bucket_count);
                assert_eq!(found.total_bytes, buckets_offset + bucket_count * bucket);
                assert_eq!(u64::from(found.use_tick_secs), lifetime.div_ceil(128));
                assert_eq!(u64::from(found.span_secs()), lifetime.div_ceil(65_535));
            }
        }
    }
}

#[test]
fn the_hashes_are_those_of_the_document() {
    for len in 1..=32 {
        let bytes: Vec<u8> = (0..len).map(|i| i * 7 + len).collect();
        let id = SessionId::new(&bytes).expect("a valid length");
        let hash = xxh3_64_with_seed(&bytes, 42);
        let place = hash::locate(42, &id, 1000);
        assert_eq!(place.bucket as u64, ((hash >> 32) * 1000) >> 32);
        assert_eq!(u64::from(place.tag), hash & 0xff);
    }
    let record = record_of(&Sample::default());
    let bytes: Vec<u8> = record.iter().flat_map(|word| word.to_ne_bytes()).collect();
    assert_eq!(record[0] as u32, xxh3_64_with_seed(&bytes[4..], SEED) as u32);
}

#[test]
fn every_invariant_names_tests_that_exist() {
    let complaints = unproven(DOCUMENT);
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));

    let offences = [
        DOCUMENT.replacen("**I2**", "**I3**", 1),
        DOCUMENT.replacen("::the_document_agrees_with", "::the_document_disagrees_with", 1),
        DOCUMENT.replacen("`src/layout/tests.rs::", "`src/layout/taste.rs::", 1),
        // A function that is no test.
        DOCUMENT.replacen("::the_document_agrees_with_the_code", "::bucket_sizes", 1),
        "- **I1** Stated, and checked by nobody.\n".to_string(),
        "No invariant at all.\n".to_string(),
    ];
    for offence in offences {
        assert_ne!(offence, DOCUMENT);
        assert!(!unproven(&offence).is_empty());
    }
}

// ---- comparing --------------------------------------------------------------------------------

/// What is wrong with a document.
fn complaints(document: &str) -> Vec<String> {
    let tables = doc::tables(document);
    EXPECTED.iter().flat_map(|expected| expected.compare(&tables)).collect()
}

impl Expected {
    fn find_in<'a>(&self, tables: &'a [Table]) -> Option<&'a Table> {
        tables.iter().find(|table| {
            let has = |name: &&str| table.columns.iter().any(|column| column == name);
            table.heading == self.heading && self.columns.iter().all(has)
        })
    }

    /// The cells of the columns that are compared; one that is missing is empty.
    fn cells<'a>(&self, table: &Table, row: &'a Row) -> Vec<&'a str> {
        self.columns.iter().map(|column| table.cell(row, column).unwrap_or_default()).collect()
    }

    fn compare(&self, tables: &[Table]) -> Vec<String> {
        let Some(table) = self.find_in(tables) else {
            return vec![format!("no table {:?} under {:?}", self.columns, self.heading)];
        };
        let found = table.rows.iter().map(|row| (row.line, self.cells(table, row)));
        let found: Vec<(usize, Vec<&str>)> = found.collect();
        let mut complaints = Vec::new();
        for (line, cells) in &found {
            if !self.rows.iter().any(|row| row == cells) {
                complaints.push(format!("line {line}: {cells:?} is not what the code says"));
            }
        }
        for row in &self.rows {
            let times = found.iter().filter(|(_, cells)| row == cells).count();
            if times != 1 {
                let heading = &self.heading;
                complaints.push(format!("{heading}: {row:?} is there {times} times, not once"));
            }
        }
        if complaints.is_empty() && !found.iter().map(|(_, cells)| cells).eq(&self.rows) {
            complaints.push(format!("{}: the rows are not in the code's order", self.heading));
        }
        complaints
    }
}

/// Invariants without a test, and tests that are none.
fn unproven(document: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut invariants = BTreeMap::new();
    for item in document.split("\n- ").skip(1).chain(document.strip_prefix("- ")) {
        let Some((number, text)) = item.strip_prefix("**I").and_then(|item| item.split_once("**"))
        else {
            continue;
        };
        let text = text.split("\n\n").next().unwrap_or_default();
        invariants.insert(number.parse::<usize>().unwrap_or(0), tests_named_in(text));
    }
    if invariants.is_empty() || !invariants.keys().copied().eq(1..=invariants.len()) {
        complaints.push(format!("the invariants are {:?}", invariants.keys()));
    }
    for (number, tests) in &invariants {
        if tests.is_empty() {
            complaints.push(format!("I{number} names no test"));
        }
    }
    for (path, name) in tests_named_in(document) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
        let source = fs::read_to_string(file).unwrap_or_default();
        if !has_test(&source, &name) {
            complaints.push(format!("{path} has no test {name}"));
        }
    }
    complaints
}

/// Everything of the form `path.rs::name` between backquotes.
fn tests_named_in(text: &str) -> Vec<(String, String)> {
    let spans = text.split('`').skip(1).step_by(2);
    spans
        .filter_map(|span| span.split_once(".rs::"))
        .map(|(path, name)| (format!("{path}.rs"), name.to_string()))
        .collect()
}

fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(&format!("fn {name}("))) else {
        return false;
    };
    let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    attributes.into_iter().any(|line| *line == "#[test]")
}

// ---- falsifying -------------------------------------------------------------------------------

/// A complaint names the row by its line, or by its cells where the line is gone.
fn assert_noticed(row: &Row, cells: &[&str], document: &str) {
    let complaints = complaints(document);
    let (line, cells) = (format!("line {}:", row.line), format!("{cells:?}"));
    let names_it = |text: &String| text.contains(&line) || text.contains(&cells);
    assert!(complaints.iter().any(names_it), "{line} can be falsified unnoticed: {complaints:?}");
}

/// The document with its lines changed.
fn doctored(change: impl FnOnce(&mut Vec<String>)) -> String {
    let mut lines = DOCUMENT.lines().map(String::from).collect();
    change(&mut lines);
    lines.join("\n")
}

/// Lets the cell in `column` say something else: a number one further, or another word.
fn falsify(line: &mut String, table: &Table, row: &Row, column: &str) {
    let nth = table.columns.iter().position(|name| name == column).expect("a column");
    let mut cells: Vec<String> = line.split('|').map(String::from).collect();
    let cell = &row.cells[nth];
    cells[nth + 1] = match cell.parse::<u64>() {
        Ok(number) => (number + 1).to_string(),
        Err(_) => format!("{cell}s"),
    };
    *line = cells.join("|");
}
