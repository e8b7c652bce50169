//! Looks at counters, as far back as averages need them.

use std::collections::VecDeque;
use std::time::Duration;

use super::tally::{Span, Tally};

/// A look at counters, at a time since the tool started.
type Look = (Duration, Tally);

#[derive(Debug)]
pub(crate) struct History {
    /// The oldest first.
    looks: VecDeque<Look>,
    /// How far back the oldest needs to be.
    keep: Duration,
}

impl History {
    pub(crate) fn new(keep: Duration) -> Self {
        Self { looks: VecDeque::new(), keep }
    }

    /// Adds a look. Counters only grow: if one went back they began anew, and so does the history.
    pub(crate) fn push(&mut self, at: Duration, tally: Tally) {
        if self.looks.back().is_some_and(|(_, last)| tally.is_behind(last)) {
            self.looks.clear();
        }
        self.looks.push_back((at, tally));
        let is_spare = |look: &Look| at.saturating_sub(look.0) >= self.keep;
        while self.looks.get(1).is_some_and(is_spare) {
            self.looks.pop_front();
        }
    }

    /// From the look before `window` to the last one, or from the first one there is. `None` before
    /// there are two.
    pub(crate) fn over(&self, window: Duration) -> Option<Span> {
        let (end, last) = *self.looks.back()?;
        let is_before = |look: &&Look| end.saturating_sub(look.0) >= window;
        let earlier = self.looks.iter().rev().skip(1);
        let (start, first) = earlier.clone().find(is_before).or(earlier.last())?;
        Some(Span { time: end.saturating_sub(*start), counts: last.since(first) })
    }

    /// Between the last two looks.
    pub(crate) fn latest(&self) -> Option<Span> {
        self.over(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn hits(hits: u64) -> Tally {
        Tally { hits, ..Tally::default() }
    }

    fn history(looks: impl IntoIterator<Item = (u32, u64)>) -> History {
        let mut history = History::new(SECOND * 10);
        looks.into_iter().for_each(|(secs, n)| history.push(SECOND * secs, hits(n)));
        history
    }

    #[test]
    fn one_look_has_no_rate() {
        assert_eq!(history([]).latest(), None);
        assert_eq!(history([(3, 7)]).over(SECOND * 5), None);
    }

    #[test]
    fn rates_over_windows() {
        let history =
            history((0..=60).map(|n| (n, if n < 55 { 0 } else { 100 * (n as u64 - 54) })));
        assert_eq!(history.latest().map(|span| span.lookups()), Some(100.0));
        let span = history.over(SECOND * 10).expect("ten seconds");
        assert_eq!((span.time, span.lookups()), (SECOND * 10, 60.0));
        assert_eq!(history.looks.len(), 11, "no more than the window needs");
    }

    #[test]
    fn a_window_longer_than_the_history_is_the_history() {
        let span = history([(0, 0), (2, 10), (4, 40)]).over(SECOND * 300).expect("a span");
        assert_eq!((span.time, span.lookups()), (SECOND * 4, 10.0));
    }

    #[test]
    fn looks_that_came_late_count_for_the_time_that_they_took() {
        let span = history([(0, 0), (1, 10), (31, 310)]).latest().expect("a span");
        assert_eq!((span.time, span.lookups()), (SECOND * 30, 10.0));
    }

    #[test]
    fn counters_that_began_anew() {
        let history = history([(0, 1000), (1, 1010), (2, 3)]);
        assert_eq!(history.latest(), None, "no negative rate, and none at all");
        let history = self::history([(0, 1000), (1, 1010), (2, 3), (3, 8)]);
        let span = history.over(SECOND * 10).expect("a span");
        assert_eq!((span.time, span.lookups()), (SECOND, 5.0));
    }

    #[test]
    fn a_clock_that_stands_gives_no_rate() {
        assert_eq!(history([(1, 0), (1, 9)]).latest().map(|span| span.lookups()), Some(0.0));
    }
}
