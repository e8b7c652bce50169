//! The operations that are swept: how the segment is before, and what the child does in it.

use std::mem::forget;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use shmtls::{Cache, Expiry, Inserted, Miss, TicketKey};

use super::image::Lock;
use super::lab::{LEN, Lab, later, options};
use super::payload::{context, id, payload};
use super::procs::fork;
use super::raw_keys::key;
use super::survivor::check_use;

/// One operation, and what it is done to.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// Fills the segment.
    pub(crate) prepare: fn(&mut Lab),
    /// In the child: makes ready, calls what it is given, and does the operation.
    pub(crate) act: fn(&Lab, fn()),
    /// What else must hold after a death; whether the operation had returned.
    pub(crate) also: fn(&Lab, bool),
}

const NOTHING_ELSE: fn(&Lab, bool) = |_, _| {};

/// The number that operations are about, and its serial before and after.
const IT: u64 = 50;
const OLD: u64 = 1;
const NEW: u64 = 2;

pub(crate) const STORING: [Operation; 4] = [
    INSERT,
    Operation { name: "replace", prepare: few_and_it, act: insert, also: NOTHING_ELSE },
    Operation { name: "insert and join", prepare: few, act: first_insert, also: NOTHING_ELSE },
    EVICT,
];

pub(crate) const FINDING: [Operation; 3] =
    [Operation { name: "get", prepare: few_and_it, act: get, also: NOTHING_ELSE }, TAKE, REMOVE];

pub(crate) const TAKE: Operation =
    Operation { name: "take", prepare: few_and_it, act: take, also: NOTHING_ELSE };

pub(crate) const EXPIRING: [Operation; 3] = [
    Operation { name: "expire, found", prepare: expired, act: get_expired, also: NOTHING_ELSE },
    Operation { name: "expire, swept", prepare: expired, act: sweep, also: NOTHING_ELSE },
    Operation { name: "expire, for room", prepare: full_expired, act: insert, also: NOTHING_ELSE },
];

pub(crate) const REPAIRING: [Operation; 3] = [
    Operation {
        name: "repair, a store",
        prepare: died_storing,
        act: get_first,
        also: NOTHING_ELSE,
    },
    Operation { name: "repair, a take", prepare: died_taking, act: get_first, also: NOTHING_ELSE },
    REPAIR_MOVE,
];

pub(crate) const REPAIR_MOVE: Operation =
    Operation { name: "repair, a move", prepare: died_moving, act: get_first, also: NOTHING_ELSE };

pub(crate) const KEYS: [Operation; 3] = [
    Operation { name: "publish keys", prepare: keys, act: publish, also: NOTHING_ELSE },
    Operation { name: "read new keys", prepare: new_keys, act: read_keys, also: NOTHING_ELSE },
    Operation { name: "settle keys", prepare: died_publishing, act: read_keys, also: NOTHING_ELSE },
];

pub(crate) const TABLE: [Operation; 3] = [
    Operation { name: "join", prepare: few, act: join, also: NOTHING_ELSE },
    Operation { name: "join and fold", prepare: dead_line, act: join, also: NOTHING_ELSE },
    Operation { name: "leave", prepare: few, act: leave, also: NOTHING_ELSE },
];

pub(crate) const SEGMENT: [Operation; 2] = [
    Operation { name: "attach", prepare: few, act: attach, also: NOTHING_ELSE },
    Operation { name: "create", prepare: few, act: create, also: absent_or_whole },
];

pub(crate) const INSERT: Operation =
    Operation { name: "insert", prepare: few, act: insert, also: NOTHING_ELSE };

pub(crate) const EVICT: Operation =
    Operation { name: "evict", prepare: full, act: insert, also: NOTHING_ELSE };

pub(crate) const REMOVE: Operation =
    Operation { name: "remove", prepare: few_and_it, act: remove, also: NOTHING_ELSE };

// ---- how it is before --------------------------------------------------------------------------

fn few(lab: &mut Lab) {
    (1..=3).for_each(|number| lab.store(number, OLD, 60 + number as usize * 30, later()));
    lab.payload(IT, NEW, LEN);
}

fn few_and_it(lab: &mut Lab) {
    few(lab);
    lab.store(IT, OLD, LEN + 40, later());
    lab.store(4, OLD, 100, later());
}

/// Full, and the first goes first: it makes room for one that is longer than its gap, and than what
/// is left at the end. So the others move, by less than most of them are long.
fn full(lab: &mut Lab) {
    fill_up(lab, later());
}

/// With a head of 56 bytes and a slot for each, all but 220 of the 32,640 bytes. Nine are so much
/// shorter and older that the first of them goes rather than a long one.
fn fill_up(lab: &mut Lab, first: Expiry) {
    lab.len = 1100;
    lab.payload(IT, NEW, lab.len);
    lab.store(1, OLD, 1000, first);
    (2..=9).for_each(|number| lab.store(number, OLD, 1000, later()));
    (10..=22).for_each(|number| lab.store(number, OLD, 1700, later()));
    assert_eq!(lab.cache.stats().evicted, 0, "it was to be full, not overfull");
}

fn expired(lab: &mut Lab) {
    let soon = Expiry::after(Duration::from_secs(1));
    few_and_it(lab);
    lab.store(7, OLD, 200, soon);
    lab.store(8, OLD, 100, soon);
    wait_until_gone(lab, 8);
}

fn full_expired(lab: &mut Lab) {
    fill_up(lab, Expiry::after(Duration::from_secs(1)));
    wait_until_gone(lab, 1);
}

fn wait_until_gone(lab: &Lab, number: u64) {
    let image = lab.image();
    while lab.cache.get_session(&context(), &id(number)).is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
    lab.reset(&image);
}

/// Half of the new record is there, its slot is not.
fn died_storing(lab: &mut Lab) {
    few_and_it(lab);
    let last = *payload(IT, NEW, LEN).as_chunks().0.last().expect("words");
    let word = u64::from_ne_bytes(last);
    lab.kill_in(insert, |image| image.is_being_changed() && image.words().any(|w| w == word));
}

/// The slot is gone, the record is not.
fn died_taking(lab: &mut Lab) {
    few_and_it(lab);
    let slots = lab.image().used_slots();
    lab.kill_in(take, |image| image.used_slots() < slots);
}

/// A record lies half over itself.
fn died_moving(lab: &mut Lab) {
    full(lab);
    lab.kill_in(insert, |image| image.journal().is_some_and(|(_, done)| done > 20));
}

fn keys(lab: &mut Lab) {
    few(lab);
    lab.cache.keys().publish(vec![key(1), key(2)]).expect("new keys");
}

/// This process, and so its children, still have the keys of before.
fn new_keys(lab: &mut Lab) {
    keys(lab);
    lab.attach().keys().publish(next_keys()).expect("new keys");
}

/// The new ring counts, the old one is still there.
fn died_publishing(lab: &mut Lab) {
    keys(lab);
    lab.kill_in(publish, |image| image.ring_epoch() == 2);
    assert_eq!(lab.image().ring_lock(), Lock::Marked);
}

fn dead_line(lab: &mut Lab) {
    few(lab);
    fork(|| (0..5).for_each(|_| lab.cache.count_miss(Miss::InvalidId))).join();
}

// ---- what is done ------------------------------------------------------------------------------

/// In the process table, all that is looked up once known.
fn warm(lab: &Lab) -> &Cache {
    lab.cache.count_miss(Miss::InvalidId);
    &lab.cache
}

fn insert(lab: &Lab, go: fn()) {
    warm(lab);
    first_insert(lab, go);
}

/// Nothing is looked up yet: the child joins, and finds its robust list, on the way.
fn first_insert(lab: &Lab, go: fn()) {
    let (cache, bytes, expiry) = (&lab.cache, payload(IT, NEW, lab.len), later());
    go();
    let stored = cache.insert(&context(), &id(IT), &bytes, expiry);
    assert!(!matches!(stored, Inserted::Busy | Inserted::Unchanged), "{stored:?}");
}

fn get(lab: &Lab, go: fn()) {
    look_up(lab, IT, go);
}

fn get_first(lab: &Lab, go: fn()) {
    look_up(lab, 2, go);
}

fn look_up(lab: &Lab, number: u64, go: fn()) {
    let (cache, context, id, mut bytes) = (warm(lab), context(), id(number), [0; 2000]);
    go();
    let found = cache.get(&context, &id, &mut bytes);
    assert!(found.is_ok(), "{found:?}");
}

fn get_expired(lab: &Lab, go: fn()) {
    let (cache, context, id, mut bytes) = (warm(lab), context(), id(7), [0; 2000]);
    go();
    assert_eq!(cache.get(&context, &id, &mut bytes), Err(Miss::Expired));
}

fn take(lab: &Lab, go: fn()) {
    let (cache, context, id) = (warm(lab), context(), id(IT));
    go();
    let session = cache.take(&context, &id).expect("there");
    lab.board.taken_to.store(session.bytes().as_ptr().addr() as u64, SeqCst);
    lab.board.taken_len.store(session.bytes().len() as u64, SeqCst);
}

fn remove(lab: &Lab, go: fn()) {
    let (cache, context, id) = (warm(lab), context(), id(IT));
    go();
    assert_eq!(cache.remove(&context, &id), Ok(true));
}

fn sweep(lab: &Lab, go: fn()) {
    let cache = warm(lab);
    go();
    assert_eq!(cache.sweep().removed, 2);
}

fn next_keys() -> Vec<TicketKey> {
    vec![key(3), key(1), key(2)]
}

fn publish(lab: &Lab, go: fn()) {
    let (cache, keys) = (warm(lab), next_keys());
    go();
    cache.keys().publish(keys).expect("published");
}

fn read_keys(lab: &Lab, go: fn()) {
    let cache = warm(lab);
    go();
    assert_eq!(cache.keys().status().map(|status| status.epoch), Some(2));
}

fn join(lab: &Lab, go: fn()) {
    go();
    lab.cache.count_miss(Miss::InvalidId);
}

fn leave(lab: &Lab, go: fn()) {
    let own = lab.attach();
    own.count_miss(Miss::InvalidId);
    go();
    drop(own);
}

fn attach(lab: &Lab, go: fn()) {
    let path = lab.path("swept");
    go();
    forget(lab.options.attach(&path).expect("a whole segment"));
}

fn create(lab: &Lab, go: fn()) {
    let path = lab.path("created");
    go();
    forget(lab.options.create(&path).expect("there was none"));
}

/// Of what a creator made.
fn absent_or_whole(lab: &Lab, returned: bool) {
    let path = lab.path("created");
    let mut files: Vec<String> = std::fs::read_dir(&lab.dir)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    files.sort();
    if files == ["swept"] {
        assert!(!returned, "the creator had a segment that is not there");
        return;
    }
    assert_eq!(files, ["created", "swept"]);
    check_use(&options().attach(&path).expect("a whole segment"));
    std::fs::remove_file(path).expect("there is one");
}
