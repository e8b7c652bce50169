//! What happened, in words.

use serde::Serialize;
use shmtls::{Happening, Miss, Recovery, Refusal, Removal, Stored};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    Stored,
    Replaced,
    Hit,
    ForeignHit,
    Missed,
    Removed,
    Taken,
    Displaced,
    Evicted,
    Expired,
    Refused,
    Recovered,
    #[value(skip)]
    Other,
}

impl What {
    pub(super) fn of(happening: Happening) -> Self {
        match happening {
            Happening::Stored(Stored::Replaced) => Self::Replaced,
            Happening::Stored(_) => Self::Stored,
            Happening::Hit { foreign: false } => Self::Hit,
            Happening::Hit { foreign: true } => Self::ForeignHit,
            Happening::Missed(_) => Self::Missed,
            Happening::Gone(removal) => match removal {
                Removal::Removed => Self::Removed,
                Removal::Taken => Self::Taken,
                Removal::Replaced => Self::Displaced,
                Removal::Evicted => Self::Evicted,
                Removal::Expired => Self::Expired,
                _ => Self::Other,
            },
            Happening::Refused(_) => Self::Refused,
            Happening::Recovered(_) => Self::Recovered,
            _ => Self::Other,
        }
    }

    /// Whether who asks for this is shown `other`.
    pub(super) fn includes(self, other: Self) -> bool {
        self == other || (self == Self::Hit && other == Self::ForeignHit)
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Replaced => "stored in place of another",
            Self::Hit => "hit",
            Self::ForeignHit => "hit from another process",
            Self::Missed => "missed",
            Self::Removed => "removed",
            Self::Taken => "taken",
            Self::Displaced => "gave way to its successor",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Recovered => "recovered",
            Self::Other => "other",
        }
    }
}

/// Why, where there is more to say.
pub(super) fn reason(happening: Happening) -> Option<&'static str> {
    match happening {
        Happening::Missed(miss) => Some(missed(miss)),
        Happening::Refused(refusal) => Some(refused(refusal)),
        Happening::Recovered(how) => Some(recovered(how)),
        _ => None,
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

/// How it came to light that a bucket needed repair.
pub(crate) fn recovered(how: Recovery) -> &'static str {
    match how {
        Recovery::Kernel => "marked by the kernel",
        Recovery::TakenOver => "owner found dead",
        Recovery::OwnId => "own id",
        Recovery::Damage => "damage",
        _ => "other",
    }
}
