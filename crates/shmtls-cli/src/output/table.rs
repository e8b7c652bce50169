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

    pub(crate) fn text(&self) -> &str {
        &self.text
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

    /// One whose rows say themselves what they are.
    pub(crate) fn headless(aligns: &[Align]) -> Self {
        Self { aligns: aligns.to_vec(), rows: Vec::new() }
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
        self.rows.iter().try_for_each(|row| write_row(f, row, &self.aligns, &widths))
    }
}

/// Columns of fixed widths, for rows that come one by one. What is too wide moves its row.
#[derive(Debug)]
pub(crate) struct Lines {
    head: Vec<Cell>,
    aligns: Vec<Align>,
    widths: Vec<usize>,
}

impl Lines {
    pub(crate) fn new(columns: &[(&str, Align, usize)]) -> Self {
        Self {
            head: columns.iter().map(|(name, ..)| Cell::new(style::HEAD, name)).collect(),
            aligns: columns.iter().map(|(_, align, _)| *align).collect(),
            widths: columns.iter().map(|(.., width)| *width).collect(),
        }
    }

    pub(crate) fn head(&self) -> String {
        self.row(&self.head)
    }

    pub(crate) fn row(&self, cells: &[Cell]) -> String {
        let mut line = String::new();
        write_row(&mut line, cells, &self.aligns, &self.widths).expect("a string takes all");
        line
    }
}

fn write_row(
    f: &mut impl fmt::Write,
    row: &[Cell],
    aligns: &[Align],
    widths: &[usize],
) -> fmt::Result {
    let last = row.len().saturating_sub(1);
    for (column, cell) in row.iter().enumerate() {
        let pad = " ".repeat(widths[column].saturating_sub(cell.width()));
        let text = paint(cell.style, &cell.text);
        match aligns[column] {
            Align::Right => write!(f, "{pad}{text}")?,
            Align::Left if column == last => write!(f, "{text}")?,
            Align::Left => write!(f, "{text}{pad}")?,
        }
        f.write_str(if column == last { "\n" } else { "  " })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_widths() {
        let lines = Lines::new(&[("ID", Align::Left, 4), ("N", Align::Right, 3)]);
        let rows = [lines.row(&["a".into(), "7".into()]), lines.row(&["abcde".into(), "8".into()])];
        let text = format!("{}{}{}", lines.head(), rows[0], rows[1]);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(text, "ID      N\na       7\nabcde    8\n");
    }

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
