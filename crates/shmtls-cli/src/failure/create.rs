//! The library's [`CreateError`] in the words of the command line.

use shmtls::{CreateError, OptionsError};

use super::{Failure, chain, no_name};
use crate::output::units::bytes;

impl Failure {
    pub(crate) fn of_create(error: &CreateError) -> Self {
        match error {
            CreateError::Options(error) => {
                Self::usage(error.to_string()).tip(format!("change {}", option_of(error)))
            }
            CreateError::Name { name } => Self::usage(no_name(name)).tip(error.hint()),
            CreateError::AlreadyExists { .. } => Self::cannot_open(error.to_string())
                .tip("--if-missing leaves it as it is; remove the file when no process needs it"),
            CreateError::NoSpace { path, needed, free, total } => {
                let place = path.display();
                Self::cannot_open(format!(
                    "cannot reserve {} in {place}: {} total, {} free",
                    bytes(*needed),
                    bytes(*total),
                    bytes(*free),
                ))
                .tip(format!(
                    "a smaller --size (at most {free} bytes here), docker run --shm-size=256m, or \
                     a memfd segment, which the server makes itself (Options::create_memfd)"
                ))
            }
            _ => Self::cannot_open(chain(error)).tip(error.hint()),
        }
    }
}

fn option_of(error: &OptionsError) -> &'static str {
    match error {
        OptionsError::TooSmall { .. } => "--size, --sessions, --processes or --max-session",
        OptionsError::TooLarge { .. } => "--size or --sessions",
        OptionsError::MaxSession { .. } => "--max-session",
        OptionsError::Processes { .. } => "--processes",
        OptionsError::Events { .. } => "--events",
        OptionsError::Lifetime { .. } => "--lifetime",
        _ => "the options",
    }
}
