//! What the processes of a segment have counted, those that are gone included.

use shmtls::Stats;

use super::text::Page;

pub(super) fn of_all_processes(page: &mut Page<'_>, stats: &Stats) {
    lookups(page, stats);
    stores(page, stats);
    departures(page, stats);
    lock_waits(page, stats);
    recoveries(page, stats);
    tickets(page, stats);
}

fn lookups(page: &mut Page<'_>, it: &Stats) {
    let results = [
        ("hit", it.hits),
        ("absent", it.misses_absent),
        ("evicted", it.misses_evicted),
        ("expired", it.misses_expired),
        ("other_context", it.misses_context),
        ("other_library", it.misses_library),
        ("busy", it.misses_busy),
        ("damaged", it.misses_damaged),
        ("forged", it.misses_forged),
        ("undecodable", it.misses_undecodable),
        ("invalid_id", it.misses_invalid_id),
    ];
    page.counters(("shmtls_gets_total", "Lookups, by what came of them."), "result", &results);
    page.counter(
        "shmtls_gets_foreign_total",
        "Hits on a session that another process stored: full handshakes that sharing saved.",
        it.foreign_hits,
    );
    page.counter(
        "shmtls_gets_at_twice_the_size_total",
        "Misses that a segment of twice the size would have answered.",
        it.hits_at_twice_the_size,
    );
}

fn stores(page: &mut Page<'_>, it: &Stats) {
    let results = [
        ("new", it.stored_new),
        ("replaced", it.stored_replaced),
        ("unchanged", it.stored_unchanged),
        ("too_large", it.refused_too_large),
        ("expired", it.refused_expired),
        ("busy", it.refused_busy),
        ("unsealed", it.refused_unsealed),
    ];
    let puts = ("shmtls_puts_total", "Sessions to be stored, by what became of them.");
    page.counters(puts, "result", &results);
    page.gauge(
        "shmtls_too_large_max_bytes",
        "Size of the largest session that was too large.",
        it.largest_refused,
    );
}

/// How sessions leave.
fn departures(page: &mut Page<'_>, it: &Stats) {
    let results = [("removed", it.removed), ("taken", it.taken), ("busy", it.removes_busy)];
    let removes = (
        "shmtls_removes_total",
        "Sessions removed by a caller, taken for a single use, or not removed at the deadline.",
    );
    page.counters(removes, "result", &results);
    page.counter(
        "shmtls_removed_at_once_total",
        "Sessions removed within a second of being stored.",
        it.removed_at_once,
    );
    page.counter("shmtls_expired_total", "Sessions cleared away after their expiry.", it.expired);
    page.counter("shmtls_evicted_total", "Live sessions that had to go for new ones.", it.evicted);
    page.counter(
        "shmtls_evicted_age_seconds_total",
        "Ages of the live sessions that had to go, summed up.",
        it.evicted_age_secs,
    );
}

fn lock_waits(page: &mut Page<'_>, it: &Stats) {
    let seconds = |micros: u64| micros as f64 / 1e6;
    let classes = it.lock_wait_histogram().map(|(bound, count)| (bound.map(seconds), count));
    page.histogram(
        ("shmtls_lock_wait_seconds", "Waits for locks that somebody else had at first."),
        &classes,
        it.lock_wait_nanos as f64 / 1e9,
    );
    page.counter(
        "shmtls_lock_deadlines_total",
        "Locks given up at the deadline.",
        it.lock_deadlines,
    );
    page.counter(
        "shmtls_lock_reentered_total",
        "Calls from a signal handler that interrupted a call of the same thread.",
        it.lock_reentered,
    );
    page.counter(
        "shmtls_lock_late_wakes_total",
        "Sleeps that ended by their slice although the lock was free.",
        it.lock_late_wakes,
    );
    page.counter(
        "shmtls_locks_without_kernel_total",
        "Locks taken without the kernel's help at a death.",
        it.locks_without_kernel,
    );
}

fn recoveries(page: &mut Page<'_>, it: &Stats) {
    let found_by = [
        ("kernel", it.owner_died_kernel),
        ("waiter", it.owner_died_stolen),
        ("same_id", it.owner_died_self),
    ];
    let died = ("shmtls_lock_recoveries_total", "Locks whose owner died in them, by who found it.");
    page.counters(died, "found_by", &found_by);
    page.counter("shmtls_bucket_repairs_total", "Buckets repaired.", it.repairs);
    let sessions = [("kept", it.repair_kept), ("lost", it.repair_lost)];
    let repaired =
        ("shmtls_repair_sessions_total", "Sessions of repaired buckets, by what became of them.");
    page.counters(repaired, "result", &sessions);
    page.counter("shmtls_hook_panics_total", "Hooks that panicked.", it.hook_panics);
}

fn tickets(page: &mut Page<'_>, it: &Stats) {
    page.counter(
        "shmtls_tickets_issued_total",
        "Tickets made under the ring's keys.",
        it.tickets_issued,
    );
    let keys = [
        ("current", it.tickets_current_key),
        ("old", it.tickets_old_key),
        ("unknown", it.tickets_unknown_key),
        ("other_context", it.tickets_other_context),
    ];
    let shown =
        ("shmtls_tickets_shown_total", "Tickets shown by clients, by the key they are under.");
    page.counters(shown, "key", &keys);
    page.counter(
        "shmtls_ticket_keys_dropped_total",
        "Keys that left the ring while their tickets may have been alive.",
        it.keys_dropped,
    );
}
