//! Aligned columns, as many as there is room for.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::theme::Theme;

const GAP: u16 = 2;

#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    is_right: bool,
    /// Where there is no room for all, the highest goes first.
    rank: u8,
    /// Does not jump with what is in it.
    least: u16,
}

#[derive(Debug)]
pub(super) struct Grid {
    columns: Vec<Column>,
    rows: Vec<Vec<Span<'static>>>,
    marked: Option<&'static str>,
}

impl Column {
    pub(super) const fn left(name: &'static str, least: u16, rank: u8) -> Self {
        Self { name, is_right: false, rank, least }
    }

    pub(super) const fn right(name: &'static str, least: u16, rank: u8) -> Self {
        Self { name, is_right: true, rank, least }
    }
}

impl Grid {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), marked: None }
    }

    /// The head of this column stands out.
    pub(super) fn mark(&mut self, name: &'static str) {
        self.marked = Some(name);
    }

    /// A row has a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Span<'static>>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The head, and the rows that fit below it.
    pub(super) fn draw(&self, buffer: &mut Buffer, area: Rect, theme: Theme) {
        let places = self.places(area);
        let head = |column: &Column| {
            let is_marked = self.marked == Some(column.name);
            let style = if is_marked { theme.accent().patch(theme.strong()) } else { theme.dim() };
            let mark = if is_marked { "▾" } else { "" };
            Span::styled(format!("{mark}{}", column.name), style)
        };
        let heads: Vec<_> = self.columns.iter().map(head).collect();
        for (cells, y) in std::iter::once(&heads).chain(&self.rows).zip(area.top()..area.bottom()) {
            for &(at, x, width) in &places {
                self.cell(buffer, &cells[at], at, Rect::new(x, y, width, 1));
            }
        }
    }

    fn cell(&self, buffer: &mut Buffer, cell: &Span<'_>, column: usize, area: Rect) {
        let free = area.width.saturating_sub(cell.width() as u16);
        let pad = if self.columns[column].is_right { free } else { 0 };
        buffer.set_span(area.x + pad, area.y, cell, area.width - pad);
    }

    /// The index, start and width of each column that there is room for.
    fn places(&self, area: Rect) -> Vec<(usize, u16, u16)> {
        let mut kept: Vec<_> = (0..self.columns.len()).collect();
        let total = |kept: &[usize]| -> u16 {
            kept.iter().map(|at| self.width(*at) + GAP).sum::<u16>().saturating_sub(GAP)
        };
        while kept.len() > 1 && total(&kept) > area.width {
            let rank = |at: &usize| self.columns[*at].rank;
            let Some(highest) = kept.iter().map(rank).max() else { break };
            kept.retain(|at| rank(at) != highest);
        }
        let mut x = area.x;
        let mut places = Vec::new();
        for at in kept {
            let width = self.width(at).min(area.right().saturating_sub(x));
            places.push((at, x, width));
            x = x.saturating_add(width + GAP).min(area.right());
        }
        places
    }

    fn width(&self, at: usize) -> u16 {
        let cells = self.rows.iter().map(|row| row[at].width() as u16);
        let head = self.columns[at].name.chars().count() as u16;
        let mark = u16::from(self.marked == Some(self.columns[at].name));
        cells.max().unwrap_or(0).max(head + mark).max(self.columns[at].least)
    }
}

/// A cell without a style.
pub(super) fn plain(text: impl Into<String>) -> Span<'static> {
    Span::raw(text.into())
}

pub(super) fn styled(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_least_goes_first() {
        let mut grid = Grid::new(&[
            Column::right("PID", 0, 0),
            Column::left("WHY", 0, 2),
            Column::right("HITS", 6, 1),
        ]);
        grid.row(["7", "because", "93"].map(plain));
        let text = |width| {
            let area = Rect::new(0, 0, width, 2);
            let mut buffer = Buffer::empty(area);
            grid.draw(&mut buffer, area, Theme::new(false));
            let cells = buffer.content.iter().map(|cell| cell.symbol());
            cells.collect::<String>()
        };
        assert_eq!(text(20), "PID  WHY        HITS  7  because      93");
        assert_eq!(text(13), "PID    HITS    7      93  ");
        assert_eq!(text(4), "PID   7 ");
    }
}
