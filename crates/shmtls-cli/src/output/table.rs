//! Aligned columns.

use std::fmt;

use anstyle::Style;

use super::style::{self, paint, plain};

/// On which side of its column a value stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Align {
    Left,
    Right,
}

#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(style: Style, text: impl AsRef<str>) -> Self {
        Self { text: plain(text.as_ref()), style }
    }

    /// A value, or a dash where there is none.
    pub(crate) fn maybe(text: Option<String>) -> Self {
        text.map_or_else(|| Self::new(style::DIM, "-"), Self::from)
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(style::PLAIN, text)
    }
}

#[derive(Debug)]
pub(crate) struct Table {
    aligns: Vec<Align>,
    /// The head first.
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        let head = columns.iter().map(|(name, _)| Cell::new(style::HEAD, name)).collect();
        Self { aligns: columns.iter().map(|(_, align)| *align).collect(), rows: vec![head] }
    }

    /// A row has a cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn widths(&self) -> Vec<usize> {
        let width =
            |column: usize| self.rows.iter().filter_map(move |row| Some(row.get(column)?.width()));
        (0..self.aligns.len()).map(|column| width(column).max().unwrap_or(0)).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let last = row.len().saturating_sub(1);
            for (column, cell) in row.iter().enumerate() {
                let pad = " ".repeat(widths[column] - cell.width());
                let text = paint(cell.style, &cell.text);
                match self.aligns[column] {
                    Align::Right => write!(f, "{pad}{text}")?,
                    Align::Left if column == last => write!(f, "{text}")?,
                    Align::Left => write!(f, "{text}{pad}")?,
                }
                f.write_str(if column == last { "\n" } else { "  " })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_their_colours() {
        let mut table =
            Table::new(&[("NAME", Align::Left), ("SIZE", Align::Right), ("WHY", Align::Left)]);
        table.row(["web".into(), Cell::new(style::BAD, "7"), "x\x1b[31m".into()]);
        table.row(["longer".into(), "1,234".into(), Cell::maybe(None)]);
        let text = anstream::adapter::strip_str(&table.to_string()).to_string();
        assert_eq!(text, "NAME     SIZE  WHY\nweb         7  x\u{fffd}[31m\nlonger  1,234  -\n");
    }
}
