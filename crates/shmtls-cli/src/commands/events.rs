//! `shmtls events`: what happened lately, and with `--follow` what happens.

use std::thread;
use std::time::Duration;

use shmtls::{EventCursor, Inspector, SegmentInfo};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, note, units};
use crate::quantity;
use crate::segment::{Segment, SegmentArg};
use filter::Filter;
use report::{Events, Lost};
use what::What;

mod filter;
mod report;
mod what;

pub(crate) use what::recovered;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls events web                              all that is still known
  shmtls events web -f --only missed,evicted     as it happens: misses, and who had to go
  shmtls events web --session 9f31c0aa           the life of one session
  shmtls events web -f --format json | jq '.events[] | select(.what == \"refused\")'";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    segment: SegmentArg,
    /// Go on with what happens next, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Between two looks; what is overwritten in between is missed
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "50ms",
        value_parser = quantity::short_interval,
        requires = "follow"
    )]
    interval: Duration,
    /// Of what has happened already, show the last so many
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    #[command(flatten)]
    filter: Filter,
}

/// A segment, and how far its events have been read.
struct Reader {
    info: SegmentInfo,
    cursor: EventCursor,
    is_new: bool,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let segment = self.segment.find()?;
        let inspector = segment.inspect()?;
        let mut reader = Reader::of(&segment, &inspector)?;
        let mut report = reader.read(&segment, &inspector, &self.filter);
        report.keep_last(self.limit);
        drop(inspector);
        output.show(&report)?;
        self.tell_how_far_back(&report, &reader);
        if self.follow {
            loop {
                thread::sleep(self.interval);
                self.go_on(&segment, &mut reader, output)?;
            }
        }
        Ok(Exit::Fine)
    }

    fn tell_how_far_back(&self, report: &Events, reader: &Reader) {
        let kept = format!("the segment keeps {} of each process", reader.kept());
        match report.overwritten() {
            0 if self.follow => {}
            0 => note(&kept),
            n => note(&format!("{} overwritten before: {kept}", were(n))),
        }
    }

    /// Each look opens the segment anew: one that is gone ends it, one in its place is followed.
    fn go_on(
        &self,
        segment: &Segment,
        reader: &mut Reader,
        output: &Output,
    ) -> Result<(), Failure> {
        let inspector = segment.inspect()?;
        if inspector.info() != reader.info {
            note("another segment of that name has come");
            *reader = Reader::of(segment, &inspector)?;
        }
        let report = reader.read(segment, &inspector, &self.filter).without_head();
        let missed = report.missed();
        if missed > 0 {
            note(&format!(
                "{} overwritten before this look: the segment keeps {} of each process",
                were(missed),
                reader.kept()
            ));
        }
        if missed > 0 || !report.is_empty() {
            output.show(&report)?;
        }
        Ok(())
    }
}

impl Reader {
    fn of(segment: &Segment, inspector: &Inspector) -> Result<Self, Failure> {
        let info = inspector.info();
        if info.events() == 0 {
            let text = format!("segment '{}' keeps no events", segment.label());
            return Err(Failure::new(Exit::NotMet, text).tip(
                "it was made so (--events 0, Options::events(0)); shmtls stat has its counters",
            ));
        }
        Ok(Self { info, cursor: EventCursor::default(), is_new: true })
    }

    fn read(&mut self, segment: &Segment, inspector: &Inspector, filter: &Filter) -> Events {
        let noted = inspector.events_noted();
        let (mut events, missed) = inspector.events(&mut self.cursor);
        let is_first = std::mem::take(&mut self.is_new);
        let overwritten = is_first.then(|| noted.saturating_sub(events.len() as u64));
        events.retain(|event| filter.accepts(event));
        Events::of(segment, inspector, &events, Lost { missed, overwritten })
    }

    fn kept(&self) -> String {
        let kept = self.info.events() as u64;
        format!("the last {}", units::plural(kept, "event", "events"))
    }
}

fn were(events: u64) -> String {
    units::plural(events, "event was", "events were")
}
