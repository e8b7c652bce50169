//! What a repair counts: in the table, in the bucket, and as an event.

use shmtls::{Cache, EventCursor, Happening, Inspector, LockState, PastEvent, Recovery};

use crate::lab::{BUCKET, GENERATION, HEAD, LOCK, Lab, OTHER, OWNER_DIED, dead_pid, own_tid};
use crate::payload::context;

type State = (usize, fn() -> u32, Recovery);

/// A word of the bucket's header as somebody left it, and what its repair is told as.
const STATES: [State; 5] = [
    (LOCK, || OWNER_DIED, Recovery::Kernel),
    (LOCK, dead_pid, Recovery::TakenOver),
    (LOCK, own_tid, Recovery::OwnId),
    (GENERATION, || 77, Recovery::Damage),
    // At rest.
    (GENERATION, || 78, Recovery::Damage),
];

/// `Cache::repair` on a bucket whose owner had died, or that was half changed, repaired it on the
/// way in, and then repaired and counted it once more: an operator saw two repairs, and twice as
/// many sessions kept as there were.
#[test]
fn a_repair_is_made_once_and_counted_once() {
    for (word, value, how) in STATES {
        let lab = Lab::new();
        lab.set_header(word, value());
        let kept = spoil_a_session(&lab);
        let repaired = lab.cache.repair(BUCKET).expect("nobody else is there");
        assert_eq!((repaired.kept, repaired.lost), (kept, 1), "{how:?}");
        assert_counted(&lab, how, kept);
        // Once more is another one, of a bucket in which all is well.
        let repaired = lab.cache.repair(BUCKET).expect("nobody else is there");
        assert_eq!((repaired.kept, repaired.lost), (kept, 0), "{how:?}");
        assert_eq!((lab.inspector.bucket(BUCKET).repairs(), lab.cache.stats().repairs), (2, 2));
    }
}

/// Whoever comes for something else repairs what a dead owner left, and counts the same.
#[test]
fn a_repair_on_the_way_counts_the_same() {
    for (word, value, how) in STATES.into_iter().take(4) {
        let lab = Lab::new();
        let id = lab.ids()[0];
        lab.set_header(word, value());
        let kept = spoil_a_session(&lab);
        assert!(lab.cache.size_of(&context(), &id).is_ok());
        assert_counted(&lab, how, kept);
    }
}

/// One repair, of which one session was lost and the others were kept: everywhere that counts.
#[track_caller]
fn assert_counted(lab: &Lab, how: Recovery, kept: u64) {
    let [hurt, other] = [BUCKET, OTHER].map(|bucket| lab.inspector.bucket(bucket));
    assert_eq!((hurt.repairs(), other.repairs()), (1, 0), "{how:?}");
    assert!(!hurt.is_changing() && hurt.lock() == LockState::Free);
    let stats = lab.cache.stats();
    assert_eq!((stats.repairs, stats.repair_kept, stats.repair_lost), (1, kept, 1), "{how:?}");
    let deaths = [stats.owner_died_kernel, stats.owner_died_stolen, stats.owner_died_self];
    let expected = [Recovery::Kernel, Recovery::TakenOver, Recovery::OwnId];
    assert_eq!(deaths, expected.map(|kind| u64::from(kind == how)));
    assert_eq!(told(&lab.inspector), [(how, BUCKET as u64)]);
    assert_eq!(recovered_bucket(&lab.cache), (how != Recovery::Damage).then_some(BUCKET as u64));
    lab.assert_clean();
}

/// The recoveries among the events, with their buckets.
fn told(inspector: &Inspector) -> Vec<(Recovery, u64)> {
    let (events, _) = inspector.events(&mut EventCursor::default());
    let recovery = |event: &PastEvent| match event.happening() {
        Happening::Recovered(how) => Some((how, event.bucket()?)),
        _ => None,
    };
    events.iter().filter_map(recovery).collect()
}

fn recovered_bucket(cache: &Cache) -> Option<u64> {
    cache.processes()[0].last_recovery().map(|(_, bucket)| bucket)
}

/// So many others are whole.
fn spoil_a_session(lab: &Lab) -> u64 {
    let at = lab.record(BUCKET, 3).at + HEAD + 2;
    lab.write(at, &[lab.word(at) ^ 1]);
    lab.slot_count() as u64 - 1
}
