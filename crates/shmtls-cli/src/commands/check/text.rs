//! For people.

use std::collections::BTreeSet;

use super::{Check, Found, Repair, invariants};
use crate::exit::Exit;
use crate::output::table::Align::Left;
use crate::output::table::{Cell, Table};
use crate::output::{Report, page::Page, style, units};

impl Report for Check {
    const NAME: &'static str = "check";

    fn text(&self, page: &mut Page) {
        if let Some(repair) = &self.repair {
            page.line(repair.summary());
        }
        if !self.violations.is_empty() {
            let mut table = Table::new(&[("BROKEN", Left), ("WHERE", Left), ("FOUND", Left)]);
            self.violations.iter().for_each(|found| table.row(found.cells()));
            page.table(&table);
            self.explain(page);
        }
        page.line(self.summary());
    }

    fn outcome(&self) -> Exit {
        if self.violations.is_empty() { Exit::Fine } else { Exit::NotMet }
    }
}

impl Check {
    /// Each invariant once.
    fn explain(&self, page: &mut Page) {
        let numbers: BTreeSet<_> = self.violations.iter().map(|found| found.number).collect();
        for number in numbers {
            page.line(format_args!("I{number}: {}", invariants::says(number)));
            if self.repair.is_some() {
                page.line(format_args!("  {}", invariants::remedy(number)));
            }
        }
    }

    fn summary(&self) -> String {
        let violations = self.violations.len() + self.unlisted;
        let verdict = match violations {
            0 => style::paint(style::GOOD, "nothing is wrong"),
            n => style::paint(style::BAD, &units::plural(n as u64, "violation", "violations")),
        };
        let listed = match self.unlisted {
            0 => String::new(),
            n => format!(" ({} of them not listed)", units::count(n as u64)),
        };
        format!(
            "{verdict}{listed} · {} looked at, {} busy · {} whole",
            units::plural(self.buckets as u64, "bucket", "buckets"),
            units::count(self.busy_buckets as u64),
            units::plural(self.sessions as u64, "session", "sessions"),
        )
    }
}

impl Found {
    fn cells(&self) -> [Cell; 3] {
        [
            Cell::new(style::BAD, &self.invariant),
            self.spot.to_string().into(),
            self.found.as_str().into(),
        ]
    }
}

impl Repair {
    fn summary(&self) -> String {
        let busy = match self.busy_buckets {
            0 => String::new(),
            n => format!(", {} busy", units::count(n as u64)),
        };
        format!(
            "{}; repaired {}{busy}: {} kept, {} lost",
            units::plural(self.violations as u64, "violation", "violations"),
            units::plural(self.repaired_buckets as u64, "bucket", "buckets"),
            units::plural(self.sessions_kept, "session", "sessions"),
            units::count(self.sessions_lost),
        )
    }
}
