//! Keys, and what they mean.

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::app::View;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Quit,
    Interrupt,
    Suspend,
    Help,
    Back,
    Show(View),
    Sort,
    Pause,
    /// Down if positive.
    Rows(isize),
    /// To the right if positive.
    Columns(isize),
    Top,
    Bottom,
}

/// Keys with what they do, for the help. `j` and `k` move, as in all tools of this kind, so the
/// keys of tickets have `t`.
pub(crate) const HELP: [(&str, &str); 11] = [
    ("b", "heat map of the buckets"),
    ("e", "events as they happen"),
    ("t, K", "ticket keys, and which process has them"),
    ("p, Esc", "back to the processes"),
    ("s", "sort the processes by the next column"),
    ("j k, arrows", "move"),
    ("PgUp PgDn", "move by a page"),
    ("g G", "to the top, to the bottom"),
    ("space", "pause: no more looks at the segment"),
    ("? h", "this help"),
    ("q, Ctrl-C", "quit"),
];

const PAGE: isize = 10;

/// `None` for what means nothing.
pub(crate) fn action(event: &Event) -> Option<Action> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => of_key(key),
        _ => None,
    }
}

fn of_key(key: &KeyEvent) -> Option<Action> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Action::Interrupt),
            KeyCode::Char('z') => Some(Action::Suspend),
            KeyCode::Char('d' | 'f') => Some(Action::Rows(PAGE)),
            KeyCode::Char('u' | 'b') => Some(Action::Rows(-PAGE)),
            _ => None,
        };
    }
    let action = match key.code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Action::Help,
        KeyCode::Char('p') | KeyCode::Esc => Action::Back,
        KeyCode::Char('b') => Action::Show(View::Buckets),
        KeyCode::Char('e') => Action::Show(View::Events),
        KeyCode::Char('t' | 'K') => Action::Show(View::Keys),
        KeyCode::Char('s') => Action::Sort,
        KeyCode::Char(' ') => Action::Pause,
        KeyCode::Char('j') | KeyCode::Down => Action::Rows(1),
        KeyCode::Char('k') | KeyCode::Up => Action::Rows(-1),
        KeyCode::Left => Action::Columns(-1),
        KeyCode::Right => Action::Columns(1),
        KeyCode::PageDown => Action::Rows(PAGE),
        KeyCode::PageUp => Action::Rows(-PAGE),
        KeyCode::Char('g') | KeyCode::Home => Action::Top,
        KeyCode::Char('G') | KeyCode::End => Action::Bottom,
        _ => return None,
    };
    Some(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> Option<Action> {
        action(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn every_key_of_the_help_does_something() {
        for (keys, meaning) in HELP {
            for key in keys.split([' ', ',']).filter(|key| !key.is_empty()) {
                let (code, modifiers) = match key {
                    "Esc" => (KeyCode::Esc, KeyModifiers::NONE),
                    "arrows" => (KeyCode::Down, KeyModifiers::NONE),
                    "PgUp" => (KeyCode::PageUp, KeyModifiers::NONE),
                    "PgDn" => (KeyCode::PageDown, KeyModifiers::NONE),
                    "space" => (KeyCode::Char(' '), KeyModifiers::NONE),
                    "Ctrl-C" => (KeyCode::Char('c'), KeyModifiers::CONTROL),
                    _ => (KeyCode::Char(key.chars().next().expect("a key")), KeyModifiers::NONE),
                };
                assert!(press(code, modifiers).is_some(), "{key}: {meaning}");
            }
        }
    }

    #[test]
    fn a_c_is_no_interrupt_and_resizing_no_key() {
        assert_eq!(press(KeyCode::Char('c'), KeyModifiers::NONE), None);
        let interrupt = press(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(interrupt, Some(Action::Interrupt));
        assert_eq!(action(&Event::Resize(80, 24)), None);
        let release =
            KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(&Event::Key(release)), None);
    }
}
