//! The heat map: a cell for each bucket, or for a group of them where there are many. Its height
//! is how full it is, its colour how often somebody had to wait for it.

use std::cmp::Reverse;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::bars::eighth;
use super::grid::{plain, styled};
use super::numbers::share;
use super::titled;
use crate::output::units;
use crate::top::app::App;
use crate::top::model::shot::{Bucket, Lock};

/// Waits of one bucket, from which on it has that colour; without colours the last two stand out.
const HEAT: [(u32, Color); 5] = [
    (0, Color::Blue),
    (1, Color::Green),
    (10, Color::Yellow),
    (100, Color::LightRed),
    (1000, Color::Red),
];

/// How buckets become cells.
struct Map {
    /// Buckets of a cell.
    group: usize,
    cells: usize,
    /// Cells of a row.
    columns: usize,
    /// Characters of a cell.
    width: u16,
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let parts = [Constraint::Min(0), Constraint::Length(2)];
    let [map_area, below] = Layout::vertical(parts).areas(area);
    let count = app.model.shot.as_ref().map_or(0, |shot| shot.buckets.len());
    let inner = Rect { height: map_area.height.saturating_sub(1), ..map_area };
    let map = Map::of(count, inner);
    app.keep_within(
        map.cells.saturating_sub(1) / map.columns.max(1),
        map.columns.saturating_sub(1),
    );
    let Some(shot) = &app.model.shot else { return };
    let inner = titled(frame, map_area, app, title(app, &map, count));
    let pointed = (app.row * map.columns + app.column).min(map.cells.saturating_sub(1));
    for (cell, group) in shot.buckets.chunks(map.group).enumerate() {
        let (glyph, mut style) = look_of(app, group, shot.about.bucket_capacity);
        if cell == pointed {
            style = style.patch(app.theme.marked());
        }
        let (x, y) = ((cell % map.columns) as u16 * map.width, (cell / map.columns) as u16);
        let text = glyph.repeat(map.width.saturating_sub(1).max(1).into());
        let place = Rect::new(inner.x + x, inner.y + y, map.width, 1).intersection(inner);
        frame.render_widget(Span::styled(text, style), place);
    }
    let [first, second] =
        Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(below);
    let group = shot.buckets.chunks(map.group).nth(pointed).unwrap_or_default();
    frame
        .render_widget(details(app, group, pointed * map.group, shot.about.bucket_capacity), first);
    frame.render_widget(hottest(app, &shot.buckets), second);
}

impl Map {
    fn of(buckets: usize, area: Rect) -> Self {
        let room = usize::from(area.width) * usize::from(area.height);
        // A few buckets have room for wider cells, with a gap.
        let width = [6, 4, 3].into_iter().find(|width| buckets * width <= room).unwrap_or(1);
        let columns = (usize::from(area.width) / width).max(1);
        let room = columns * usize::from(area.height).max(1);
        let group = buckets.div_ceil(room).max(1);
        Self { group, cells: buckets.div_ceil(group), columns, width: width as u16 }
    }
}

fn title(app: &App, map: &Map, count: usize) -> Vec<Span<'static>> {
    let mut spans = vec![plain(units::plural(count as u64, "bucket", "buckets"))];
    if map.group > 1 {
        spans.push(styled(format!("  {} a cell", map.group), app.theme.dim()));
    }
    spans.push(styled("  full ", app.theme.dim()));
    spans.push(plain("· ▁▂▃▄▅▆▇█"));
    spans.push(styled("  waits", app.theme.dim()));
    for (waits, _) in HEAT {
        spans.push(styled(format!(" ■{}", label(waits)), heat(app, waits)));
    }
    spans
}

fn label(waits: u32) -> String {
    if waits == 0 { "0".into() } else { format!("{}+", units::count(waits.into())) }
}

fn heat(app: &App, waits: u32) -> Style {
    let level = HEAT.iter().rposition(|(from, _)| waits >= *from).unwrap_or(0);
    let style = app.theme.color(HEAT[level].1);
    match (app.theme.has_colors(), level) {
        (false, 4..) => style.add_modifier(Modifier::BOLD | Modifier::UNDERLINED),
        (false, 3) => style.add_modifier(Modifier::BOLD),
        _ => style,
    }
}

/// A group is as full as its buckets on average, and as hot as its hottest.
fn look_of(app: &App, group: &[Bucket], capacity: u64) -> (&'static str, Style) {
    if group.iter().any(|bucket| bucket.lock == Lock::OwnerDied) {
        return ("✕", app.theme.bad());
    }
    let used: u64 = group.iter().map(|bucket| u64::from(bucket.used)).sum();
    let sessions: u32 = group.iter().fold(0, |sum, bucket| sum.saturating_add(bucket.sessions));
    let waits = group.iter().map(|bucket| bucket.contended).max().unwrap_or(0);
    let whole = (capacity * group.len() as u64).max(1);
    // What is in use at all is more than nothing.
    let share = (used as f64 / whole as f64).max(1.0 / 8.0);
    (if sessions == 0 { "·" } else { eighth(share) }, heat(app, waits))
}

/// Of what is pointed at.
fn details(app: &App, group: &[Bucket], first: usize, capacity: u64) -> Line<'static> {
    let sum = |of: fn(&Bucket) -> u32| group.iter().map(|it| u64::from(of(it))).sum::<u64>();
    let whole = capacity * group.len() as u64;
    let name = match group.len() {
        0 => return Line::default(),
        1 => format!("bucket {}", units::count(first as u64)),
        n => format!(
            "buckets {} to {}",
            units::count(first as u64),
            units::count((first + n - 1) as u64)
        ),
    };
    let lock = match group.iter().map(|bucket| bucket.lock).max() {
        Some(Lock::OwnerDied) => ", owner died",
        Some(Lock::Held) => ", held",
        _ => "",
    };
    let text = format!(
        "  {} · {} full · {} · {} evicted · {}{lock}",
        units::plural(sum(|it| it.sessions), "session", "sessions"),
        share(sum(|it| it.used), whole),
        units::plural(sum(|it| it.contended), "wait", "waits"),
        units::count(sum(|it| it.evictions)),
        units::plural(sum(|it| it.repairs), "repair", "repairs"),
    );
    Line::from(vec![styled(format!(" {name}"), app.theme.strong()), plain(text)])
}

/// Where locks are waited for most.
fn hottest(app: &App, buckets: &[Bucket]) -> Line<'static> {
    let mut hot: Vec<_> = buckets.iter().enumerate().filter(|(_, it)| it.contended > 0).collect();
    hot.sort_by_key(|(at, bucket)| (Reverse(bucket.contended), *at));
    let mut line = Line::from(styled(" most waits:", app.theme.dim()));
    if hot.is_empty() {
        line.push_span(styled(" nobody has waited yet", app.theme.dim()));
    }
    for (at, bucket) in hot.into_iter().take(5) {
        line.push_span(plain(format!("  bucket {at} ")));
        line.push_span(styled(units::count(bucket.contended.into()), heat(app, bucket.contended)));
    }
    line
}
