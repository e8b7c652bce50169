//! Two charts of rates: lookups with their hits, and waits for locks.

use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Color;

use super::bars::{Bar, Bars};
use super::grid::{plain, styled};
use super::numbers::{rate, share};
use super::{halves, titled};
use crate::top::app::App;

/// Less is no chart.
const NARROW: u16 = 60;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    if area.is_empty() {
        return;
    }
    if area.width < NARROW {
        return lookups(frame, area, app);
    }
    let [left, right] = halves(area, Constraint::Percentage(58));
    lookups(frame, left, app);
    waits(frame, right, app);
}

fn lookups(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let span = app.model.latest().unwrap_or_default();
    let counts = span.counts;
    let title = vec![
        plain("lookups/s "),
        styled(rate(span.lookups()), app.theme.strong()),
        plain(format!("  hit {}", share(counts.hits, counts.lookups()))),
        styled(format!("  foreign {}", share(counts.foreign, counts.hits)), app.theme.good()),
    ];
    let rest = titled(frame, area, app, title);
    let bars = app
        .model
        .spans()
        .iter()
        .map(|span| Bar { whole: span.lookups(), part: span.rate(span.counts.hits) });
    let style = Bars { theme: app.theme, part: Color::Green, rest: Color::Yellow };
    style.draw(frame.buffer_mut(), rest, bars);
}

fn waits(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let span = app.model.latest().unwrap_or_default();
    let counts = span.counts;
    let title = vec![
        plain("lock waits/s "),
        styled(rate(span.waits()), app.theme.strong()),
        plain(format!("  {} of calls", share(counts.waits, counts.operations()))),
    ];
    let rest = titled(frame, area, app, title);
    let bars = app.model.spans().iter().map(|span| Bar { whole: span.waits(), part: 0.0 });
    let style = Bars { theme: app.theme, part: Color::Magenta, rest: Color::Magenta };
    style.draw(frame.buffer_mut(), rest, bars);
}
