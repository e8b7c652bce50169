//! How long callers waited for locks, from the classes that the segment counts.

use serde::Serialize;
use shmtls::Stats;

use crate::output::units;

#[derive(Debug, Serialize)]
pub(crate) struct Waits {
    /// Locks that somebody else had at first.
    count: u64,
    /// Calls that took a lock.
    operations: u64,
    mean_micros: Option<u64>,
    /// Half of the waits were shorter than that; null: longer than all classes, or no wait.
    p50_below_micros: Option<u64>,
    p99_below_micros: Option<u64>,
    /// The class of the longest wait begins here.
    longest_from_micros: Option<u64>,
    /// Locks given up at the deadline.
    deadlines: u64,
    classes: Vec<Class>,
}

/// Waits of about the same length.
#[derive(Debug, Serialize)]
struct Class {
    from_micros: u64,
    /// Null: no matter how long.
    below_micros: Option<u64>,
    count: u64,
}

impl Waits {
    pub(crate) fn of(stats: &Stats) -> Self {
        let classes = classes(stats);
        let longest = classes.iter().rfind(|class| class.count > 0);
        Self {
            count: stats.lock_waits,
            operations: operations(stats),
            mean_micros: stats.lock_wait_nanos.checked_div(stats.lock_waits).map(|n| n / 1000),
            p50_below_micros: bound(&classes, 0.50),
            p99_below_micros: bound(&classes, 0.99),
            longest_from_micros: longest.map(|class| class.from_micros),
            deadlines: stats.lock_deadlines,
            classes,
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// `0.4 % of operations · p50 < 4 us · p99 < 64 us · longest 16 us to 64 us · 0 deadlines`.
    pub(crate) fn summary(&self) -> String {
        let deadlines = units::plural(self.deadlines, "deadline", "deadlines");
        let share = units::percent(self.count, self.operations);
        let Some(longest) = self.classes.iter().rfind(|class| class.count > 0) else {
            return format!("{share} of operations · {deadlines}");
        };
        let quantile = |name, below: Option<u64>| match below {
            Some(below) => format!("{name} < {}", units::micros(below)),
            None => format!("{name} {}", longest.range()),
        };
        format!(
            "{share} of operations · {} · {} · longest {} · {deadlines}",
            quantile("p50", self.p50_below_micros),
            quantile("p99", self.p99_below_micros),
            longest.range(),
        )
    }

    /// Each class in words, with its count.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (String, u64)> {
        self.classes.iter().map(|class| (class.range(), class.count))
    }
}

impl Class {
    fn range(&self) -> String {
        let from = units::micros(self.from_micros);
        match (self.from_micros, self.below_micros) {
            (_, None) => format!("{from} or more"),
            (0, Some(below)) => format!("less than {}", units::micros(below)),
            (_, Some(below)) => format!("{from} to {}", units::micros(below)),
        }
    }
}

fn classes(stats: &Stats) -> Vec<Class> {
    let mut from_micros = 0;
    let class = |(below_micros, count)| {
        let class = Class { from_micros, below_micros, count };
        from_micros = below_micros.unwrap_or_default();
        class
    };
    stats.lock_wait_histogram().into_iter().map(class).collect()
}

/// The upper bound of the class in which that part of all waits is reached.
fn bound(classes: &[Class], part: f64) -> Option<u64> {
    let all: f64 = classes.iter().map(|class| class.count as f64).sum();
    let mut shorter = 0.0;
    let reached = classes.iter().find(|class| {
        shorter += class.count as f64;
        shorter > 0.0 && shorter >= all * part
    });
    reached?.below_micros
}

/// Lookups, stores and removals that got as far as a lock, or about so many: a removal that found
/// nothing is not counted anywhere.
fn operations(stats: &Stats) -> u64 {
    let others = [
        stats.stored_new,
        stats.stored_replaced,
        stats.stored_unchanged,
        stats.refused_busy,
        stats.removed,
        stats.removes_busy,
    ];
    others.into_iter().fold(stats.lookups(), u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(edit: impl FnOnce(&mut Stats)) -> Stats {
        let mut stats = Stats::default();
        edit(&mut stats);
        stats
    }

    #[test]
    fn quantiles_are_upper_bounds_of_classes() {
        let waits = Waits::of(&stats(|it| {
            (it.lock_waits_1us, it.lock_waits_4us, it.lock_waits_1ms) = (50, 48, 2);
            (it.lock_waits, it.lock_wait_nanos, it.hits) = (100, 1_000_000, 1000);
        }));
        assert_eq!((waits.p50_below_micros, waits.p99_below_micros), (Some(1), Some(1024)));
        assert_eq!((waits.mean_micros, waits.longest_from_micros), (Some(10), Some(256)));
        let expected =
            "10.0 % of operations · p50 < 1 us · p99 < 1.0 ms · longest 256 us to 1.0 ms";
        assert_eq!(waits.summary(), format!("{expected} · 0 deadlines"));
    }

    #[test]
    fn no_wait_and_a_wait_beyond_all_classes() {
        let none = Waits::of(&Stats::default());
        assert_eq!((none.p50_below_micros, none.longest_from_micros), (None, None));
        assert_eq!(none.summary(), "- of operations · 0 deadlines");
        let long = Waits::of(&stats(|it| {
            (it.lock_waits_longer, it.lock_waits, it.lock_deadlines) = (1, 1, 1);
        }));
        assert_eq!(long.p99_below_micros, None);
        assert!(long.summary().ends_with("longest 16.4 ms or more · 1 deadline"), "{long:?}");
    }

    #[test]
    fn garbage_is_counted_too() {
        let waits = Waits::of(&stats(|it| {
            (it.lock_waits_1us, it.lock_waits_longer) = (u64::MAX, u64::MAX);
            (it.hits, it.stored_new) = (u64::MAX, u64::MAX);
        }));
        assert_eq!(waits.p50_below_micros, Some(1));
    }
}
