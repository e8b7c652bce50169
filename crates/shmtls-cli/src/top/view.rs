//! Draws the model: a header, one of four views, and a line of keys. Pure, but for what it says
//! of how far one can scroll.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Clear;

use super::app::{App, View};

mod bars;
mod buckets;
mod events;
mod figures;
mod footer;
mod grid;
mod header;
mod help;
mod keys;
mod numbers;
mod processes;
mod rates;
pub(crate) mod theme;

pub(crate) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let area = frame.area();
    if area.width < 4 || area.height < 2 {
        return;
    }
    let head = header::lines(app, area);
    let parts = [Constraint::Length(head.len() as u16), Constraint::Min(0), Constraint::Length(1)];
    let [top, body, foot] = Layout::vertical(parts).areas(area);
    for (line, row) in head.into_iter().zip(top.rows()) {
        frame.render_widget(line, row);
    }
    match app.view {
        View::Processes => overview(frame, body, app),
        View::Buckets => buckets::draw(frame, body, app),
        View::Events => events::draw(frame, body, app),
        View::Keys => keys::draw(frame, body, app),
    }
    footer::draw(frame, foot, app);
    if app.help {
        help::draw(frame, area, app);
    }
}

/// Charts, averages and processes: what there is room for.
fn overview(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let figures = if area.height >= 17 { figures::HEIGHT } else { 0 };
    let charts = match area.height - figures {
        0..9 => 0,
        rest => (rest / 3).clamp(4, 12),
    };
    let parts = [charts, figures].map(Constraint::Length);
    let [charts, figures, processes] =
        Layout::vertical([parts[0], parts[1], Constraint::Min(0)]).areas(area);
    rates::draw(frame, charts, app);
    figures::draw(frame, figures, app);
    processes::draw(frame, processes, app);
}

/// A title over what is left of the area below it.
fn titled(frame: &mut Frame<'_>, area: Rect, app: &App, title: Vec<Span<'_>>) -> Rect {
    let [top, rest] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let rule = "─".repeat(top.width.into());
    frame.render_widget(Span::styled(rule, app.theme.dim()), top);
    let mut spans = vec![Span::raw(" ")];
    spans.extend(title);
    spans.push(Span::raw(" "));
    let line = Line::from(spans);
    let width = (line.width() as u16).min(top.width.saturating_sub(2));
    let place = Rect { x: top.x + 1.min(top.width), width, ..top };
    let place = place.intersection(top);
    // The rule beneath it is dim, and what it is written over would be.
    frame.render_widget(Clear, place);
    frame.render_widget(line, place);
    rest
}

/// Two areas side by side, with a gap.
fn halves(area: Rect, left: Constraint) -> [Rect; 2] {
    Layout::horizontal([left, Constraint::Min(0)]).spacing(1).areas(area)
}
