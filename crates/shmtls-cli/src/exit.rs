//! Exit codes.

use std::process::ExitCode;

/// How the tool ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Fine = 0,
    /// The condition that was asked for is not met.
    NotMet = 1,
    Usage = 2,
    /// Missing, no permission, no room.
    CannotOpen = 3,
    /// Another layout, or damaged.
    Incompatible = 4,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
