//! What the survivor of a kill finds, and that it is what it must be.

use std::collections::BTreeSet;

use shmtls::{Cache, Inserted, Miss, Stats};

use super::image::{Image, Lock};
use super::lab::{Lab, State, later};
use super::payload::{check, context, id, payload};

/// The segment before the operation and after it.
pub(crate) struct Bounds {
    pub(crate) before: Moment,
    pub(crate) after: Moment,
}

pub(crate) struct Moment {
    pub(crate) image: Image,
    pub(crate) state: State,
    pub(crate) stats: Stats,
}

/// What a child left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    /// The operation had returned.
    pub(crate) returned: bool,
    /// All of the session that it takes was in its own memory.
    pub(crate) in_hand: bool,
}

/// What was seen, for the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Before,
    Between,
    After,
}

impl Moment {
    /// As it is now. Repairs, so what was there before is put back.
    pub(crate) fn of(lab: &Lab) -> Self {
        let (image, stats) = (lab.image(), lab.inspector.stats());
        let state = lab.state();
        lab.reset(&image);
        Self { image, state, stats }
    }
}

impl Bounds {
    /// Panics if anything is not as it must be after a death at any instruction.
    pub(crate) fn check(&self, lab: &Lab, left: &Image, death: Death) -> Outcome {
        assert!(!left.locks().contains(&Lock::Stuck), "the kernel did not free {:?}", left.locks());
        let counted = lab.inspector.stats();
        self.check_counters(&counted);
        let state = lab.state();
        check_repair(left, &counted, &lab.inspector.stats());
        self.check_sessions(&state, death);
        self.check_ring(&state, death);
        let image = lab.image();
        image.check_at_rest();
        lab.check_wiped(&image, &state);
        check_walk(lab, &state);
        check_newcomer(lab);
        match state {
            state if state == self.after.state => Outcome::After,
            state if state == self.before.state => Outcome::Before,
            _ => Outcome::Between,
        }
    }

    /// Every session that was not under way is as it was; the others are as before or after the
    /// operation, or gone.
    fn check_sessions(&self, state: &State, death: Death) {
        let (before, after) = (&self.before.state.sessions, &self.after.state.sessions);
        let numbers: BTreeSet<&u64> =
            before.keys().chain(after.keys()).chain(state.sessions.keys()).collect();
        for number in numbers {
            let (found, old, new) =
                (state.sessions.get(number), before.get(number), after.get(number));
            let gone = found.is_none() && old != new;
            let allowed = found == new || (!death.returned && (found == old || gone));
            assert!(allowed, "session {number}: {found:?}, not {old:?} or {new:?}; {death:?}");
            let taken = old.is_some() && new.is_none() && death.in_hand;
            assert!(!taken || found.is_none(), "session {number} is in hand and there; {death:?}");
        }
    }

    fn check_ring(&self, state: &State, death: Death) {
        let (old, new) = (&self.before.state.ring, &self.after.state.ring);
        let allowed = state.ring == *new || (!death.returned && state.ring == *old);
        assert!(allowed, "a ring that is neither old nor new; {death:?}");
    }

    /// No count is lost, and none counts twice.
    fn check_counters(&self, stats: &Stats) {
        let (old, new) = (self.before.stats.fields(), self.after.stats.fields());
        for (((name, old), (_, new)), (_, found)) in old.into_iter().zip(new).zip(stats.fields()) {
            // Those that count time are another in each run.
            if ["evicted_age_secs", "lock_wait_nanos"].contains(&name) {
                continue;
            }
            assert!((old..=new).contains(&found), "{name}: {found}, not {old} to {new}");
        }
    }
}

/// A bucket whose owner died was repaired, once, because the kernel said so.
fn check_repair(left: &Image, counted: &Stats, now: &Stats) {
    let marked = left.bucket_lock() == Lock::Marked;
    assert!(marked || !left.is_being_changed(), "changed without the lock");
    assert_eq!(now.owner_died_kernel - counted.owner_died_kernel, marked.into(), "deaths");
    assert_eq!(now.repairs - counted.repairs, marked.into(), "repairs");
    assert_eq!(now.recoveries() - counted.recoveries(), marked.into(), "deaths of another kind");
}

/// A look from outside finds the same.
fn check_walk(lab: &Lab, state: &State) {
    let mut seen = BTreeSet::new();
    let unread = lab.inspector.for_each(|entry| {
        let number = entry.id().as_bytes().first_chunk().expect("an ID of ours");
        seen.insert(u64::from_le_bytes(*number));
    });
    assert_eq!(unread, 0, "a bucket that cannot be read");
    assert!(seen.iter().eq(state.sessions.keys()), "{seen:?} are there, but {state:?} was had");
}

/// Somebody attaches in the dead one's line, counts what it counted, and works.
fn check_newcomer(lab: &Lab) {
    let before = lab.inspector.stats();
    let newcomer = lab.attach();
    assert_eq!(lab.inspector.stats(), before, "a count was lost");
    let lines: Vec<u32> = newcomer.processes().iter().map(|line| line.pid()).collect();
    assert_eq!(lines, [std::process::id(); 2], "the lines of the table");
    let status = newcomer.keys().status();
    assert_eq!(status.map(|status| status.epoch), lab.raw.ring().map(|ring| ring.epoch));
    assert!(lab.raw.other_copy().iter().all(|byte| *byte == 0), "retired keys");
    assert!(lab.image().locks() == [Lock::Free; 3], "a lock that is not free");
    check_use(&newcomer);
}

/// The cache is good for more.
pub(crate) fn check_use(cache: &Cache) {
    const NUMBER: u64 = 1 << 40;
    let stored = cache.insert(&context(), &id(NUMBER), &payload(NUMBER, NUMBER, 300), later());
    assert!(matches!(stored, Inserted::New | Inserted::Evicted(_)), "{stored:?}");
    let got = cache.get_session(&context(), &id(NUMBER)).expect("there");
    assert_eq!(check(NUMBER, got.bytes()), NUMBER);
    assert_eq!(cache.take(&context(), &id(NUMBER)).expect("there").bytes(), got.bytes());
    assert_eq!(cache.take(&context(), &id(NUMBER)).expect_err("taken"), Miss::Absent);
}
