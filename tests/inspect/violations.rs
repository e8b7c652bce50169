//! Each violation that a check can name, made by hand: it is named, at its place, and nothing else.

use shmtls::{Checked, Options, Spot, TicketKey};

use crate::lab::{
    BUCKET, GENERATION, HEAD, LOCK, Lab, MOVE_SLOT, OTHER, Record, dead_pid, moved, own_tid,
};
use crate::payload::{context, soon};
use crate::procs::{Child, fork_in_pid_namespace};
use crate::window::{
    BUCKET_WORDS, KEY_COPIES, KEY_COPY_WORDS, MEMBER_WORDS, MEMBERS, SLOT_COUNT, SLOTS,
};

/// Bit 25 of a record's second word.
const SEALED: u64 = 1 << 25;
const SEAL_WORDS: usize = 4;

struct Damage {
    invariant: u8,
    /// How the text begins.
    found: &'static str,
    make: fn(&Lab) -> Spot,
    mend: Mend,
}

/// What makes the segment clean again.
#[derive(Debug, Clone, Copy)]
enum Mend {
    /// A repair of the bucket, which loses so many sessions.
    Repair { lost: u64 },
    /// A repair keeps what has the right check. Only with the sessions this goes.
    Clear,
    /// The next update of the ticket keys.
    Publish,
    /// A process that takes the line and leaves it.
    Join,
}

const DAMAGES: [Damage; 17] = [
    Damage {
        invariant: 6,
        found: "its lock is held by thread ",
        make: |lab| lab.set_header(LOCK, dead_pid()),
        mend: Mend::Repair { lost: 0 },
    },
    Damage {
        invariant: 9,
        found: "a move is noted, and nobody makes it",
        make: |lab| lab.set_header(MOVE_SLOT, 1),
        mend: Mend::Repair { lost: 0 },
    },
    Damage {
        invariant: 9,
        found: "half changed: a writer died or panicked in it, and nobody came after",
        make: |lab| lab.set_header(GENERATION, 77),
        mend: Mend::Repair { lost: 0 },
    },
    Damage {
        invariant: 9,
        found: "points at no record that could lie in the bucket",
        make: |lab| lab.append_slot(0x1fff),
        mend: Mend::Repair { lost: 1 },
    },
    Damage {
        invariant: 9,
        found: "the record fails its check",
        make: |lab| {
            let at = lab.record(BUCKET, 3).at + HEAD + 2;
            lab.write(at, &[lab.word(at) ^ 1 << 40]);
            Spot::Slot { bucket: BUCKET, slot: 3 }
        },
        mend: Mend::Repair { lost: 1 },
    },
    Damage {
        invariant: 9,
        found: "its record shares bytes with another one",
        make: a_record_in_a_session,
        mend: Mend::Repair { lost: 1 },
    },
    Damage {
        invariant: 9,
        found: "bytes of no session between two records",
        make: |lab| {
            let at = lab.record(BUCKET, 4).at;
            assert_eq!(lab.cache.remove(&context(), &lab.ids()[4]), Ok(true));
            lab.write(at + 5, &[1]);
            Spot::Bucket(BUCKET)
        },
        mend: Mend::Repair { lost: 0 },
    },
    Damage {
        invariant: 9,
        found: "a record lies over the slots",
        make: a_record_over_the_slots,
        mend: Mend::Repair { lost: 1 },
    },
    Damage {
        invariant: 9,
        found: "bytes of no session behind the last record",
        make: |lab| {
            lab.write(lab.free().1 - 1, &[1 << 63]);
            Spot::Bucket(BUCKET)
        },
        mend: Mend::Repair { lost: 0 },
    },
    Damage {
        invariant: 9,
        found: "a slot that is not counted",
        make: |lab| {
            if lab.slot_count().is_multiple_of(2) {
                let last = lab.ids().pop().expect("a session");
                assert_eq!(lab.cache.remove(&context(), &last), Ok(true));
            }
            lab.set_slot(lab.slot_count(), lab.slot(BUCKET, 0));
            Spot::Bucket(BUCKET)
        },
        mend: Mend::Repair { lost: 0 },
    },
    Damage {
        invariant: 14,
        found: "a second session of the same ID and context",
        make: |lab| a_copy(lab, BUCKET),
        mend: Mend::Clear,
    },
    Damage {
        invariant: 14,
        found: "its ID belongs in bucket 1",
        make: |lab| a_copy(lab, OTHER),
        mend: Mend::Clear,
    },
    Damage {
        invariant: 14,
        found: "its tag is ",
        make: |lab| lab.set_slot(2, lab.slot(BUCKET, 2) ^ 1 << 16),
        mend: Mend::Clear,
    },
    Damage {
        invariant: 15,
        found: "lives ",
        make: |lab| {
            let mut record = lab.record(BUCKET, 1);
            record.words[0] |= u64::from(u32::MAX) << 32;
            lab.forge(&mut record.words);
            lab.write(record.at, &record.words);
            Spot::Slot { bucket: BUCKET, slot: 1 }
        },
        mend: Mend::Clear,
    },
    Damage {
        invariant: 24,
        found: "sealed where the segment is not, or the other way round",
        make: |lab| {
            let (slot, mut record) = (lab.last(), lab.record(BUCKET, lab.last()));
            record.words[1] |= SEALED;
            record.words.extend([0; SEAL_WORDS]);
            lab.forge(&mut record.words);
            lab.write(record.at, &record.words);
            Spot::Slot { bucket: BUCKET, slot }
        },
        mend: Mend::Clear,
    },
    Damage {
        invariant: 16,
        found: "a free line with counters",
        make: |lab| {
            lab.window.set_u64(MEMBERS + MEMBER_WORDS + 16, 5);
            Spot::Line(1)
        },
        mend: Mend::Join,
    },
    Damage {
        invariant: 22,
        found: "the copy that counts fails its check",
        make: |lab| {
            publish(lab);
            let name = KEY_COPIES + KEY_COPY_WORDS + 16 * 2;
            lab.window.set(name, !lab.window.get(name));
            Spot::Keys
        },
        mend: Mend::Publish,
    },
];

#[test]
fn each_violation_is_named_at_its_place_and_goes() {
    for damage in DAMAGES {
        let lab = Lab::new();
        lab.assert_clean();
        let spot = (damage.make)(&lab);
        damage.assert_found(&lab.check(), spot);
        match damage.mend {
            Mend::Repair { lost } => {
                let repaired = lab.cache.repair(BUCKET).expect("nobody else is there");
                assert_eq!(repaired.lost, lost, "{}", damage.found);
                let others = lab.inspector.bucket(OTHER).sessions();
                assert_eq!(lab.check().sessions, repaired.kept as usize + others);
                lab.assert_clean();
            }
            Mend::Clear => {
                assert_eq!(lab.cache.repair(BUCKET).expect("nobody else is there").lost, 0);
                damage.assert_found(&lab.check(), spot);
                assert_eq!(lab.cache.clear().busy, 0);
                assert_eq!(lab.check().sessions, 0);
            }
            Mend::Publish => publish(&lab),
            Mend::Join => drop(lab.attach()),
        }
        lab.assert_clean();
    }
}

impl Damage {
    #[track_caller]
    fn assert_found(&self, checked: &Checked, spot: Spot) {
        let [found] = &checked.violations[..] else { panic!("{}: {checked:?}", self.found) };
        assert_eq!((found.invariant, found.spot), (self.invariant, spot), "{found:?}");
        assert!(found.found.starts_with(self.found), "{found:?}, not {:?}", self.found);
    }
}

/// In a sealed segment it is the session without a seal that is wrong.
#[cfg(feature = "sealing")]
#[test]
fn a_session_without_a_seal_among_sealed_ones_is_named() {
    let key = shmtls::SealingKey::from_bytes(&[7; 32]);
    let lab = Lab::with(Options::new().processes(8).sealed(&key), 2);
    lab.assert_clean();
    let (slot, mut record) = (lab.last(), lab.record(BUCKET, lab.last()));
    record.words[1] &= !SEALED;
    lab.forge(&mut record.words);
    lab.write(record.at, &record.words);
    lab.write(record.at + record.words.len(), &[0; SEAL_WORDS]);
    let checked = lab.check();
    let [found] = &checked.violations[..] else { panic!("{checked:?}") };
    assert_eq!((found.invariant, found.spot), (24, Spot::Slot { bucket: BUCKET, slot }));
}

/// A bucket that its owner is changing is none that is damaged: nothing is known of it.
#[test]
fn a_bucket_that_is_being_changed_is_busy_and_not_wrong() {
    let lab = Lab::new();
    let (all, its) = (lab.check().sessions, lab.inspector.bucket(BUCKET).sessions());
    lab.set_header(LOCK, own_tid());
    lab.set_header(GENERATION, 77);
    let checked = lab.check();
    assert_eq!((checked.busy, checked.sessions), (1, all - its));
    assert_eq!(checked.violations, []);
}

/// A thread that does not exist here may be at work there.
#[test]
fn owners_in_another_pid_namespace_are_not_judged() {
    let lab = Lab::new();
    lab.set_header(LOCK, dead_pid());
    assert_eq!(lab.check().violations.len(), 1);
    let in_namespace = fork_in_pid_namespace(|| {
        assert!(!lab.inspector.info().is_in_our_pid_namespace());
        lab.assert_clean();
    });
    in_namespace.into_iter().for_each(Child::join);
}

/// A segment of noise makes a list that nobody reads, and that must not fill the memory either.
#[test]
fn a_list_of_violations_ends() {
    const BUCKETS: u32 = 41;
    let lab = Lab::with(Options::new(), BUCKETS);
    assert_eq!(lab.cache.clear().busy, 0);
    for start in (0..BUCKETS as usize).map(|bucket| lab.window.bucket(bucket)) {
        lab.window.set(start + SLOT_COUNT, 256);
        let slots = start + BUCKET_WORDS - 256..start + BUCKET_WORDS;
        slots.for_each(|at| lab.window.set(at, u32::MAX));
    }
    let checked = lab.check();
    assert_eq!(checked.violations.len(), Checked::MOST);
    assert_eq!(checked.unlisted, BUCKETS as usize * 256 - Checked::MOST);
}

// ---- damages ------------------------------------------------------------------------------------

fn publish(lab: &Lab) {
    let key = TicketKey::random().expect("random bytes");
    lab.cache.keys().publish(vec![key]).expect("nobody else is there");
}

/// The first session of a bucket once more, behind all others.
fn a_copy(lab: &Lab, bucket: usize) -> Spot {
    let at = lab.free().0;
    lab.write(at, &lab.record(bucket, 0).words);
    lab.append_slot(moved(lab.slot(bucket, 0), at))
}

/// A session that is a record itself, and a slot that points there.
fn a_record_in_a_session(lab: &Lab) -> Spot {
    let mut inner = lab.record(BUCKET, 0).words;
    inner[2] ^= 1; // of another context: another session
    lab.forge(&mut inner);
    let bytes: Vec<u8> = inner.iter().flat_map(|word| word.to_ne_bytes()).collect();
    assert!(lab.cache.insert(&context(), &lab.ids()[1], &bytes, soon()).is_stored());
    let mut records = (0..SLOTS).map(|slot| lab.record(BUCKET, slot));
    let outer = records.find(|outer| outer.words[HEAD..] == inner).expect("just stored");
    lab.append_slot(moved(lab.slot(BUCKET, 0), outer.at + HEAD))
}

/// The record of the first slot, moved to where its last word is one of two slots.
fn a_record_over_the_slots(lab: &Lab) -> Spot {
    let Record { at, mut words } = lab.record(BUCKET, 0);
    lab.write(at, &vec![0; words.len()]);
    let (_, slots) = lab.free();
    *words.last_mut().expect("a payload") = lab.word(slots);
    lab.forge(&mut words);
    let at = slots + 1 - words.len();
    lab.write(at, &words);
    lab.set_slot(0, moved(lab.slot(BUCKET, 0), at));
    Spot::Bucket(BUCKET)
}
