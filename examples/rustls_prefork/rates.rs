//! How often the second connection resumes, when it may reach any worker.

use crate::client::Client;
use crate::fleet::Fleet;
use crate::random::Random;

/// Pairs of visits in each cell of the table.
pub(crate) const PAIRS: u32 = 200;

pub(crate) struct Rate {
    /// Pairs whose second visit resumed.
    pub(crate) resumed: u32,
    /// Why a visit failed, which ends the measurement.
    pub(crate) failure: Option<String>,
}

/// For each pair a new client, which visits a random worker, and after `between` another one.
pub(crate) fn measure(
    fleet: &Fleet,
    client: &Client,
    mut between: impl FnMut(u32) -> Result<(), String>,
) -> Rate {
    // The same seed for all: every row of the table sees the same pairs of workers.
    let mut random = Random::seeded(1);
    let mut rate = Rate { resumed: 0, failure: None };
    for pair in 1..=PAIRS {
        let client = client.new_here();
        let (first, second) = (*random.pick(&fleet.ports), *random.pick(&fleet.ports));
        let mut visits = || {
            client.visit(first)?;
            between(pair)?;
            client.visit(second)
        };
        match visits() {
            Ok(reused) => rate.resumed += u32::from(reused),
            Err(why) => {
                rate.failure = Some(why);
                break;
            }
        }
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
