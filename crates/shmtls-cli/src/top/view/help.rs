//! All keys, over whatever is there.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use super::grid::{plain, styled};
use crate::top::app::App;
use crate::top::input::HELP;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let line = |(key, meaning): (&'static str, &'static str)| {
        Line::from(vec![styled(format!(" {key:<12}"), app.theme.accent()), plain(meaning)])
    };
    let lines: Vec<_> = HELP.into_iter().map(line).collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0) as u16 + 3;
    let place = centered(area, width, lines.len() as u16 + 2);
    frame.render_widget(Clear, place);
    let title = styled(" keys ", app.theme.strong());
    let block = Block::bordered().border_type(BorderType::Rounded).title(title);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

fn centered(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let (x, y) = ((area.width - width) / 2, (area.height - height) / 2);
    Rect::new(area.x + x, area.y + y, width, height)
}
