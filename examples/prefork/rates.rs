//! How often the second connection resumes, when it may reach any worker.

use crate::client::Client;
use crate::fleet::Fleet;
use crate::random::Random;
use crate::rate::Rate;

/// Pairs of visits in each cell of the table.
pub(crate) const PAIRS: u32 = 300;

/// A visit to a random worker, and one to another random worker with the session of the first.
pub(crate) fn measure(fleet: &Fleet, client: &Client, mut done: impl FnMut(u32)) -> Rate {
    // The same seed for all: every row of the table sees the same pairs of workers.
    let mut random = Random::seeded(1);
    let mut rate = Rate::of(PAIRS);
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
