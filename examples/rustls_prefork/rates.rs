//! How often the second connection resumes, when it may reach any worker.

use crate::client::Client;
use crate::fleet::Fleet;
use crate::random::Random;
use crate::rate::Rate;

/// Pairs of visits in each cell of the table.
pub(crate) const PAIRS: u32 = 200;

/// For each pair a new client, which visits a random worker, and after `between` another one.
pub(crate) fn measure(
    fleet: &Fleet,
    client: &Client,
    mut between: impl FnMut(u32) -> Result<(), String>,
) -> Rate {
    // The same seed for all: every row of the table sees the same pairs of workers.
    let mut random = Random::seeded(1);
    let mut rate = Rate::of(PAIRS);
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
