//! Text for people, as it grows.

use std::fmt::Display;

use super::table::Table;

#[derive(Debug, Default)]
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn line(&mut self, line: impl Display) {
        self.0 += &format!("{line}\n");
    }

    /// Whole lines.
    pub(crate) fn raw(&mut self, lines: &str) {
        self.0 += lines;
    }

    pub(crate) fn table(&mut self, table: &Table) {
        self.0 += &table.to_string();
    }
}

impl From<Page> for String {
    fn from(page: Page) -> Self {
        page.0
    }
}
