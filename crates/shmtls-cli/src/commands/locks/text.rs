//! For people.

use std::time::{Duration, UNIX_EPOCH};

use super::held::Held;
use super::{Locks, Recent};
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Report, page::Page, style, units};

impl Report for Locks {
    const NAME: &'static str = "locks";

    fn text(&self, page: &mut Page) {
        self.held(page);
        self.contention(page);
        self.deaths(page);
    }
}

impl Locks {
    fn held(&self, page: &mut Page) {
        let looks = units::plural(self.samples, "look", "looks");
        let watched = units::micros(self.sampled_millis * 1000);
        let held = units::plural(self.held.len() as u64, "lock", "locks");
        page.line(format_args!("{held} held at the last of {looks} in {watched}"));
        if self.held.is_empty() {
            return;
        }
        let mut table = Table::new(&[
            ("LOCK", Left),
            ("IS", Left),
            ("THREAD", Right),
            ("PID", Right),
            ("COMMAND", Left),
            ("STATE", Left),
            ("AT LEAST", Right),
            ("WAITERS", Left),
            ("BUCKET IS", Left),
        ]);
        self.held.iter().for_each(|held| table.row(held.cells()));
        page.table(&table);
    }

    fn contention(&self, page: &mut Page) {
        let waits = units::plural(self.lock_waits.count(), "wait", "waits");
        page.line(format_args!("\n{waits}, {}", self.lock_waits.summary()));
        let mut table = Table::headless(&[Left, Right]);
        let classes = self.lock_waits.classes().filter(|(_, count)| *count > 0);
        classes.for_each(|(range, count)| {
            table.row([format!("  {range}").into(), units::count(count).into()]);
        });
        page.table(&table);
        for (what, count) in self.oddities().iter().filter(|(_, count)| *count > 0) {
            page.line(format_args!("  {what}: {}", units::count(*count)));
        }
        if !self.contended.is_empty() {
            let all = units::count(self.contended_buckets as u64);
            page.line(format_args!("\nmost contended of {all} buckets that were waited for"));
            let mut table =
                Table::new(&[("BUCKET", Right), ("CONTENDED", Right), ("SESSIONS", Right)]);
            for it in &self.contended {
                let figures = [it.bucket as u64, it.contended.into(), it.sessions as u64];
                table.row(figures.map(|figure| figure.to_string().into()));
            }
            page.table(&table);
        }
    }

    fn deaths(&self, page: &mut Page) {
        let recoveries = units::plural(self.recoveries.count(), "recovery", "recoveries");
        page.line(format_args!("\n{recoveries}: {}", self.recoveries.repairs()));
        for last in self.recoveries.last() {
            page.line(format_args!("  last one {}", style::plain(&last.text())));
        }
        self.recent_recoveries.iter().for_each(|recent| page.line(recent.text()));
        if !self.repaired.is_empty() {
            let all = units::count(self.repaired_buckets as u64);
            page.line(format_args!("\nmost repaired of {all} buckets that were repaired"));
            let mut table = Table::new(&[("BUCKET", Right), ("REPAIRS", Right)]);
            for it in &self.repaired {
                table.row([it.bucket.to_string().into(), it.repairs.to_string().into()]);
            }
            page.table(&table);
        }
    }
}

impl Held {
    fn cells(&self) -> [Cell; 9] {
        let number = |number: Option<u32>| Cell::maybe(number.map(|it| it.to_string()));
        let state = self.state.cell();
        [
            self.place().into(),
            self.lock.into(),
            number(self.tid),
            number(self.pid),
            Cell::maybe(self.command.clone()),
            match self.attached {
                Some(false) => Cell::new(style::BAD, format!("{}, not attached", state.text())),
                _ => state,
            },
            units::micros(self.held_millis * 1000).into(),
            if self.waiters { Cell::new(style::WARN, "yes") } else { "no".into() },
            if self.changing { "half changed" } else { "whole" }.into(),
        ]
    }
}

impl Recent {
    fn text(&self) -> String {
        let age = units::age(UNIX_EPOCH + Duration::from_millis(self.unix_millis));
        let who = self.pid.map_or("a process that is gone".into(), |pid| format!("pid {pid}"));
        format!("  {age} ago bucket {}: {}, by {who}", self.bucket, self.how)
    }
}
