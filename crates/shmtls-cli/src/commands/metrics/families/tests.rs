use std::collections::BTreeSet;

use shmtls::Stats;

use super::*;

/// Waits have their histogram, and the largest session refused is no counter.
const ELSEWHERE: [&str; 11] = [
    "largest_refused",
    "lock_wait_nanos",
    "lock_waits_1us",
    "lock_waits_4us",
    "lock_waits_16us",
    "lock_waits_64us",
    "lock_waits_256us",
    "lock_waits_1ms",
    "lock_waits_4ms",
    "lock_waits_16ms",
    "lock_waits_longer",
];

/// A new counter of the library must be exported, and an old one once.
#[test]
fn every_counter_has_one_name() {
    let exported = COUNTERS.iter().flat_map(|it| it.fields).map(|(_, field)| *field);
    let mut exported: Vec<_> = exported.chain(ELSEWHERE).collect();
    exported.sort_unstable();
    let mut counted: Vec<_> =
        Stats::default().fields().into_iter().map(|(field, _)| field).collect();
    counted.sort_unstable();
    assert_eq!(exported, counted);
}

#[test]
fn names_are_as_prometheus_wants_them() {
    let names: BTreeSet<_> = COUNTERS.iter().map(|it| it.name).collect();
    assert_eq!(names.len(), COUNTERS.len());
    assert!(names.iter().all(|name| name.starts_with("shmtls_") && name.ends_with("_total")));
    for counters in COUNTERS {
        assert_eq!(counters.label.is_none(), counters.fields.len() == 1, "{}", counters.name);
    }
}

#[test]
fn a_field_is_found_by_its_name() {
    let mut stats = Stats::default();
    stats.misses_forged = 7;
    assert_eq!(counters::field(&stats, "misses_forged"), 7);
}

#[test]
fn no_segment_and_one_that_is_gone() {
    let none = of(&[]);
    assert!(none.contains("\nshmtls_build_info{version=") && !none.contains("shmtls_up"), "{none}");
    let gone = of(&[("web".into(), None)]);
    assert!(gone.ends_with("\nshmtls_up{segment=\"web\"} 0\n"), "{gone}");
}

#[test]
fn seconds_have_no_exponent_in_bounds() {
    assert_eq!(seconds(1, 1_000_000), "0.000001");
    assert_eq!(seconds(16_384, 1_000_000), "0.016384");
}
