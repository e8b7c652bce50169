//! The keys of a view, on the last line.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::grid::{plain, styled};
use crate::top::app::{App, View};

/// The more important ones first: what does not fit is left out, and in the help.
const KEYS: [(&str, &str, Option<View>); 9] = [
    ("q", "quit", None),
    ("?", "help", None),
    ("p", "processes", Some(View::Processes)),
    ("b", "buckets", Some(View::Buckets)),
    ("e", "events", Some(View::Events)),
    ("t", "keys", Some(View::Keys)),
    ("s", "sort", None),
    ("space", "pause", None),
    ("j k", "move", None),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let mut line = Line::from(" ");
    for (key, meaning, view) in KEYS {
        if line.width() + key.len() + meaning.len() + 1 > area.width.into() {
            break;
        }
        let is_shown = view == Some(app.view);
        let style = if is_shown { app.theme.marked() } else { app.theme.dim() };
        line.push_span(styled(key, app.theme.accent().patch(app.theme.strong())));
        line.push_span(plain(" "));
        line.push_span(styled(meaning, style));
        line.push_span(plain("  "));
    }
    frame.render_widget(line, area);
}
