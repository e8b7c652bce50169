//! Styles. Without colours everything can still be told apart.

use std::io::stdout;

use ratatui::crossterm::style::force_color_output;
use ratatui::style::{Color, Modifier, Style};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Theme {
    has_colors: bool,
}

impl Theme {
    pub(crate) const fn new(has_colors: bool) -> Self {
        Self { has_colors }
    }

    /// As `--color` and NO_COLOR say.
    pub(crate) fn of_stdout() -> Self {
        let choice = anstream::AutoStream::choice(&stdout());
        let has_colors = choice != anstream::ColorChoice::Never;
        force_color_output(has_colors);
        Self::new(has_colors)
    }

    pub(crate) fn has_colors(self) -> bool {
        self.has_colors
    }

    pub(crate) fn color(self, color: Color) -> Style {
        if self.has_colors { Style::new().fg(color) } else { Style::new() }
    }

    pub(crate) fn good(self) -> Style {
        self.color(Color::Green)
    }

    pub(crate) fn warn(self) -> Style {
        self.color(Color::Yellow)
    }

    /// Stands out without colours too.
    pub(crate) fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn accent(self) -> Style {
        self.color(Color::Cyan)
    }

    pub(crate) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(crate) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn marked(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}
