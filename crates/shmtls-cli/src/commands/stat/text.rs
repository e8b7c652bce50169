//! The screen.

use std::time::{Duration, UNIX_EPOCH};

use shmtls::Stats;

use super::{Keys, Stat};
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Report, page::Page, style, units};

impl Report for Stat {
    const NAME: &'static str = "stat";

    fn text(&self, page: &mut Page) {
        page.line(self.heading());
        let rate_column = self.per_second.as_ref().map(|_| Right);
        let columns: Vec<_> = [Left, Right].into_iter().chain(rate_column).chain([Left]).collect();
        let mut table = Table::headless(&columns);
        self.lookups(&mut table);
        self.stores(&mut table);
        self.sessions(&mut table);
        self.locks(&mut table);
        self.users(&mut table);
        page.table(&table);
    }
}

impl Stat {
    fn heading(&self) -> String {
        let creator = self.creator_command.as_ref().map(|it| format!(" ({it})"));
        format!(
            "{}  {}  {} · layout {} · {} of {}{} · created {} ago by pid {}{}",
            style::paint(style::HEAD, &self.segment),
            style::plain(&self.path),
            units::bytes(self.bytes),
            self.layout_version,
            units::plural(self.buckets as u64, "bucket", "buckets"),
            units::bytes(self.bucket_bytes as u64),
            if self.sealed { " · sealed" } else { "" },
            units::age(UNIX_EPOCH + Duration::from_secs(self.created_unix_secs)),
            self.creator_pid,
            style::plain(&creator.unwrap_or_default()),
        )
    }

    /// What it is all for comes first.
    fn lookups(&self, table: &mut Table) {
        let hits = format!("hit {}", units::percent(self.hits, self.lookups));
        self.row(table, "lookups", Stats::lookups, hits);
        let saved = format!(
            "{} of hits: full handshakes that this cache saved",
            units::percent(self.foreign_hits, self.hits)
        );
        self.row(table, "hits from another process", |it| it.foreign_hits, saved);
        let reasons = self.misses_by_reason.iter().filter(|it| it.count > 0);
        let reasons: Vec<_> =
            reasons.map(|it| format!("{} {}", it.reason, units::count(it.count))).collect();
        self.row(table, "misses", Stats::misses, reasons.join(" · "));
    }

    fn stores(&self, table: &mut Table) {
        let stats = &self.stats;
        let parts = format!(
            "new {} · replaced {} · the same again {}",
            units::count(stats.stored_new),
            units::count(stats.stored_replaced),
            units::count(stats.stored_unchanged)
        );
        let stored = |it: &Stats| it.stored_new.wrapping_add(it.stored_replaced);
        self.row(table, "stores", stored, parts);
        let lifetime = units::span(Duration::from_secs(self.lifetime_secs));
        let age = self.evicted_mean_age_secs.map(Duration::from_secs).map(units::span);
        let age = match age {
            Some(age) => format!(", {age} old on average; the lifetime is {lifetime}"),
            None => format!("; the lifetime is {lifetime}"),
        };
        let share = units::percent(self.evicted, self.stored);
        let evicted = format!("{share} of stores, before their expiry{age}");
        self.row(table, "evicted", |it| it.evicted, evicted);
        let largest = match stats.largest_refused {
            0 => String::new(),
            largest => format!("the largest {}; ", units::bytes(largest)),
        };
        let limit = units::bytes(self.max_session_bytes as u64);
        let too_large = format!("{largest}the limit is {limit}");
        self.row(table, "too large", |it| it.refused_too_large, too_large);
    }

    fn sessions(&self, table: &mut Table) {
        let contents = &self.contents;
        let mut text = format!(
            "{} of bytes · {} of slots",
            units::percent(contents.used_bytes as u64, contents.capacity_bytes as u64),
            units::percent(contents.sessions as u64, contents.slots as u64),
        );
        if let Some(mean) = contents.mean_session_bytes {
            text += &format!(" · {} on average", units::bytes(mean as u64));
        }
        if let Some(oldest) = contents.oldest_age_secs {
            text += &format!(" · oldest {}", units::span(Duration::from_secs(oldest)));
        }
        if contents.sampled_buckets < self.buckets {
            let sampled = units::count(contents.sampled_buckets as u64);
            text += &format!(" (of a sample of {sampled} buckets)");
        }
        self.plain_row(table, "sessions", units::count(contents.sessions as u64), text);
    }

    fn locks(&self, table: &mut Table) {
        self.row(table, "lock waits", |it| it.lock_waits, self.lock_waits.summary());
        let last = match (self.recoveries.count(), self.recoveries.last().first()) {
            (0, None) => String::new(),
            (_, Some(last)) => format!("last {} · {}", last.text(), self.recoveries.repairs()),
            (_, None) => format!("by processes that are gone · {}", self.recoveries.repairs()),
        };
        self.row(table, "recoveries", Stats::recoveries, last);
    }

    fn users(&self, table: &mut Table) {
        match &self.keys {
            Some(keys) => {
                self.plain_row(table, "ticket keys", format!("epoch {}", keys.epoch), keys.text());
            }
            None => self.plain_row(table, "ticket keys", "-".into(), "none are set".into()),
        }
        let others = [(self.processes_dead, "dead"), (self.processes_unknown, "unknown")];
        let others = others.iter().filter(|(n, _)| *n > 0);
        let others: Vec<_> = others.map(|(n, what)| format!("{n} {what}")).collect();
        let alive = units::count(self.processes_alive as u64);
        let text = [&["alive".into()][..], &others].concat().join(" · ");
        self.plain_row(table, "processes", alive, text);
    }

    /// A figure made of counters, with its speed.
    fn row(&self, table: &mut Table, name: &str, figure: impl Fn(&Stats) -> u64, text: String) {
        let value = units::count(figure(&self.stats));
        let rate = self.per_second.as_ref().map(|rates| rates.of(&self.stats, figure));
        self.cells(table, name, value, rate.map(|rate| format!("{rate:.1}/s")), text);
    }

    fn plain_row(&self, table: &mut Table, name: &str, value: String, text: String) {
        self.cells(table, name, value, None, text);
    }

    fn cells(
        &self,
        table: &mut Table,
        name: &str,
        value: String,
        rate: Option<String>,
        text: String,
    ) {
        let mut row = vec![Cell::new(style::HEAD, name), value.into()];
        if self.per_second.is_some() {
            row.push(rate.unwrap_or_default().into());
        }
        row.push(text.into());
        table.row(row);
    }
}

impl Keys {
    fn text(&self) -> String {
        format!(
            "{} old · {} of {} live processes have them",
            units::age(UNIX_EPOCH + Duration::from_secs(self.published_unix_secs)),
            self.processes_current,
            self.processes,
        )
    }
}
