//! What k resumed of n attempts say about a server.
//!
//! A server whose N workers share nothing resumes where a session meets the worker that made it: in
//! one of N attempts. So each N is a binomial distribution, and an N stays possible as long as
//! neither so few nor so many resumed attempts are a surprise under it.

use serde::Serialize;

/// As many workers as a verdict names; beyond, one in N can hardly be told from never.
pub(crate) const WORKERS_MAX: u32 = 64;

/// Of each tail: a true N is ruled out in at most 5 % of all measurements.
const SURPRISE: f64 = 0.025;

/// From here on a server shares, and something loses a session now and then.
const MOSTLY: f64 = 0.9;

/// What the counts of one kind of resumption say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Nothing resumed. That could be one in N only with this many workers or more;
    /// `None` if even [`WORKERS_MAX`] workers that share nothing would have shown themselves.
    Never {
        #[serde(rename = "unless_workers")]
        unless: Option<u32>,
    },
    /// As many as with `likely` workers that share nothing; `low` to `high` cannot be ruled out.
    PerWorker {
        #[serde(rename = "workers")]
        likely: u32,
        #[serde(rename = "workers_low")]
        low: u32,
        #[serde(rename = "workers_high")]
        high: u32,
    },
    /// Some, and no number of workers that share nothing explains it.
    Mixed,
    /// At least nine of ten, and not all.
    Mostly,
    /// Every attempt.
    Always,
    /// Sharing and two workers that share nothing would both look like this.
    TooFew,
}

/// The verdict on `resumed` of `attempts`.
///
/// # Panics
///
/// If more resumed than were tried.
pub(crate) fn verdict(resumed: u32, attempts: u32) -> Verdict {
    assert!(resumed <= attempts, "{resumed} of {attempts}");
    let count = Count { resumed, attempts };
    let possible = (2..=WORKERS_MAX).filter(|&workers| count.allows(workers));
    let (low, high) = (possible.clone().min(), possible.max());
    match (low, high) {
        (Some(2), _) if resumed == 0 || resumed == attempts => Verdict::TooFew,
        (unless, _) if resumed == 0 => Verdict::Never { unless },
        (Some(low), Some(high)) => Verdict::PerWorker { likely: count.likely(), low, high },
        _ if resumed == attempts => Verdict::Always,
        _ if count.rate() >= MOSTLY => Verdict::Mostly,
        _ => Verdict::Mixed,
    }
}

#[derive(Clone, Copy)]
struct Count {
    resumed: u32,
    attempts: u32,
}

impl Count {
    fn rate(self) -> f64 {
        f64::from(self.resumed) / f64::from(self.attempts)
    }

    fn allows(self, workers: u32) -> bool {
        let chances = chances(self.attempts, workers);
        let resumed = self.resumed as usize;
        let at_most: f64 = chances[..=resumed].iter().sum();
        let at_least: f64 = chances[resumed..].iter().sum();
        at_most > SURPRISE && at_least > SURPRISE
    }

    /// The number of workers, from 2, under which the count is the least surprising.
    fn likely(self) -> u32 {
        // Without the number of ways to choose them, which is the same for all.
        let ln_chance = |workers: &u32| {
            let same = 1.0 / f64::from(*workers);
            let others = f64::from(self.attempts - self.resumed);
            f64::from(self.resumed) * same.ln() + others * (1.0 - same).ln()
        };
        let most = (2..=WORKERS_MAX).max_by(|a, b| ln_chance(a).total_cmp(&ln_chance(b)));
        most.expect("not empty")
    }
}

/// For each count from 0 to `attempts`, the chance that so many meet the worker that made their
/// session. By logarithms: of thousands of attempts one count can be rarer than an `f64` holds.
fn chances(attempts: u32, workers: u32) -> Vec<f64> {
    let same = 1.0 / f64::from(workers);
    let mut ln_chance = f64::from(attempts) * (1.0 - same).ln();
    let mut chances = vec![ln_chance.exp()];
    for resumed in 1..=attempts {
        let ways = f64::from(attempts - resumed + 1) / f64::from(resumed);
        ln_chance += (ways * same / (1.0 - same)).ln();
        chances.push(ln_chance.exp());
    }
    chances
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certain() {
        assert_eq!(verdict(40, 40), Verdict::Always);
        assert_eq!(verdict(39, 40), Verdict::Mostly);
        assert_eq!(verdict(36, 40), Verdict::Mostly);
        assert_eq!(verdict(35, 40), Verdict::Mixed);
        assert_eq!(verdict(30, 40), Verdict::Mixed);
        assert_eq!(verdict(9, 40), Verdict::PerWorker { likely: 4, low: 3, high: 9 });
        assert_eq!(verdict(20, 40), Verdict::PerWorker { likely: 2, low: 2, high: 2 });
    }

    /// With 40 attempts twelve workers that share nothing may well show no resumption at all.
    #[test]
    fn never_says_how_sure_it_is() {
        assert_eq!(verdict(0, 40), Verdict::Never { unless: Some(12) });
        assert_eq!(verdict(0, 100), Verdict::Never { unless: Some(28) });
        assert_eq!(verdict(0, 1000), Verdict::Never { unless: None });
    }

    #[test]
    fn too_few_attempts_decide_nothing() {
        for attempts in 0..=5 {
            assert_eq!(verdict(0, attempts), Verdict::TooFew);
            assert_eq!(verdict(attempts, attempts), Verdict::TooFew);
        }
        assert_eq!(verdict(6, 6), Verdict::Always);
        assert_eq!(verdict(0, 6), Verdict::Never { unless: Some(3) });
    }

    /// For every N and n: the count that is expected names N, and no possible count is a panic.
    #[test]
    fn the_expected_count_names_the_number_of_workers() {
        for attempts in [20, 40, 200, 1000] {
            for workers in 2..=WORKERS_MAX {
                let expected = (f64::from(attempts) / f64::from(workers)).round() as u32;
                if expected == 0 {
                    continue;
                }
                let Verdict::PerWorker { likely, low, high } = verdict(expected, attempts) else {
                    panic!("{expected} of {attempts}: {:?}", verdict(expected, attempts));
                };
                assert!((low..=high).contains(&workers), "{workers}: {low} to {high}");
                assert!((low..=high).contains(&likely), "{likely}: {low} to {high}");
                // 1/likely is as near as any to the rate that was seen.
                let rate = f64::from(expected) / f64::from(attempts);
                let off = |n: u32| (1.0 / f64::from(n) - rate).abs();
                assert!(off(likely) <= off(workers) + 1e-9 || likely.abs_diff(workers) <= 1);
            }
        }
    }

    /// The promise behind [`SURPRISE`], counted exactly and not sampled.
    #[test]
    fn a_true_number_is_ruled_out_in_at_most_five_percent() {
        for attempts in [6, 10, 40, 100] {
            for workers in 2..=WORKERS_MAX {
                let counts = (0..).zip(chances(attempts, workers));
                let ruled_out: f64 = counts
                    .filter(|&(resumed, _)| !Count { resumed, attempts }.allows(workers))
                    .map(|(_, chance)| chance)
                    .sum();
                assert!(ruled_out <= 0.05, "{workers} workers, {attempts} attempts: {ruled_out}");
            }
        }
    }

    /// More resumed attempts never speak for more workers.
    #[test]
    fn verdicts_are_in_order() {
        for attempts in 1..=120 {
            let mut last = u32::MAX;
            for resumed in 1..=attempts {
                match verdict(resumed, attempts) {
                    Verdict::PerWorker { likely, low, high } => {
                        assert!(low <= high && likely <= last);
                        last = likely;
                    }
                    Verdict::Never { .. } => panic!("{resumed} of {attempts} resumed"),
                    Verdict::Always => assert_eq!(resumed, attempts),
                    Verdict::Mixed | Verdict::Mostly | Verdict::TooFew => last = 0,
                }
            }
        }
    }

    #[test]
    fn the_chances_of_all_counts_are_one() {
        for (attempts, workers) in [(1, 2), (40, 4), (1000, 64), (10_000, 2)] {
            let sum: f64 = chances(attempts, workers).iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{attempts}, {workers}: {sum}");
        }
    }
}
