//! An event of the segment in words.

use shmtls::{Happening, Miss, Origin, PastEvent, Recovery, Refusal, Removal, Stored};

use super::model::events::{Event, Tone};

pub(crate) fn event(event: &PastEvent) -> Event {
    let (what, why, tone) = words(event.happening());
    let is_of_a_session = event.digest().is_some();
    let subject = match (event.digest(), event.bucket()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(bucket)) => format!("bucket {bucket}"),
        (None, None) => String::new(),
    };
    Event {
        at: event.at(),
        pid: Some(event.pid()).filter(|pid| *pid != 0),
        what,
        why,
        origin: origin(event.origin()),
        subject,
        context: is_of_a_session.then(|| event.context_start()),
        bytes: event.session_len(),
        tone,
    }
}

fn words(happening: Happening) -> (&'static str, &'static str, Tone) {
    match happening {
        Happening::Stored(Stored::Replaced) => ("stored", "in place of another", Tone::Plain),
        Happening::Stored(_) => ("stored", "", Tone::Plain),
        Happening::Hit { foreign: true } => ("hit", "from another process", Tone::Good),
        Happening::Hit { .. } => ("hit", "", Tone::Good),
        Happening::Missed(miss) => ("missed", missed(miss), Tone::Notable),
        Happening::Gone(removal) => gone(removal),
        Happening::Refused(refusal) => ("refused", refused(refusal), Tone::Bad),
        Happening::Recovered(how) => ("recovered", recovered(how), Tone::Bad),
        _ => ("other", "", Tone::Plain),
    }
}

fn gone(removal: Removal) -> (&'static str, &'static str, Tone) {
    match removal {
        Removal::Removed => ("removed", "", Tone::Plain),
        Removal::Taken => ("taken", "", Tone::Plain),
        Removal::Replaced => ("gone", "gave way to its successor", Tone::Plain),
        Removal::Evicted => ("evicted", "had to go for another", Tone::Notable),
        Removal::Expired => ("expired", "", Tone::Plain),
        _ => ("gone", "", Tone::Plain),
    }
}

fn missed(miss: Miss) -> &'static str {
    match miss {
        Miss::Absent => "absent",
        Miss::Evicted => "evicted recently",
        Miss::Expired => "expired",
        Miss::OtherContext => "other context",
        Miss::OtherLibrary => "other library",
        Miss::Busy => "busy",
        Miss::Damaged => "damaged",
        Miss::Forged => "forged",
        Miss::Undecodable => "undecodable",
        Miss::InvalidId => "invalid id",
        _ => "other",
    }
}

fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::TooLarge => "too large",
        Refusal::Expired => "expired",
        Refusal::Busy => "busy",
        Refusal::Unsealed => "unsealed",
        _ => "other",
    }
}

fn recovered(how: Recovery) -> &'static str {
    match how {
        Recovery::Kernel => "marked by the kernel",
        Recovery::TakenOver => "owner found dead",
        Recovery::OwnId => "own id",
        Recovery::Damage => "damage",
        _ => "other",
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Handshake => "handshake",
        Origin::Api => "api",
        Origin::Remote => "remote",
        _ => "other",
    }
}
