//! The invariants that can be seen from outside, in short: `shm-layout.md`, section 9.

/// What an invariant says.
pub(super) fn says(invariant: u8) -> &'static str {
    match invariant {
        6 => "a lock whose owner is dead can be had",
        9 => "a bucket at rest holds whole records and nothing else",
        14 => "a session is found under its own ID and context only",
        15 => "no session lives longer than the segment's lifetime",
        16 => "no count is lost and none counts twice",
        22 => "the ring of ticket keys is whole at any moment",
        24 => "sessions are sealed if the segment is, and only then",
        _ => "see shm-layout.md, section 9",
    }
}

/// What helps where no repair of a bucket does.
pub(super) fn remedy(invariant: u8) -> &'static str {
    match invariant {
        14 | 15 | 24 => "shmtls purge --all removes all sessions, these too",
        16 => "the counters of processes to come start with these; nothing else is wrong",
        22 => "publish the ticket keys anew",
        _ => "shmtls locks shows who is in the bucket; --repair again when it is free",
    }
}
