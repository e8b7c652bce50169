//! The tail of events, the newest first.

use std::time::UNIX_EPOCH;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::grid::{Column, Grid, plain, styled};
use super::titled;
use crate::context;
use crate::output::units;
use crate::top::app::App;
use crate::top::model::events::{Event, Tone};

const COLUMNS: [Column; 8] = [
    Column::left("TIME (UTC)", 12, 2),
    Column::right("PID", 7, 1),
    Column::left("EVENT", 9, 0),
    Column::left("WHY", 24, 0),
    Column::left("SESSION", 8, 1),
    Column::right("SIZE", 6, 3),
    Column::left("CONTEXT", 8, 5),
    Column::left("FOR", 9, 4),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let shown = usize::from(area.height.saturating_sub(2));
    app.keep_within(app.model.events.len().saturating_sub(shown), 0);
    let mut title = vec![plain("events"), styled("  the newest first", app.theme.dim())];
    if app.row > 0 {
        let below = units::count(app.row as u64);
        title.push(styled(format!("  {below} newer ones: g goes there"), app.theme.accent()));
    }
    if app.model.events.missed > 0 {
        let missed = units::count(app.model.events.missed);
        title.push(styled(format!("  {missed} overwritten unseen"), app.theme.warn()));
    }
    let rest = titled(frame, area, app, title);
    if app.model.events.len() == 0 {
        let text = if keeps_events(app) { " none yet" } else { " this segment keeps no events" };
        frame.render_widget(styled(text, app.theme.dim()), rest);
        return;
    }
    let mut grid = Grid::new(&COLUMNS);
    for event in app.model.events.newest().skip(app.row).take(shown) {
        grid.row(cells(app, event));
    }
    let rest = Rect { x: rest.x + 1.min(rest.width), width: rest.width.saturating_sub(1), ..rest };
    grid.draw(frame.buffer_mut(), rest, app.theme);
}

fn keeps_events(app: &App) -> bool {
    app.model.shot.as_ref().is_some_and(|shot| shot.about.keeps_events)
}

fn cells(app: &App, event: &Event) -> [Span<'static>; 8] {
    let style = match event.tone {
        Tone::Good => app.theme.good(),
        Tone::Plain => ratatui::style::Style::new(),
        Tone::Notable => app.theme.warn(),
        Tone::Bad => app.theme.bad(),
    };
    let context = event.context.map_or_else(String::new, context::shown);
    let size = if event.bytes > 0 { units::count(event.bytes as u64) } else { String::new() };
    [
        styled(clock(event), app.theme.dim()),
        plain(event.pid.map_or_else(|| "-".into(), |pid| pid.to_string())),
        styled(event.what, style),
        styled(event.why, style),
        plain(event.subject.clone()),
        plain(size),
        plain(context),
        plain(event.origin),
    ]
}

/// `12:34:56.789`.
fn clock(event: &Event) -> String {
    let time = event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (secs, millis) = (time.as_secs(), time.subsec_millis());
    format!("{:02}:{:02}:{:02}.{millis:03}", secs / 3600 % 24, secs / 60 % 60, secs % 60)
}
