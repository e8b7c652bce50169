//! A day that somebody recorded: what his clients did, with caches of other sizes.
//!
//! A line a step: seconds, `store`, `find` or `remove`, the session's digest in hexadecimal, and
//! for a store its bytes. This makes one of what happens in a live segment, as long as it runs:
//!
//! ```console
//! $ shmtls events web -f --format json | jq -r '.events[] | select(.digest)
//!     | [.unix_millis / 1000, ({stored: "store", replaced: "store", hit: "find", missed: "find",
//!       "foreign-hit": "find", taken: "remove", removed: "remove"}[.what] // empty),
//!       .digest, .session_bytes] | @tsv' > day.tsv
//! ```

use std::collections::{HashMap, VecDeque};

use crate::clients::{Cache, Day};

pub(crate) struct Recorded(Vec<Step>);

struct Step {
    at: f64,
    what: What,
    session: u64,
    len: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Store,
    Find,
    Remove,
}

impl Recorded {
    /// The steps in their order, or the line that is none.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let expected = "expected SECONDS store|find|remove DIGEST [BYTES]";
            let step =
                step(line).ok_or_else(|| format!("line {}: {line:?}: {expected}", index + 1))?;
            steps.push(step);
        }
        for (what, name) in [(What::Store, "stored"), (What::Find, "looked up")] {
            if !steps.iter().any(|step| step.what == what) {
                return Err(format!("nothing is {name} in it"));
            }
        }
        // Rings of several processes are read one after the other.
        steps.sort_by(|a, b| a.at.total_cmp(&b.at));
        Ok(Self(steps))
    }

    /// Bytes of the largest session.
    pub(crate) fn largest(&self) -> usize {
        self.0.iter().map(|step| step.len).max().unwrap_or(0)
    }

    /// The most bytes of sessions, and of their IDs, that were alive at a time.
    pub(crate) fn bytes_alive(&self, lifetime: f64) -> u64 {
        let (mut alive, mut most) = (0, 0);
        let mut ends: VecDeque<(f64, u64)> = VecDeque::new();
        for step in self.0.iter().filter(|step| step.what == What::Store) {
            while let Some((_, bytes)) = ends.front().filter(|(end, _)| *end <= step.at) {
                alive -= bytes;
                ends.pop_front();
            }
            let bytes = step.len as u64 + 32;
            ends.push_back((step.at + lifetime, bytes));
            alive += bytes;
            most = most.max(alive);
        }
        most
    }

    /// Lets it happen again in another cache. A session that is found there and was not found then
    /// is stored again all the same: how its client would have gone on, nobody knows.
    pub(crate) fn replay(&self, cache: &mut impl Cache) -> Day {
        let start = self.0[0].at;
        let mut lens = HashMap::new();
        let mut day = Day::default();
        for step in &self.0 {
            cache.set_time(step.at - start);
            match step.what {
                What::Store => {
                    lens.insert(step.session, step.len);
                    cache.store(step.session, step.len);
                }
                What::Find => {
                    // Stored before the recording began: no cache could have it.
                    let Some(len) = lens.get(&step.session) else { continue };
                    day.count(*len, cache.find(step.session, false));
                }
                What::Remove => {
                    cache.find(step.session, true);
                }
            }
        }
        day
    }
}

fn step(line: &str) -> Option<Step> {
    let mut words = line.split_whitespace();
    let at = words.next()?.parse().ok().filter(|at: &f64| at.is_finite())?;
    let what = match words.next()? {
        "store" => What::Store,
        "find" => What::Find,
        "remove" => What::Remove,
        _ => return None,
    };
    let session = u64::from_str_radix(words.next()?, 16).ok()?;
    let len = words.next().map_or(Some(0), |len| len.parse().ok())?;
    let is_whole = words.next().is_none() && (what != What::Store || (1..=MOST).contains(&len));
    is_whole.then_some(Step { at, what, session, len })
}

/// Bytes of the largest session that any segment stores.
const MOST: usize = 49_152;
