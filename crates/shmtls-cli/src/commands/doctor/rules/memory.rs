//! Who may read the memory, and where it may go.

use super::super::finding::{Finding, Severity};
use super::super::picture::Picture;
use super::super::swap::Swap;
use super::DEPLOYING;

/// Whoever may read the segment has the sessions and ticket keys of all clients.
pub(super) fn mode(picture: &Picture) -> Option<Finding> {
    const RULE: &str = "loose-mode";
    let Some(access) = &picture.access else {
        let seen = "who may open the file cannot be told: it cannot be looked at";
        return Some(Finding::new(RULE, Severity::Unknown, seen));
    };
    let mode = access.mode;
    let is_open = mode & 0o007 != 0;
    let seen = match mode & 0o070 {
        _ if is_open => format!("everybody on this machine may open it: mode {mode:04o}"),
        0 => format!("only its owner may open it: mode {mode:04o}"),
        _ => format!("its owner and group {} may open it: mode {mode:04o}", access.group),
    };
    let severity = if is_open { Severity::Problem } else { Severity::Fine };
    let finding = Finding::new(RULE, severity, seen)
        .figure("mode", mode.into())
        .means("Who may read it reads the sessions and ticket keys of all clients.")
        .run(
            "Close it for others, and ask for less in Options::mode.",
            format!("chmod o= {}", access.path),
        );
    Some(finding.see(DEPLOYING))
}

pub(super) fn swap(picture: &Picture) -> Option<Finding> {
    let fine = |seen: String| Finding::new("swappable", Severity::Fine, seen);
    Some(match &picture.swap {
        Swap::None => fine("this machine has no swap that it could go to".into()),
        Swap::NeverOfMount => fine("its file system is never swapped (noswap)".into()),
        Swap::LockedBy(pid) => fine(format!("pid {pid} keeps it out of swap")),
        Swap::Unknown(why) => {
            let seen = format!("whether it may go to swap cannot be told: {why}");
            Finding::new("swappable", Severity::Unknown, seen)
        }
        Swap::Possible => {
            let seen = "it may go to swap: no process has locked it into memory";
            Finding::new("swappable", Severity::Advice, seen)
                .means(
                    "Sessions and ticket keys can end on a disk and outlive the machine's uptime, \
                     and a lookup may wait for that disk.",
                )
                .step(
                    "Options::lock_memory(true) in the server, with LimitMEMLOCK= of the segment's \
                     size and more; Cache::is_memory_locked says whether the kernel agreed. Or \
                     mount the tmpfs with noswap.",
                )
                .see(DEPLOYING)
        }
    })
}
