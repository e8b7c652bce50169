//! Which segment it is, what is the matter with it, what it saves, how full it is, its keys.

use std::time::{Duration, SystemTime};

use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::bars::eighth;
use super::grid::{plain, styled};
use super::numbers::share;
use crate::output::units;
use crate::top::app::App;
use crate::top::model::shot::Shot;

/// As many as a screen of that size can spare.
pub(super) fn lines(app: &App, area: Rect) -> Vec<Line<'static>> {
    let Some(shot) = &app.model.shot else {
        return vec![joined(vec![plain("no segment yet")], area.width)];
    };
    let first = with_right(joined(title(app, shot), area.width), state(app, shot), area.width);
    let news = [trouble(app), replaced(app), broken(app, shot)];
    let rest = [hits(app, shot), contents(app, shot), keys(app, shot)];
    let rest = news.into_iter().flatten().map(|span| vec![span]).chain(rest);
    let mut lines = vec![first];
    lines.extend(rest.map(|items| joined(items, area.width)));
    lines.truncate((area.height / 4).max(1).into());
    lines
}

fn title(app: &App, shot: &Shot) -> Vec<Span<'static>> {
    let about = &shot.about;
    let mut items = vec![styled(about.label.clone(), app.theme.accent().patch(app.theme.strong()))];
    if about.path != about.label {
        items.push(plain(about.path.clone()));
    }
    items.push(plain(units::bytes(about.bytes)));
    items.push(plain(format!("layout {}", about.layout)));
    items.push(plain(format!("age {}", since(shot, shot.identity.created))));
    if about.is_sealed {
        items.push(plain("sealed"));
    }
    items
}

/// On the right of the first line.
fn state(app: &App, shot: &Shot) -> Span<'static> {
    if app.paused {
        return styled("PAUSED", app.theme.warn().patch(app.theme.strong()));
    }
    let secs = units::unix_secs(shot.time);
    let clock = format!("{:02}:{:02}:{:02} UTC", secs / 3600 % 24, secs / 60 % 60, secs % 60);
    styled(clock, app.theme.dim())
}

fn trouble(app: &App) -> Option<Span<'static>> {
    let age = units::span(app.model.trouble_age());
    let text = |text: &str| format!("{text} (for {age})");
    app.model.trouble().map(|trouble| styled(text(&trouble.text), app.theme.bad()))
}

fn replaced(app: &App) -> Option<Span<'static>> {
    let text = |age: Duration| {
        format!("this is a new segment in the place of another, since {} ago", units::span(age))
    };
    app.model.replaced().map(|age| styled(text(age), app.theme.warn()))
}

fn broken(app: &App, shot: &Shot) -> Option<Span<'static>> {
    let count = shot.broken() as u64;
    let buckets = units::plural(count, "bucket waits", "buckets wait");
    let text = format!("{buckets} for repair: an owner died, and nobody has come by since");
    (count > 0).then(|| styled(text, app.theme.warn()))
}

fn hits(app: &App, shot: &Shot) -> Vec<Span<'static>> {
    let tally = &shot.tally;
    let foreign = format!(
        "{} from another process ({} of hits)",
        units::count(tally.foreign),
        share(tally.foreign, tally.hits)
    );
    vec![
        plain(format!("{} lookups", units::count(tally.lookups()))),
        plain(format!("{} hit", share(tally.hits, tally.lookups()))),
        styled(foreign, app.theme.good().patch(app.theme.strong())),
    ]
}

fn contents(app: &App, shot: &Shot) -> Vec<Span<'static>> {
    let (used, capacity, sessions) = (shot.used(), shot.capacity(), shot.sessions());
    let mut items = vec![
        plain(units::plural(sessions, "session", "sessions")),
        styled(gauge(used, capacity), app.theme.accent()),
    ];
    items.extend(shot.mean_session_bytes.map(|mean| plain(format!("avg {mean} B"))));
    items.push(plain(format!("lifetime {}", units::span(shot.about.lifetime))));
    items.push(processes(app, shot));
    items
}

/// `███████▌   76.0% full`.
fn gauge(used: u64, capacity: u64) -> String {
    let tenths = used as f64 * 10.0 / capacity.max(1) as f64;
    let cells: String = (0..10).map(|cell| eighth(tenths - f64::from(cell))).collect();
    format!("▕{cells}▏{} full", share(used, capacity))
}

fn processes(app: &App, shot: &Shot) -> Span<'static> {
    let alive = shot.processes.iter().filter(|it| it.state.is_alive()).count();
    let dead = shot.processes.iter().filter(|it| it.state.is_dead()).count();
    let unknown = shot.processes.len() - alive - dead;
    let known = units::plural(alive as u64, "process", "processes");
    let others = [(dead, "dead"), (unknown, "unknown")].into_iter().filter(|(n, _)| *n > 0);
    let text = others.fold(known, |text, (n, what)| format!("{text} + {n} {what}"));
    if dead > 0 { styled(text, app.theme.warn()) } else { plain(text) }
}

fn keys(app: &App, shot: &Shot) -> Vec<Span<'static>> {
    let mut items = match &shot.keys {
        None => vec![plain("no ticket keys")],
        Some(keys) => {
            let (users, current) = shot.key_users();
            let text = format!("{current} of {users} processes current");
            let is_warning = current < users;
            vec![
                plain(format!("key epoch {}", keys.epoch)),
                plain(format!("set {} ago", since(shot, keys.published))),
                styled(text, if is_warning { app.theme.warn() } else { app.theme.good() }),
            ]
        }
    };
    items.push(match shot.recoveries {
        0 => plain("recovered 0"),
        n => styled(format!("recovered {}", units::count(n)), app.theme.warn()),
    });
    items
}

fn since(shot: &Shot, time: SystemTime) -> String {
    units::span(shot.time.duration_since(time).unwrap_or_default())
}

/// As many items as fit, from the front; at least one, cut if it must be.
fn joined(items: Vec<Span<'static>>, width: u16) -> Line<'static> {
    let mut line = Line::from(" ");
    for (at, item) in items.into_iter().enumerate() {
        let gap = if at == 0 { "" } else { " · " };
        if at > 0 && line.width() + gap.chars().count() + item.width() > width.into() {
            break;
        }
        line.push_span(gap);
        line.push_span(item);
    }
    line
}

/// With something at the right edge, if there is room.
fn with_right(mut line: Line<'static>, right: Span<'static>, width: u16) -> Line<'static> {
    let free = usize::from(width).saturating_sub(line.width() + right.width() + 1);
    if free > 0 {
        line.push_span(" ".repeat(free));
        line.push_span(right);
    }
    line
}
