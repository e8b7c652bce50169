//! The table: medians of all rounds, and the least and the most.

use crate::contest::{Cell, Round};
use crate::plan::Caching;

/// Says also which lines are not as they should be.
pub(crate) fn print(cells: &[Cell]) -> Vec<String> {
    println!("median (least - most); against none: the same of that round without a cache\n");
    println!(
        "{:<37}  {:>19}  {:>7}  {:>21}  against none",
        "certificate  TLS  cache", "handshakes/s", "resumed", "server CPU us/handshake"
    );
    let mut broken = Vec::new();
    let mut none = &cells[0];
    for cell in cells {
        if cell.line.caching == Caching::Nobody {
            none = cell;
        }
        println!("{}", row(cell, none));
        broken.extend(complaint(cell));
    }
    broken
}

fn row(cell: &Cell, none: &Cell) -> String {
    let per_second = Spread::of(cell, |round| round.per_second);
    let micros = Spread::of(cell, |round| round.server_micros);
    let pairs = cell.rounds.iter().zip(&none.rounds);
    let (faster, cheaper): (Vec<_>, Vec<_>) = pairs.map(against).unzip();
    let (faster, cheaper) = (Spread::new(faster).median, Spread::new(cheaper).median);
    format!(
        "{}  {:>19}  {:>5.1} %  {:>21}  {faster:.2}x rate, {cheaper:.2}x CPU",
        cell.line,
        per_second.text(),
        resumed(cell).0 as f64 * 100.0 / resumed(cell).1 as f64,
        micros.text(),
    )
}

fn against((round, none): (&Round, &Round)) -> (f64, f64) {
    (round.per_second / none.per_second, round.server_micros / none.server_micros)
}

fn complaint(cell: &Cell) -> Option<String> {
    let (resumed, visits) = resumed(cell);
    (!cell.line.is_credible(resumed, visits))
        .then(|| format!("{}: {resumed} of {visits} visits resumed", cell.line))
}

/// Of so many visits.
fn resumed(cell: &Cell) -> (u64, u64) {
    let sum = |of: fn(&Round) -> u64| cell.rounds.iter().map(of).sum();
    (sum(|round| round.resumed), sum(|round| round.visits))
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(cell: &Cell, figure: impl Fn(&Round) -> f64) -> Self {
        Self::new(cell.rounds.iter().map(figure).collect())
    }

    fn new(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let most = figures[figures.len() - 1];
        Self { least: figures[0], median: figures[figures.len() / 2], most }
    }

    fn text(&self) -> String {
        format!("{:.0} ({:.0} - {:.0})", self.median, self.least, self.most)
    }
}
