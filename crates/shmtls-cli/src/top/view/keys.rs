//! The ring of ticket keys, and which process has which.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Span;

use super::grid::{Column, Grid, plain, styled};
use super::{processes, titled};
use crate::output::units;
use crate::top::app::App;
use crate::top::model::shot::{Key, Keys, Process, Shot};

const KEYS: [Column; 4] = [
    Column::left("ROLE", 8, 0),
    Column::left("FINGERPRINT", 11, 0),
    Column::left("ENCRYPTS", 8, 1),
    Column::left("DECRYPTS", 8, 2),
];

const USERS: [Column; 4] = [
    Column::right("PID", 7, 0),
    Column::left("COMMAND", 16, 2),
    Column::left("STATE", 7, 1),
    Column::left("KEYS", 7, 0),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let keys = app.model.shot.as_ref().and_then(|shot| shot.keys.as_ref());
    let rows = keys.map_or(1, |keys| keys.keys.len() + 1) as u16;
    let parts = [Constraint::Length(rows + 1), Constraint::Min(0)];
    let [ring, users] = Layout::vertical(parts).areas(area);
    let shown = usize::from(users.height.saturating_sub(2));
    let count = app.model.shot.as_ref().map_or(0, |shot| shot.processes.len());
    app.keep_within(count.saturating_sub(shown), 0);
    let Some(shot) = &app.model.shot else { return };
    draw_ring(frame, ring, app, shot);
    draw_users(frame, users, app, shot);
}

fn draw_ring(frame: &mut Frame<'_>, area: Rect, app: &App, shot: &Shot) {
    let Some(keys) = &shot.keys else {
        let rest = titled(frame, area, app, vec![plain("ticket keys")]);
        let text = " none: no process shares tickets";
        frame.render_widget(styled(text, app.theme.dim()), rest);
        return;
    };
    let rest = titled(frame, area, app, title(app, shot, keys));
    let mut grid = Grid::new(&KEYS);
    keys.keys.iter().for_each(|key| grid.row(cells(app, key)));
    grid.draw(frame.buffer_mut(), indented(rest), app.theme);
}

fn title(app: &App, shot: &Shot, keys: &Keys) -> Vec<Span<'static>> {
    let age = units::span(shot.time.duration_since(keys.published).unwrap_or_default());
    let set = format!("  set {age} ago by {}, pid {}", keys.source, keys.publisher);
    vec![
        plain(format!("ticket keys  epoch {}", units::count(keys.epoch))),
        styled(set, app.theme.dim()),
    ]
}

fn cells(app: &App, key: &Key) -> [Span<'static>; 4] {
    let style = match key.role {
        "current" => app.theme.good(),
        "next" => app.theme.accent(),
        "expired" => app.theme.dim(),
        _ => ratatui::style::Style::new(),
    };
    [
        styled(key.role, style),
        plain(key.fingerprint.clone()),
        plain(key.encrypts.clone()),
        plain(key.decrypts.clone()),
    ]
}

fn draw_users(frame: &mut Frame<'_>, area: Rect, app: &App, shot: &Shot) {
    let (users, current) = shot.key_users();
    let style = if current < users { app.theme.warn() } else { app.theme.good() };
    let adopted = styled(format!("  {current} of {users} current"), style);
    let rest = titled(frame, area, app, vec![plain("who has them"), adopted]);
    let mut grid = Grid::new(&USERS);
    // Those who lag behind first, those without keys last.
    let mut list: Vec<&Process> = shot.processes.iter().collect();
    list.sort_by_key(|it| (it.key_epoch == 0, it.key_epoch, it.pid));
    for process in list.into_iter().skip(app.row).take(rest.height.into()) {
        let [pid, command] = [process.pid.to_string(), process.command.clone()].map(plain);
        grid.row([pid, command, processes::state(app, process), processes::epoch(app, process)]);
    }
    grid.draw(frame.buffer_mut(), rest, app.theme);
}

fn indented(area: Rect) -> Rect {
    Rect { x: area.x + 2.min(area.width), width: area.width.saturating_sub(2), ..area }
}
