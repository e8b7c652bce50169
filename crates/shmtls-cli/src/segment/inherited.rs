//! `fd:NAME`: a descriptor that systemd or the shell handed over.

use std::env;
use std::path::PathBuf;

use crate::failure::Failure;

/// The first one that systemd passes (sd_listen_fds(3)).
const FIRST: usize = 3;

/// `fd:3` is a number, all others are names of LISTEN_FDNAMES. LISTEN_PID is not compared: it names
/// the shell that the service started, where there is one between.
pub(super) fn path_of(name: &str) -> Result<PathBuf, Failure> {
    let fd = match name.parse() {
        Ok(number) => number,
        Err(_) => of_name(name)?,
    };
    let path = PathBuf::from(format!("/proc/self/fd/{fd}"));
    if path.symlink_metadata().is_err() {
        return Err(Failure::cannot_open(format!("no descriptor {fd} was handed over"))
            .tip("in a shell: shmtls procs fd:3 3< FILE"));
    }
    Ok(path)
}

fn of_name(name: &str) -> Result<usize, Failure> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<_> = names.split(':').filter(|name| !name.is_empty()).collect();
    let count = env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let names = &names[..names.len().min(count)];
    match names.iter().position(|other| *other == name) {
        Some(at) => Ok(FIRST + at),
        None => {
            let found = if names.is_empty() { "none".into() } else { names.join(", ") };
            Err(Failure::cannot_open(format!(
                "no descriptor named '{name}' was handed over (LISTEN_FDNAMES: {found})"
            ))
            .tip("systemd passes those of FileDescriptorName= and FDNAME="))
        }
    }
}
