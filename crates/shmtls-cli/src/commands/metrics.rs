//! `shmtls metrics`: what `stat` shows, for Prometheus. Once, to a file, or over HTTP.
//!
//! Who runs on scrapes with a process of its own each time: a segment that is cut short while it is
//! read ends that one, or makes it begin anew, and not the exporter.

use std::path::PathBuf;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, Output};
use crate::quantity;
use crate::segment::Segment;
use listen::Address;
use sample::Sample;

mod families;
mod file;
mod listen;
mod request;
mod sample;
mod scrape;
mod server;
mod text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls metrics                             all segments of this machine, once
  shmtls metrics --listen 127.0.0.1:9798     for a scrape: http://127.0.0.1:9798/metrics
  shmtls metrics --output /var/lib/node_exporter/textfile/shmtls.prom -w 15s";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Names, paths, pid:PID or fd:NAME; without any, all that there are at each scrape
    #[arg(value_name = "SEGMENT", env = "SHMTLS_SEGMENT")]
    segments: Vec<String>,
    /// Answer HTTP requests for /metrics there (port 0: any)
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "file")]
    listen: Option<Address>,
    /// Listen where others may ask too: the figures tell how many visitors there are
    #[arg(long, requires = "listen")]
    allow_remote: bool,
    /// Write to FILE, which is whole at any time
    #[arg(long = "output", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Write it again every DURATION (15s, 1m) until interrupted
    #[arg(short = 'w', long = "watch", value_name = "DURATION", requires = "file")]
    #[arg(value_parser = quantity::interval)]
    every: Option<Duration>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if output.format == Format::Json {
            return Err(Failure::usage("metrics are in Prometheus's text format")
                .tip("shmtls stat --format json has the same figures"));
        }
        let scrape = || scrape::in_a_process(&self.segments);
        match (&self.listen, &self.file, self.every) {
            (Some(address), ..) => server::run(&address.bind(self.allow_remote)?, &scrape),
            (None, Some(file), Some(every)) => file::write_every(file, every, scrape),
            (None, Some(file), None) => self.once(|text| file::write(file, text)),
            (None, None, _) => self.once(|text| Ok(output::write(text)?)),
        }
    }

    /// Of those that were named each should be there: the first that is not is told, at the end.
    fn once(&self, write: impl FnOnce(&str) -> Result<(), Failure>) -> Result<Exit, Failure> {
        let mut failures = Vec::new();
        let mut samples = Vec::new();
        for (label, segment) in self.segments() {
            let sample = segment.and_then(|segment| Sample::of(&segment));
            samples.push((label, sample.map_err(|failure| failures.push(failure)).ok()));
        }
        write(&families::of(&samples))?;
        match failures.into_iter().next() {
            Some(failure) if !self.segments.is_empty() => Err(failure),
            _ => Ok(Exit::Fine),
        }
    }

    /// What the user calls them, and where they are.
    fn segments(&self) -> Vec<(String, Result<Segment, Failure>)> {
        if self.segments.is_empty() {
            let all = Segment::all().into_iter();
            return all.map(|segment| (segment.label().into(), Ok(segment))).collect();
        }
        let mut named = self.segments.clone();
        named.sort();
        named.dedup();
        named.into_iter().map(|text| (text.clone(), Segment::parse(&text))).collect()
    }
}
