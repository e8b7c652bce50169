//! `shmtls ls`: the sessions, one a line; never their IDs or bytes.

use std::cell::{Cell, RefCell};

use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::listing::Listing;
use crate::output::table::Align::{Left, Right};
use crate::output::table::Lines;
use crate::output::{Output, note, units::plural};
use crate::segment::SegmentArg;
use filter::Filter;
use row::{Row, Writers};
use sort::{Order, Sorted};

mod filter;
mod row;
mod sort;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls ls web                                      all sessions, bucket by bucket
  shmtls ls web --sort size --limit 10               the largest
  shmtls ls web --context 9f31c0aa --older 30m       of one server, and old
  shmtls ls web --sort idle --reverse --limit 10     what was used just now
  shmtls ls web --format json | jq '.sessions[] | select(.hits == 0) | .context'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Most of it first; `left` is time to live, `idle` time since the last use [default: as they
    /// lie in the buckets]
    #[arg(long, value_name = "BY")]
    sort: Option<Order>,
    /// Least of it first
    #[arg(long, requires = "sort")]
    reverse: bool,
    /// Show at most so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    /// Show also the bucket
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Serialize)]
struct Head<'a> {
    segment: &'a str,
}

#[derive(Serialize)]
struct End {
    /// Rows shown.
    shown: usize,
    /// Somebody was in them, or has died in them.
    unread_buckets: Vec<usize>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let segment = self.segment.find()?;
        let inspector = segment.inspect()?;
        let writers = Writers::of(&inspector.processes());
        let accepts = self.filter.matcher(&writers)?;

        let head = Head { segment: segment.label() };
        let listing = Listing::start(output, ("ls", "sessions"), &head, self.lines());
        let found =
            RefCell::new(Found { args: self, listing, sorted: Sorted::default(), end: None });
        let buckets = (0..inspector.info().buckets()).take_while(|_| !found.borrow().is_over());
        let has_context = Cell::new(self.limit == Some(0));
        let unread_buckets = inspector.for_each_in(buckets, |entry| {
            if self.filter.is_of_context(entry) {
                has_context.set(true);
                if accepts(entry) {
                    found.borrow_mut().add(Row::of(entry, &writers, self.verbose));
                }
            }
        });
        let has_context = has_context.get() || !unread_buckets.is_empty();
        let exit = found.into_inner().finish(unread_buckets)?;
        if !has_context {
            self.filter.note_unknown_context();
        }
        Ok(exit)
    }

    fn lines(&self) -> Lines {
        let columns = [
            ("ID HASH", Left, 8),
            ("CONTEXT", Left, 8),
            ("PROTOCOL", Left, 8),
            ("LIBRARY", Left, 7),
            ("SIZE", Right, 8),
            ("AGE", Right, 7),
            ("LEFT", Right, 7),
            ("IDLE", Right, 7),
            ("USE", Left, 6),
            ("BY", Right, 8),
            ("HITS", Right, 4),
            ("BUCKET", Right, 8),
        ];
        Lines::new(&columns[..columns.len() - usize::from(!self.verbose)])
    }
}

/// What the walk has come to.
struct Found<'a> {
    args: &'a Args,
    listing: Listing,
    sorted: Sorted,
    /// Nobody reads any more.
    end: Option<std::io::Error>,
}

impl Found<'_> {
    fn add(&mut self, row: Row) {
        match self.args.sort {
            Some(order) => self.sorted.add(row, order, self.args.reverse, self.args.limit),
            None => self.show(&row),
        }
    }

    fn show(&mut self, row: &Row) {
        if !self.is_over() {
            self.end = self.listing.row(row).err();
        }
    }

    fn is_over(&self) -> bool {
        self.end.is_some() || self.args.limit.is_some_and(|limit| self.listing.rows() >= limit)
    }

    fn finish(mut self, unread_buckets: Vec<usize>) -> Result<Exit, Failure> {
        if let Some(order) = self.args.sort {
            for row in std::mem::take(&mut self.sorted).rows(order, self.args.reverse) {
                self.show(&row);
            }
        }
        if let Some(error) = self.end {
            return Err(error.into());
        }
        let unread = unread_buckets.len() as u64;
        let shown = self.listing.rows();
        self.listing.end(&End { shown, unread_buckets })?;
        if unread > 0 {
            let buckets = plural(unread, "bucket", "buckets");
            note(&format!(
                "{buckets} could not be read: somebody is changing them, or died in them \
                 (shmtls locks, shmtls check)"
            ));
        }
        Ok(Exit::Fine)
    }
}
