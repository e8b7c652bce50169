//! The events of all processes, against what each did.

use std::time::{Duration, SystemTime};

use shmtls::{
    Context, EventCursor, Expiry, Happening, Inserted, Library, Miss, NewSession, Options, Origin,
    PastEvent, Refusal, Removal, Stored,
};

use crate::lab::{BUCKET, Lab};
use crate::payload::{context, id, payload, soon};
use crate::procs::fork;
use crate::window::{MEMBER_WORDS, MEMBERS};

/// Each call, in its order, with the session that it meant.
#[test]
fn what_a_cache_does_is_told_in_order() {
    let lab = Lab::new();
    let mut cursor = EventCursor::default();
    let (before, _) = lab.inspector.events(&mut cursor);
    assert_eq!(before.len(), lab.cache.len(), "the sessions that are there already");
    let (cache, started) = (&lab.cache, SystemTime::now());
    let (one, other) = (id(1000), Context::named("elsewhere"));

    assert_eq!(cache.insert(&context(), &one, &payload(1, 1, 300), soon()), Inserted::New);
    assert_eq!(cache.insert(&context(), &one, &payload(1, 2, 310), soon()), Inserted::Replaced);
    assert!(cache.get_session(&context(), &one).is_ok());
    assert_eq!(cache.get_session(&other, &one).unwrap_err(), Miss::OtherContext);
    let openssl = cache.with_origin(Origin::Handshake);
    assert_eq!(openssl.resume(&context(), &one, Library::OpenSsl).unwrap_err(), Miss::OtherLibrary);
    assert_eq!(cache.get_session(&context(), &id(1001)).unwrap_err(), Miss::Absent);
    assert!(cache.take(&context(), &one).is_ok());
    assert_eq!(cache.remove(&context(), &one), Ok(false));
    let large = vec![1; cache.max_session() + 1];
    assert!(matches!(cache.insert(&context(), &one, &large, soon()), Inserted::TooLarge { .. }));
    let past = Expiry::after(Duration::ZERO);
    assert_eq!(cache.insert(&context(), &one, &payload(1, 3, 320), past), Inserted::Expired);
    let session = payload(1, 4, 330);
    let session = NewSession::new(&session, soon()).single_use(true);
    assert_eq!(cache.store(&context(), &one, &session), Inserted::New);
    assert_eq!(cache.remove(&context(), &one), Ok(true));
    cache.count_miss(Miss::InvalidId);

    let (events, missed) = lab.inspector.events(&mut cursor);
    let told: Vec<(Happening, usize)> =
        events.iter().map(|event| (event.happening(), event.session_len())).collect();
    let expected = [
        (Happening::Stored(Stored::Stored), 300),
        (Happening::Gone(Removal::Replaced), 300),
        (Happening::Stored(Stored::Replaced), 310),
        (Happening::Hit { foreign: false }, 310),
        (Happening::Missed(Miss::OtherContext), 0),
        (Happening::Missed(Miss::OtherLibrary), 0),
        (Happening::Missed(Miss::Absent), 0),
        (Happening::Hit { foreign: false }, 310),
        (Happening::Gone(Removal::Taken), 310),
        (Happening::Refused(Refusal::TooLarge), large.len()),
        (Happening::Refused(Refusal::Expired), 320),
        (Happening::Stored(Stored::Stored), 330),
        (Happening::Gone(Removal::Removed), 330),
        (Happening::Missed(Miss::InvalidId), 0),
    ];
    assert_eq!((&told[..], missed), (&expected[..], 0));
    let process = &cache.processes()[0];
    for (number, event) in (before.len() as u64..).zip(&events) {
        assert_eq!((event.pid(), event.writer()), (std::process::id(), process.writer()));
        assert_eq!((event.number(), event.bucket()), (number, None));
        let age = event.at().duration_since(started - Duration::from_millis(20));
        assert!(age.is_ok_and(|age| age < Duration::from_secs(20)), "{event:?}");
    }
    assert_subjects(&events, &other);
    assert_eq!(lab.inspector.events(&mut cursor), (vec![], 0));
}

/// All but two mean the same session, and all but one say its own context.
#[track_caller]
fn assert_subjects(events: &[PastEvent], other: &Context) {
    let digest = events[0].digest().expect("of a session");
    for (nth, event) in events.iter().enumerate() {
        match event.happening() {
            Happening::Missed(Miss::Absent) => assert_ne!(event.digest(), Some(digest)),
            Happening::Missed(Miss::InvalidId) => assert_eq!(event.digest(), None),
            _ => assert_eq!(event.digest(), Some(digest), "event {nth}"),
        }
        let (context, origin) = match event.happening() {
            Happening::Missed(Miss::OtherContext) => (other.start(), Origin::Api),
            Happening::Missed(Miss::OtherLibrary) => (context().start(), Origin::Handshake),
            Happening::Missed(Miss::InvalidId) => (0, Origin::Api),
            _ => (context().start(), Origin::Api),
        };
        assert_eq!((event.context_start(), event.origin()), (context, origin), "event {nth}");
    }
}

/// The digest by which an event names a session is the one by which a walk names it; and a process
/// that finds what another stored says so, in a line of its own.
#[test]
fn events_of_two_processes_are_told_apart_and_in_order() {
    let lab = Lab::new();
    let mut cursor = EventCursor::default();
    let (stored, _) = lab.inspector.events(&mut cursor);
    let mut digests = Vec::new();
    lab.inspector.for_each(|entry| digests.push(entry.digest()));
    digests.sort_unstable_by_key(|digest| digest.to_string());
    let mut named: Vec<_> = stored.iter().filter_map(PastEvent::digest).collect();
    named.sort_unstable_by_key(|digest| digest.to_string());
    assert_eq!(named, digests);

    let wanted = lab.ids()[0];
    let pause = || std::thread::sleep(Duration::from_millis(30));
    let child = fork(|| {
        assert!(lab.cache.get_session(&context(), &wanted).is_ok());
        pause();
        pause();
        assert!(lab.cache.take(&context(), &wanted).is_ok());
    });
    let pid = child.pid().as_raw().cast_unsigned();
    pause();
    assert!(lab.cache.get_session(&context(), &wanted).is_ok());
    let own = std::process::id();
    child.join();
    let (events, _) = lab.inspector.events(&mut cursor);
    let told: Vec<_> = events.iter().map(|event| event.happening()).collect();
    let foreign = Happening::Hit { foreign: true };
    let expected =
        [foreign, Happening::Hit { foreign: false }, foreign, Happening::Gone(Removal::Taken)];
    assert_eq!(told, expected);
    // The child left without a farewell, so its line still says who it was.
    let pids: Vec<u32> = events.iter().map(PastEvent::pid).collect();
    assert_eq!(pids, [pid, own, pid, pid]);
    assert!(events[0].writer() == events[2].writer() && events[0].writer() != events[1].writer());
}

/// A full bucket: who had to go is told, and that his ID was looked for soon after.
#[test]
fn evictions_and_expiries_are_told() {
    let lab = Lab::new();
    assert_eq!(lab.cache.clear().busy, 0);
    let (brief, mut cursor) = (id(5000), EventCursor::default());
    let expiry = Expiry::after(Duration::from_secs(1));
    assert_eq!(lab.cache.insert(&context(), &brief, &payload(0, 0, 100), expiry), Inserted::New);
    while !expiry.has_passed() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(lab.cache.take(&context(), &brief).unwrap_err(), Miss::Expired);
    let (told, _) = lab.inspector.events(&mut cursor);
    let happened = |what| told.iter().any(|event| event.happening() == what);
    assert!(happened(Happening::Gone(Removal::Expired)));
    assert!(happened(Happening::Missed(Miss::Expired)));

    let mut number = 0;
    let evicted = loop {
        let (events, _) = lab.inspector.events(&mut cursor);
        let gone = |event: &&PastEvent| event.happening() == Happening::Gone(Removal::Evicted);
        if let Some(event) = events.iter().find(gone) {
            break *event;
        }
        number += 1;
        let bytes = payload(number, 0, 1000);
        assert!(lab.cache.insert(&context(), &id(number), &bytes, soon()).is_stored());
    };
    assert_eq!((evicted.session_len(), evicted.context_start()), (1000, context().start()));
    let missing = |number: &u64| lab.cache.size_of(&context(), &id(*number)).is_err();
    let gone = (1..number).find(missing).expect("one had to go");
    assert_eq!(lab.cache.get_session(&context(), &id(gone)).unwrap_err(), Miss::Evicted);
    let (events, _) = lab.inspector.events(&mut cursor);
    let last = events.last().expect("the lookup");
    assert_eq!(last.happening(), Happening::Missed(Miss::Evicted));
    assert_eq!(last.digest(), evicted.digest());
}

/// How much of what happened is in the rings, and that what is not is known.
#[test]
fn what_is_overwritten_can_be_counted() {
    let lab = Lab::new();
    let kept = lab.inspector.info().events();
    let mut noted = lab.inspector.events_noted();
    assert_eq!(noted, lab.cache.len() as u64);
    for _ in 0..3 * kept {
        assert!(lab.cache.get_session(&context(), &lab.ids()[0]).is_ok());
    }
    noted += 3 * kept as u64;
    assert_eq!(lab.inspector.events_noted(), noted);
    let (events, missed) = lab.inspector.events(&mut EventCursor::default());
    assert_eq!((events.len(), missed), (kept, 0));
    assert_eq!(events[0].number(), noted - kept as u64);
    drop(lab.attach());
    assert_eq!(lab.inspector.events_noted(), noted, "who does nothing notes nothing");
}

/// Numbers of events that somebody wrote over: their sum once ended the tool that asked for it.
#[test]
fn numbers_without_any_sense_are_numbers() {
    let lab = Lab::new();
    let mut cursor = EventCursor::default();
    for numbers in [[u64::MAX, u64::MAX], [0, 1], [1 << 63, u64::MAX - 1], [40, u64::MAX]] {
        for (line, number) in numbers.into_iter().enumerate() {
            lab.window.set_u64(MEMBERS + line * MEMBER_WORDS + 14, number);
        }
        let (events, _) = lab.inspector.events(&mut cursor);
        assert!(events.len() <= 2 * lab.inspector.info().events());
        let (_, missed) = lab.inspector.events(&mut EventCursor::default());
        assert!(missed <= lab.inspector.events_noted());
    }
    assert!(lab.inspector.events_noted() == u64::MAX);
}

/// A segment that keeps no events has none to tell, and none to lose.
#[test]
fn without_events_nothing_is_told() {
    let lab = Lab::with(Options::new().processes(8).events(0), 2);
    assert_eq!(lab.inspector.events(&mut EventCursor::default()), (vec![], 0));
    assert!(lab.inspector.bucket(BUCKET).sessions() > 0 && lab.inspector.info().events() == 0);
}
