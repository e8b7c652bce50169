//! How often the second connection resumes, when it may reach any worker.

use crate::client::Client;
use crate::fleet::Fleet;
use crate::random::Random;

/// Pairs of visits in each cell of the table.
pub(crate) const PAIRS: u32 = 300;

pub(crate) struct Rate {
    /// Pairs whose second visit resumed.
    pub(crate) resumed: u32,
    /// Why a visit failed, which ends the measurement.
    pub(crate) failure: Option<String>,
}

/// A visit to a random worker, and one to another random worker with the session of the first.
pub(crate) fn measure(fleet: &Fleet, client: &Client, mut done: impl FnMut(u32)) -> Rate {
    // The same seed for all: every row of the table sees the same pairs of workers.
    let mut random = Random::seeded(1);
    let mut rate = Rate { resumed: 0, failure: None };
    for pair in 0..PAIRS {
        let (first, second) = (*random.pick(&fleet.ports), *random.pick(&fleet.ports));
        let visits = client.visit(first, None).and_then(|v| client.visit(second, Some(&v.session)));
        match visits {
            Ok(visit) => rate.resumed += u32::from(visit.reused),
            Err(why) => {
                rate.failure = Some(why);
                break;
            }
        }
        done(pair + 1);
    }
    rate
}

impl Rate {
    pub(crate) fn percent(&self) -> f64 {
        f64::from(self.resumed) * 100.0 / f64::from(PAIRS)
    }

    /// Within four standard deviations of one in `workers`.
    pub(crate) fn is_about_one_in(&self, workers: u32) -> bool {
        let chance = 1.0 / f64::from(workers);
        let deviation = (chance * (1.0 - chance) / f64::from(PAIRS)).sqrt();
        (self.percent() / 100.0 - chance).abs() <= 4.0 * deviation
    }

    /// The number and a bar, 16 columns in all.
    pub(crate) fn cell(&self) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let eighths = (self.resumed * 64 / PAIRS) as usize;
        let bar = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
        format!("{:5.1} % {bar:8}", self.percent())
    }
}
