//! Reads the tables of `shm-layout.md`, for the tests that hold it to the code and for those that
//! need to know where a field lies.
#![allow(dead_code, reason = "each test crate uses its part")]

/// A table and the heading it stands under.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) heading: String,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

#[derive(Debug)]
pub(crate) struct Row {
    /// Of the document, counted from 1.
    pub(crate) line: usize,
    /// Without the spaces around them and without backquotes.
    pub(crate) cells: Vec<String>,
}

/// All tables of a document, in their order.
pub(crate) fn tables(document: &str) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut heading = String::new();
    let mut in_table = false;
    for (line, text) in (1..).zip(document.lines()) {
        if let Some(title) = text.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_string();
        }
        let Some(cells) = cells(text) else {
            in_table = false;
            continue;
        };
        if !in_table {
            tables.push(Table { heading: heading.clone(), columns: cells, rows: Vec::new() });
            in_table = true;
        } else if !cells.iter().all(|cell| cell == "---") {
            let table = tables.last_mut().expect("the table that this row continues");
            table.rows.push(Row { line, cells });
        }
    }
    tables
}

impl Table {
    /// The cell of `row` in the column of that name.
    pub(crate) fn cell<'a>(&self, row: &'a Row, column: &str) -> Option<&'a str> {
        let at = self.columns.iter().position(|name| name == column)?;
        row.cells.get(at).map(String::as_str)
    }
}

/// The cells of a line that is a row of a table.
fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.replace('`', "").trim().to_string()).collect())
}
