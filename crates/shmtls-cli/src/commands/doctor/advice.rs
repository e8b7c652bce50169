//! Commands to give as advice.

use std::time::Duration;

use super::picture::{Chosen, Picture};

/// What a new segment is to have more of.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) bytes: Option<u64>,
    pub(super) max_session: Option<u64>,
    pub(super) lifetime: Option<Duration>,
    pub(super) processes: Option<usize>,
}

/// What `shmtls create` takes for granted.
const USUAL: Chosen = Chosen {
    by_command: true,
    bytes: 32 << 20,
    max_session: 10 << 10,
    lifetime: Duration::from_secs(3600),
    processes: 128,
    events: 32,
};

/// Makes a segment like this one but for `change`, under another name; `None` if no command can.
pub(super) fn create(picture: &Picture, change: &Change) -> Option<String> {
    let Chosen { by_command, bytes, max_session, lifetime, processes, events } = picture.chosen;
    if !by_command {
        return None;
    }
    let bytes = change.bytes.unwrap_or(bytes);
    let max_session = change.max_session.unwrap_or(max_session);
    let lifetime = change.lifetime.unwrap_or(lifetime);
    let processes = change.processes.unwrap_or(processes);
    let options = [
        (bytes != USUAL.bytes, format!("--size {}", size(bytes))),
        (max_session != USUAL.max_session, format!("--max-session {}", size(max_session))),
        (lifetime != USUAL.lifetime, format!("--lifetime {}", time(lifetime))),
        (processes != USUAL.processes, format!("--processes {processes}")),
        (events != USUAL.events, format!("--events {events}")),
    ];
    let options = options.into_iter().filter(|(is_told, _)| *is_told).map(|(_, option)| option);
    let access = picture.access.as_ref().filter(|access| access.mode & 0o070 != 0);
    let access = access.map(|it| format!("--mode {:04o} --group {}", it.mode & !0o007, it.group));
    let words = [format!("shmtls create {}2", picture.label)].into_iter();
    Some(words.chain(options).chain(access).collect::<Vec<_>>().join(" "))
}

/// `64MiB`: as the command line takes it, rounded up where that is shorter.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        0..MIB if bytes.is_multiple_of(1024) => format!("{}KiB", bytes / 1024),
        0..MIB => bytes.to_string(),
        _ => format!("{}MiB", bytes.div_ceil(MIB)),
    }
}

/// `2h`, as the command line takes it.
pub(super) fn time(span: Duration) -> String {
    let secs = span.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit, _)| secs > 0 && secs.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{secs}s"), |(unit, letter)| format!("{}{letter}", secs / unit))
}
