//! `shmtls metrics`: the figures of segments in Prometheus's text format, once, into a file again
//! and again, or over HTTP.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format, Output};
use crate::quantity;
use crate::segment;
use crate::signals;
use address::Address;
use remarks::Remarks;
use scrape::Scraper;

mod address;
mod child;
mod counters;
mod file;
mod http;
mod look;
mod remarks;
mod scrape;
mod server;
mod state;
mod text;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls metrics                                 of all segments, once
  shmtls metrics web api --listen 127.0.0.1:9798
  shmtls metrics --output /var/lib/node_exporter/textfile/shmtls.prom -w 15s
  curl -s http://127.0.0.1:9798/metrics | grep gets_total";

/// Export figures in Prometheus's text format, once, to a file, or over HTTP
///
/// A segment that cannot be opened has shmtls_up 0, and a remark on stderr. Each look opens all of
/// them anew, so one that comes, goes or is replaced is followed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// NAME, a path, pid:PID or fd:NAME, any number; without one all that there are
    #[arg(value_name = "SEGMENT", env = "SHMTLS_SEGMENT")]
    segments: Vec<String>,
    /// Answer GET http://HOST:PORT/metrics until interrupted; port 0 is any that is free
    #[arg(long, value_name = "HOST:PORT", value_parser = address::parse)]
    listen: Option<Address>,
    /// Also where other machines can ask
    #[arg(long, requires = "listen")]
    allow_remote: bool,
    /// Write to this file, which is replaced whole: for node_exporter's textfile collector
    #[arg(long, value_name = "FILE", conflicts_with = "listen")]
    output: Option<PathBuf>,
    /// Write the file every DURATION (15s, 1m) until interrupted
    #[arg(
        short = 'w',
        long = "watch",
        value_name = "DURATION",
        value_parser = quantity::interval,
        requires = "output",
        conflicts_with = "listen"
    )]
    every: Option<Duration>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        if output.format == Format::Json {
            return Err(Failure::usage("metrics are in Prometheus's text format, not in JSON")
                .tip("shmtls stat SEGMENT --format json"));
        }
        match (&self.listen, &self.output, self.every) {
            (Some(address), ..) => self.serve(address),
            (_, Some(file), Some(every)) => self.write_again_and_again(file, every),
            (_, Some(file), None) => {
                file::replace(file, &look::exposition(self.names())?)?;
                Ok(Exit::Fine)
            }
            _ => {
                output::write(&look::exposition(self.names())?)?;
                Ok(Exit::Fine)
            }
        }
    }

    fn names(&self) -> &[String] {
        match &self.segments[..] {
            [only] if segment::is_unset(only) => &[],
            all => all,
        }
    }

    fn serve(&self, address: &Address) -> Result<Exit, Failure> {
        address.check(self.allow_remote)?;
        signals::end_on_terminate();
        let listener = address.listen()?;
        let scraper = Scraper::new(self.names())?;
        output::note(&format!("listening on http://{}/metrics", address::of(&listener)?));
        server::serve(&listener, &scraper);
        Ok(Exit::Fine)
    }

    /// What hinders the first time ends it: it is there to be put right. Later it may pass.
    fn write_again_and_again(&self, file: &Path, every: Duration) -> Result<Exit, Failure> {
        signals::end_on_terminate();
        let scraper = Scraper::new(self.names())?;
        file::replace(file, &scraper.scrape()?)?;
        let remarks = Remarks::default();
        loop {
            thread::sleep(every);
            let written = scraper.scrape().and_then(|text| file::replace(file, &text));
            let remark = written.err().map(|failure| format!("note: {}\n", failure.text()));
            remarks.tell(remark.unwrap_or_default());
        }
    }
}
