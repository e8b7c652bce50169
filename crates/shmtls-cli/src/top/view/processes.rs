//! The processes: what each does with the cache.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::grid::{Column, Grid, plain, styled};
use super::numbers::{rate, share};
use super::titled;
use crate::output::units;
use crate::system::ProcessState;
use crate::top::app::{App, Sort};
use crate::top::model::shot::Process;

const COLUMNS: [Column; 10] = [
    Column::right("PID", 7, 0),
    Column::left("COMMAND", 8, 1),
    Column::left("STATE", 7, 3),
    Column::right("GET/S", 7, 0),
    Column::right("NEW/S", 7, 4),
    Column::right("REMOVED/S", 0, 6),
    Column::right("HIT", 6, 0),
    Column::right("FOREIGN", 0, 2),
    Column::right("CONTENDED", 0, 5),
    Column::right("KEYS", 5, 3),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let shown = area.height.saturating_sub(2);
    let count = app.model.shot.as_ref().map_or(0, |shot| shot.processes.len());
    app.keep_within(count.saturating_sub(shown.into()), 0);
    let mut title = vec![
        plain("processes"),
        styled("  averages of 10 s, by ", app.theme.dim()),
        plain(column(app.sort)),
    ];
    if count > shown.into() {
        let (from, to) = (app.row + 1, app.row + usize::from(shown));
        let text = format!("  {from} to {} of {count}", to.min(count));
        title.push(styled(text, app.theme.dim()));
    }
    let rest = titled(frame, area, app, title);
    let mut grid = Grid::new(&COLUMNS);
    grid.mark(column(app.sort));
    for process in app.processes().into_iter().skip(app.row).take(shown.into()) {
        grid.row(cells(app, process));
    }
    grid.draw(frame.buffer_mut(), rest, app.theme);
}

fn column(sort: Sort) -> &'static str {
    match sort {
        Sort::Gets => "GET/S",
        Sort::News => "NEW/S",
        Sort::Removes => "REMOVED/S",
        Sort::Hit => "HIT",
        Sort::Foreign => "FOREIGN",
        Sort::Contended => "CONTENDED",
        Sort::Keys => "KEYS",
        Sort::Pid => "PID",
    }
}

fn cells(app: &App, process: &Process) -> [Span<'static>; 10] {
    let span = app.model.of_process(process).unwrap_or_default();
    let counts = span.counts;
    [
        plain(process.pid.to_string()),
        plain(process.command.clone()),
        state(app, process),
        plain(rate(span.lookups())),
        plain(rate(span.rate(counts.stored))),
        plain(rate(span.rate(counts.removed))),
        plain(share(counts.hits, counts.lookups())),
        plain(share(counts.foreign, counts.hits)),
        plain(share(counts.waits, counts.operations())),
        epoch(app, process),
    ]
}

pub(super) fn state(app: &App, process: &Process) -> Span<'static> {
    match process.state {
        ProcessState::Running => styled("running", app.theme.good()),
        ProcessState::Stopped => styled("stopped", app.theme.warn()),
        ProcessState::Zombie => styled("zombie", app.theme.bad()),
        ProcessState::Dead => styled("dead", app.theme.bad()),
        ProcessState::Unknown => styled("unknown", app.theme.dim()),
    }
}

/// The epoch of the keys that it has; those who lag behind are marked.
pub(super) fn epoch(app: &App, process: &Process) -> Span<'static> {
    let current = app.model.shot.as_ref().map_or(0, |shot| shot.epoch());
    match process.key_epoch {
        0 => styled("-", app.theme.dim()),
        epoch if epoch == current => plain(units::count(epoch)),
        epoch => styled(format!("{} old", units::count(epoch)), app.theme.warn()),
    }
}
