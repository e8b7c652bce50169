//! One byte for each thing that can happen.

use super::{Happening, Recovery, Refusal};
use crate::hook::{Removal, Stored};
use crate::miss::Miss;

/// Everything that can happen.
pub(super) const ALL: [Happening; 27] = [
    Happening::Stored(Stored::Stored),
    Happening::Stored(Stored::Replaced),
    Happening::Refused(Refusal::TooLarge),
    Happening::Refused(Refusal::Expired),
    Happening::Refused(Refusal::Busy),
    Happening::Refused(Refusal::Unsealed),
    Happening::Hit { foreign: false },
    Happening::Hit { foreign: true },
    Happening::Missed(Miss::Absent),
    Happening::Missed(Miss::Expired),
    Happening::Missed(Miss::OtherContext),
    Happening::Missed(Miss::OtherLibrary),
    Happening::Missed(Miss::Busy),
    Happening::Missed(Miss::Damaged),
    Happening::Missed(Miss::Forged),
    Happening::Missed(Miss::Undecodable),
    Happening::Missed(Miss::InvalidId),
    Happening::Missed(Miss::Evicted),
    Happening::Gone(Removal::Removed),
    Happening::Gone(Removal::Taken),
    Happening::Gone(Removal::Replaced),
    Happening::Gone(Removal::Evicted),
    Happening::Gone(Removal::Expired),
    Happening::Recovered(Recovery::Kernel),
    Happening::Recovered(Recovery::TakenOver),
    Happening::Recovered(Recovery::OwnId),
    Happening::Recovered(Recovery::Damage),
];

/// The code of what happened. Codes are part of the layout: they are added, never changed.
pub(super) fn of(happening: Happening) -> u8 {
    match happening {
        Happening::Stored(Stored::Stored) => 1,
        Happening::Stored(Stored::Replaced) => 2,
        Happening::Refused(refusal) => match refusal {
            Refusal::TooLarge => 8,
            Refusal::Expired => 9,
            Refusal::Busy => 10,
            Refusal::Unsealed => 11,
        },
        Happening::Hit { foreign } => 16 + u8::from(foreign),
        Happening::Missed(miss) => match miss {
            Miss::Absent => 32,
            Miss::Expired => 33,
            Miss::OtherContext => 34,
            Miss::OtherLibrary => 35,
            Miss::Busy => 36,
            Miss::Damaged => 37,
            Miss::Forged => 38,
            Miss::Undecodable => 39,
            Miss::InvalidId => 40,
            Miss::Evicted => 41,
            // The session is there: nobody notes that as a miss.
            Miss::ShortBuffer { .. } => 0,
        },
        Happening::Gone(removal) => match removal {
            Removal::Removed => 64,
            Removal::Taken => 65,
            Removal::Replaced => 66,
            Removal::Evicted => 67,
            Removal::Expired => 68,
        },
        Happening::Recovered(recovery) => match recovery {
            Recovery::Kernel => 80,
            Recovery::TakenOver => 81,
            Recovery::OwnId => 82,
            Recovery::Damage => 83,
        },
    }
}

/// What a code says; `None` for one that this build does not know.
pub(super) fn happening(code: u8) -> Option<Happening> {
    ALL.into_iter().find(|happening| of(*happening) == code)
}
