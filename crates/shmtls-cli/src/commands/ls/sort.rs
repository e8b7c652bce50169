//! Sessions in another order than that of the buckets.

use std::cmp::Reverse;

use super::row::Row;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Order {
    Size,
    Age,
    Left,
    Hits,
    Idle,
}

/// Rows that are to be sorted: not many more than are wanted.
#[derive(Debug, Default)]
pub(super) struct Sorted(Vec<Row>);

/// Rows beyond those that are wanted, before the least wanted go.
const SLACK: usize = 4096;

impl Sorted {
    pub(super) fn add(&mut self, row: Row, order: Order, reverse: bool, limit: Option<usize>) {
        self.0.push(row);
        if let Some(limit) = limit
            && self.0.len() >= limit.saturating_add(SLACK)
        {
            sort(&mut self.0, order, reverse);
            self.0.truncate(limit);
        }
    }

    pub(super) fn rows(mut self, order: Order, reverse: bool) -> Vec<Row> {
        sort(&mut self.0, order, reverse);
        self.0
    }
}

fn sort(rows: &mut [Row], order: Order, reverse: bool) {
    let figure = |row: &Row| match order {
        Order::Size => row.bytes as u64,
        Order::Age => row.age_secs,
        Order::Left => row.left_secs,
        Order::Hits => row.hits.into(),
        Order::Idle => row.idle_secs,
    };
    match reverse {
        true => rows.sort_by_key(figure),
        false => rows.sort_by_key(|row| Reverse(figure(row))),
    }
}
