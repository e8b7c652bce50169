//! Where each part of a record lies, found by trying.

use super::{Expected, bits};
use crate::geometry::{Geometry, Size};
use crate::record::{self, Key};
use crate::session::{Context, Expiry, Library, NewSession, SessionId};

/// What goes into a record.
#[derive(Clone)]
pub(in super::super) struct Sample {
    context: Context,
    id: Vec<u8>,
    payload: Vec<u8>,
    single_use: bool,
    library: Library,
    protocol: u16,
    writer: u16,
    expiry: u32,
    created: u32,
}

impl Default for Sample {
    fn default() -> Self {
        let context = Context::from_bytes([0; 8]);
        let (id, payload) = (vec![0; 8], vec![0; 8]);
        let (single_use, library) = (false, Library::Raw);
        let (protocol, writer, expiry, created) = (0, 0, 0, 0);
        Self { context, id, payload, single_use, library, protocol, writer, expiry, created }
    }
}

pub(in super::super) const SEED: u64 = 7;

pub(in super::super) fn record_of(sample: &Sample) -> Vec<u64> {
    let session = NewSession::new(&sample.payload, Expiry::from_unix(sample.expiry))
        .single_use(sample.single_use)
        .library(sample.library)
        .protocol(sample.protocol);
    let id = SessionId::new(&sample.id).expect("a valid ID");
    let key = Key { context: sample.context, id };
    let staged = record::encode(&geometry(), &key, &session, sample.writer, sample.created, None);
    let staged = staged.expect("nothing to seal");
    staged.bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

/// A geometry in which a second is a unit of a record's span.
fn geometry() -> Geometry {
    Geometry { seed: SEED, ..super::plan(Size::Bytes(3 << 20), 256, 1, 3600).expect("valid") }
}

/// Where each part of a record begins, found by changing it; it ends where the next begins.
pub(super) fn record_words() -> Expected {
    let base = Sample { expiry: 1 << 20, created: 1 << 20, ..Sample::default() };
    let plain = record_of(&base);
    // The first bit behind the check in which two records differ.
    let first_bit = |sample: Sample| {
        let changed = record_of(&sample);
        let differing = (0..).zip(plain.iter().zip(&changed)).find_map(|(word, (a, b))| {
            let different = (a ^ b) & if word == 0 { u64::from(u32::MAX) << 32 } else { u64::MAX };
            (different != 0).then(|| word * 64 + different.trailing_zeros())
        });
        differing.expect("one")
    };
    let longer = vec![0; 9];
    let single_use = first_bit(Sample { single_use: true, ..base.clone() });
    let sealed = single_use + record::SEALED.trailing_zeros();
    let parts = [
        ("check", 0),
        // Both at once, so that the time between them is the same.
        (
            "expiry",
            first_bit(Sample {
                expiry: base.expiry + 1,
                created: base.created + 1,
                ..base.clone()
            }),
        ),
        ("payload length", first_bit(Sample { payload: longer, ..base.clone() })),
        ("ID length", first_bit(Sample { id: vec![0; 9], ..base.clone() })),
        ("single use", single_use),
        ("library", first_bit(Sample { library: Library::OpenSsl, ..base.clone() })),
        ("sealed", sealed),
        ("protocol", first_bit(Sample { protocol: 0x0300, ..base.clone() })),
        ("span", first_bit(Sample { created: base.created - 1, ..base.clone() })),
        ("writer", first_bit(Sample { writer: 1, ..base.clone() })),
        ("context", first_bit(Sample { context: Context::from_bytes([1; 8]), ..base.clone() })),
        ("ID", first_bit(Sample { id: vec![1; 8], ..base.clone() })),
        ("payload", first_bit(Sample { payload: vec![1; 8], ..base.clone() })),
    ];
    let ends = parts[1..].iter().map(|(_, start)| Some(*start)).chain([None]);
    let row = |((name, start), end): ((&str, u32), Option<u32>)| {
        let (word, bit) = (start / 64, start % 64);
        let (words, bits) = match end {
            None => (format!("{word}-"), "all".to_string()),
            Some(end) if end / 64 == word => (word.to_string(), bits(bit, end % 64)),
            Some(end) if bit > 0 => (word.to_string(), bits(bit, bit + end - start)),
            Some(end) if end - start == 64 => (word.to_string(), "all".to_string()),
            Some(end) => (format!("{word}-{}", end / 64 - 1), "all".to_string()),
        };
        vec![words, bits, name.to_string()]
    };
    Expected {
        heading: "6.3 Records".into(),
        columns: &["word", "bits", "part"],
        rows: parts.into_iter().zip(ends).map(row).collect(),
    }
}
