//! What only grows as long as a segment lives: the counters of `Stats`, each under a name.

use shmtls::Stats;

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// By what those of one name are told apart; `None` if there is just one.
    pub(super) label: Option<&'static str>,
    /// The label's value, and the field of `Stats`.
    pub(super) fields: &'static [(&'static str, &'static str)],
}

const fn one(
    name: &'static str,
    field: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Counters {
    Counters { name, help, label: None, fields: field }
}

const fn by(
    label: &'static str,
    name: &'static str,
    fields: &'static [(&'static str, &'static str)],
    help: &'static str,
) -> Counters {
    Counters { name, help, label: Some(label), fields }
}

pub(super) const COUNTERS: &[Counters] = &[
    by(
        "result",
        "shmtls_gets_total",
        &[
            ("hit", "hits"),
            ("absent", "misses_absent"),
            ("evicted", "misses_evicted"),
            ("expired", "misses_expired"),
            ("other_context", "misses_context"),
            ("other_library", "misses_library"),
            ("busy", "misses_busy"),
            ("damaged", "misses_damaged"),
            ("forged", "misses_forged"),
            ("undecodable", "misses_undecodable"),
            ("invalid_id", "misses_invalid_id"),
        ],
        "Lookups of a session, and what came of them.",
    ),
    one(
        "shmtls_gets_foreign_total",
        &[("", "foreign_hits")],
        "Hits on a session that another process stored: full handshakes that sharing saved.",
    ),
    one(
        "shmtls_gets_at_twice_the_size_total",
        &[("", "hits_at_twice_the_size")],
        "Lookups that missed and that a segment of twice the size would have answered.",
    ),
    by(
        "result",
        "shmtls_stores_total",
        &[
            ("new", "stored_new"),
            ("replaced", "stored_replaced"),
            ("unchanged", "stored_unchanged"),
            ("too_large", "refused_too_large"),
            ("expired", "refused_expired"),
            ("busy", "refused_busy"),
            ("unsealed", "refused_unsealed"),
        ],
        "Stores of a session, and what came of them.",
    ),
    one("shmtls_evicted_total", &[("", "evicted")], "Live sessions that had to go for new ones."),
    one(
        "shmtls_evicted_age_seconds_total",
        &[("", "evicted_age_secs")],
        "Ages of the live sessions that had to go, summed up.",
    ),
    one("shmtls_expired_total", &[("", "expired")], "Sessions cleared away after their expiry."),
    one("shmtls_removed_total", &[("", "removed")], "Sessions that a caller removed."),
    one(
        "shmtls_removed_at_once_total",
        &[("", "removed_at_once")],
        "Sessions that a caller removed within a second of being stored.",
    ),
    one("shmtls_removes_busy_total", &[("", "removes_busy")], "Removals that gave up waiting."),
    one("shmtls_taken_total", &[("", "taken")], "Sessions taken: single use."),
    one(
        "shmtls_lock_deadlines_total",
        &[("", "lock_deadlines")],
        "Waits for a lock that were given up at the deadline.",
    ),
    one("shmtls_lock_waits_total", &[("", "lock_waits")], "Locks that somebody else had at first."),
    one(
        "shmtls_lock_late_wakes_total",
        &[("", "lock_late_wakes")],
        "Sleeps that ended by their slice although the lock was free.",
    ),
    one(
        "shmtls_lock_reentered_total",
        &[("", "lock_reentered")],
        "Calls in a signal handler that interrupted a call of the same thread.",
    ),
    one(
        "shmtls_locks_without_kernel_total",
        &[("", "locks_without_kernel")],
        "Locks taken without the kernel's help at a death.",
    ),
    by(
        "by",
        "shmtls_lock_recoveries_total",
        &[
            ("kernel", "owner_died_kernel"),
            ("take_over", "owner_died_stolen"),
            ("own_id", "owner_died_self"),
        ],
        "Locks whose owner died in them and that are in use again.",
    ),
    one("shmtls_repairs_total", &[("", "repairs")], "Buckets repaired."),
    by(
        "outcome",
        "shmtls_repair_sessions_total",
        &[("kept", "repair_kept"), ("lost", "repair_lost")],
        "Sessions of repaired buckets.",
    ),
    one("shmtls_hook_panics_total", &[("", "hook_panics")], "Hooks that panicked."),
    one(
        "shmtls_tickets_issued_total",
        &[("", "tickets_issued")],
        "Stateless tickets made with the shared keys.",
    ),
    by(
        "key",
        "shmtls_tickets_shown_total",
        &[
            ("current", "tickets_current_key"),
            ("old", "tickets_old_key"),
            ("unknown", "tickets_unknown_key"),
            ("other_context", "tickets_other_context"),
        ],
        "Stateless tickets that clients showed, by the key that they were made with.",
    ),
    one(
        "shmtls_ticket_keys_dropped_total",
        &[("", "keys_dropped")],
        "Ticket keys that left the ring while their tickets may have been alive.",
    ),
];

/// The counter of that name; those of `COUNTERS` are there, as a test says.
pub(super) fn field(stats: &Stats, name: &str) -> u64 {
    let fields = stats.fields();
    fields.iter().find(|(field, _)| *field == name).map_or(0, |(_, count)| *count)
}
