//! The library's [`AttachError`] in the words of the command line.

use std::fs;

use shmtls::AttachError;

use super::{Failure, chain, no_name};
use crate::exit::Exit;
use crate::output::units;
use crate::system;

impl Failure {
    /// `name` is what the user called the segment, `path` the file behind it.
    pub(crate) fn of_attach(name: &str, path: &str, error: &AttachError) -> Self {
        Self::new(exit_of(error), text_of(name, path, error)).tip(tip_of(name, error))
    }
}

fn exit_of(error: &AttachError) -> Exit {
    match error {
        AttachError::Name { .. } => Exit::Usage,
        AttachError::OtherVersion { .. }
        | AttachError::OtherFingerprint { .. }
        | AttachError::NotReady { .. }
        | AttachError::WrongLength { .. }
        | AttachError::BadField { .. } => Exit::Incompatible,
        AttachError::Differs { .. } => Exit::NotMet,
        _ => Exit::CannotOpen,
    }
}

fn text_of(name: &str, path: &str, error: &AttachError) -> String {
    match error {
        AttachError::Name { name } => no_name(name),
        AttachError::NotFound { existing, .. } => not_found(name, path, existing),
        AttachError::Permission { owner, mode, euid, .. } => format!(
            "{path}: permission denied (owner {}, mode {mode:04o}, you are {})",
            system::user_name(*owner),
            system::user_name(*euid),
        ),
        AttachError::NotASegment { .. } if is_empty(path) => {
            format!("{path} is empty: not a shmtls segment")
        }
        AttachError::NotASegment { found } => {
            format!("{path} is not a shmtls segment (magic {})", hex(found))
        }
        AttachError::OtherVersion { found, expected } => {
            format!("segment '{name}' has layout {found}, this build reads layout {expected}")
        }
        AttachError::WrongLength { found, expected } => {
            let cut = if found < expected { " (truncated)" } else { "" };
            let (found, expected) = (units::count(*found), units::count(*expected));
            format!(
                "segment '{name}' is {found} bytes long but its header describes {expected}{cut}"
            )
        }
        _ => format!("segment '{name}': {}", chain(error)),
    }
}

fn not_found(name: &str, path: &str, existing: &[String]) -> String {
    let found = if existing.is_empty() { "none".into() } else { existing.join(", ") };
    match name.contains('/') {
        true => format!("no segment {path} (in /dev/shm: {found})"),
        false => format!("no segment '{name}' in /dev/shm (found: {found})"),
    }
}

fn tip_of(name: &str, error: &AttachError) -> String {
    match error {
        AttachError::NotFound { existing, .. } => match nearest(name, existing) {
            Some(near) => format!("did you mean '{near}'?"),
            None if existing.is_empty() => format!("shmtls create {name}"),
            None => "shmtls list".into(),
        },
        AttachError::Permission { owner, .. } => {
            let owner = system::user_name(*owner);
            format!(
                "sudo -u {owner} shmtls ..., or create it with --mode 0660 --group GROUP and join \
                 that group"
            )
        }
        AttachError::OtherVersion { .. } => {
            format!("use the shmtls program of the servers' version; {}", error.hint())
        }
        _ => error.hint().into(),
    }
}

/// The name that was meant, probably.
fn nearest<'a>(name: &str, existing: &'a [String]) -> Option<&'a String> {
    let distance = |other: &String| strsim::damerau_levenshtein(name, other);
    let near = existing.iter().min_by_key(|other| distance(other))?;
    let limit = (name.chars().count() / 3).clamp(1, 3);
    (distance(near) <= limit).then_some(near)
}

/// Of such a file the library says that it begins with zeros.
fn is_empty(path: &str) -> bool {
    fs::metadata(path).is_ok_and(|file| file.len() == 0)
}

/// `7f 45 4c 46`; what is printable besides.
fn hex(bytes: &[u8]) -> String {
    let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ")
}
