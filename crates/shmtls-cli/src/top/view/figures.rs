//! Moving averages, and misses by reason.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};

use super::grid::{Column, Grid, plain, styled};
use super::numbers::{rate, share};
use super::{halves, titled};
use crate::output::units;
use crate::top::app::App;
use crate::top::model::WINDOWS;
use crate::top::model::tally::{REASONS, Span};

/// A title, a head, now and the averages.
pub(super) const HEIGHT: u16 = 3 + WINDOWS.len() as u16;

const AVERAGES: [Column; 8] = [
    Column::left("", 4, 0),
    Column::right("LOOKUPS/S", 0, 0),
    Column::right("HIT", 6, 0),
    Column::right("FOREIGN", 0, 1),
    Column::right("NEW/S", 5, 2),
    Column::right("REMOVED/S", 0, 4),
    Column::right("EVICTED/S", 0, 3),
    Column::right("WAITS/S", 0, 5),
];

const MISSES: [Column; 4] = [
    Column::left("REASON", 16, 0),
    Column::right("1 m /S", 6, 0),
    Column::right("5 m /S", 6, 2),
    Column::right("OF ALL", 6, 1),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    if area.is_empty() {
        return;
    }
    let [left, right] = halves(area, Constraint::Percentage(58));
    averages(frame, left, app);
    misses(frame, right, app);
}

fn averages(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let rest = titled(frame, area, app, vec![plain("averages")]);
    let mut grid = Grid::new(&AVERAGES);
    let now = std::iter::once(("now", app.model.latest(), Duration::ZERO));
    let windows = WINDOWS.map(|(name, window)| (name, app.model.over(window), window));
    for (name, span, window) in now.chain(windows) {
        let span = span.unwrap_or_default();
        let counts = span.counts;
        // An average over less time than it says is marked so.
        let is_whole = span.time >= window;
        let style = if is_whole { ratatui::style::Style::new() } else { app.theme.dim() };
        let texts = [
            name.into(),
            rate(span.lookups()),
            share(counts.hits, counts.lookups()),
            share(counts.foreign, counts.hits),
            rate(span.rate(counts.stored)),
            rate(span.rate(counts.removed)),
            rate(span.rate(counts.evicted)),
            rate(span.waits()),
        ];
        grid.row(texts.map(|text: String| styled(text, style)));
    }
    grid.draw(frame.buffer_mut(), indented(rest), app.theme);
}

fn misses(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let [_, (_, minute), (_, long)] = WINDOWS;
    let minute = app.model.over(minute).unwrap_or_default();
    let long = app.model.over(long).unwrap_or_default();
    let mut title = vec![plain("misses by reason")];
    let ever = app.model.shot.as_ref().map_or(0, |shot| shot.tally.missed());
    title.push(styled(format!("  {} ever", units::count(ever)), app.theme.dim()));
    let rest = indented(titled(frame, area, app, title));
    let mut reasons: Vec<_> = (0..REASONS.len()).filter(|at| long.counts.misses[*at] > 0).collect();
    reasons.sort_by_key(|at| std::cmp::Reverse(long.counts.misses[*at]));
    if reasons.is_empty() {
        let text = format!("none in the last {}", units::span(long.time));
        frame.render_widget(styled(text, app.theme.dim()), rest);
        return;
    }
    let per_second = |span: &Span, at: usize| plain(rate(span.rate(span.counts.misses[at])));
    let mut grid = Grid::new(&MISSES);
    for at in reasons {
        let share = share(long.counts.misses[at], long.counts.missed());
        let reason = plain(REASONS[at]);
        grid.row([reason, per_second(&minute, at), per_second(&long, at), plain(share)]);
    }
    grid.draw(frame.buffer_mut(), rest, app.theme);
}

/// Below the first letter of the title.
fn indented(area: Rect) -> Rect {
    Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(2), ..area }
}
