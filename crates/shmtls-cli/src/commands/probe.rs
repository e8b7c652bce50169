//! `shmtls probe`: real TLS connections measure how a server resumes, whatever the server.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::table::Align::{Left, Right};
use crate::output::table::{Cell, Table};
use crate::output::{Output, Report, page::Page, style};
use crate::probe::client::{Client, Kind, Target};
use crate::probe::measure::{Plan, measure};
use crate::probe::place::Place;
use crate::quantity;
use row::{Row, State};

mod row;
mod words;

#[cfg(test)]
mod tests;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls probe example.org:443             how does it resume?
  shmtls probe localhost:8443 --min 95     exit status 1 unless 95 % of all attempts resume
  shmtls probe 10.0.0.7:443 --sni example.org --tls 1.3 --parallel 8
  shmtls probe localhost:8443 --http       with a request, after which the server closes";

/// Measure how a server resumes, with real TLS connections
///
/// For TLS 1.2 session IDs, TLS 1.2 tickets and TLS 1.3 a few full handshakes come first. Then each
/// connection offers one of their sessions, picked at random. N workers that share nothing resume
/// one in N, sharing workers resume all.
///
/// Connections are made one after the other, to the one address named. Certificates are NOT
/// checked, since nothing is sent that they would protect. No data is sent either, unless --http.
///
/// Not to be seen from outside: whether several workers answered at all. An idle server may hand
/// every connection to the same worker; then --parallel 8 reaches more of them. A load balancer in
/// front is measured together with what is behind it.
///
/// Exits with 1 if --min is not reached, and with 3 if there is no handshake.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server, such as example.org:443 or [::1]:8443
    #[arg(value_name = "HOST:PORT")]
    place: Place,
    /// How many connections offer a session, of each kind
    #[arg(short = 'n', long, value_name = "N", default_value = "40",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Exit with 1 if a kind that the server offers, or all of them, resumes less than this
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    min: Option<f64>,
    /// The server's name in the hello [default: HOST, unless it is an address]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    sni: Option<String>,
    /// What to measure
    #[arg(long, value_name = "VERSION", default_value = "all")]
    tls: Tls,
    /// Protocols to offer in the hello, such as h2,http/1.1
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = protocol)]
    alpn: Vec<String>,
    /// Send `HEAD /` on each connection, and let the server close first.
    ///
    /// So a server is found out that closes without close_notify and thereby removes the session;
    /// and some servers send their TLS 1.3 tickets with their first answer only.
    #[arg(long)]
    http: bool,
    /// Open K connections at the same time, so that more workers answer
    #[arg(long, value_name = "K", default_value = "1",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    parallel: u32,
    /// How long a connection may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    timeout: Duration,
    /// Wait this long between connections
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = quantity::duration)]
    interval: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tls {
    /// Session IDs and tickets
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
    All,
}

#[derive(Debug, Serialize)]
struct Probe {
    target: String,
    address: String,
    sni: Option<String>,
    http: bool,
    parallel: u32,
    min_percent: Option<f64>,
    kinds: Vec<Row>,
}

impl Args {
    pub(crate) fn run(&self, output: &Output) -> Result<Exit, Failure> {
        let target = self.target()?;
        let rows = self.tls.kinds().iter().map(|kind| self.measure(*kind, &target));
        let kinds = rows.collect::<Result<Vec<_>, _>>()?;
        if let [Row { state: State::Refused { reason }, .. }, ..] = &kinds[..]
            && kinds.iter().all(|row| matches!(row.state, State::Refused { .. }))
        {
            let text = format!("{}: {reason}", self.place);
            return Err(words::with_tip(reason, Failure::cannot_open(text)));
        }
        let report = Probe {
            target: self.place.to_string(),
            address: target.address.to_string(),
            sni: target.sni,
            http: self.http,
            parallel: self.parallel,
            min_percent: self.min,
            kinds,
        };
        output.show(&report)?;
        Ok(report.outcome())
    }

    fn target(&self) -> Result<Target, Failure> {
        let address = self
            .place
            .resolve(self.timeout)
            .map_err(|why| Failure::cannot_open(format!("{}: {why}", self.place)))?;
        let sni = self.sni.clone().or_else(|| self.place.name().map(Into::into));
        let host = sni.as_deref().unwrap_or(&self.place.host);
        let request = if self.http { head_request(host) } else { Vec::new() };
        Ok(Target { address, sni, alpn: self.alpn.clone(), request, timeout: self.timeout })
    }

    /// A version that the server does not speak is a row, and no failure.
    fn measure(&self, kind: Kind, target: &Target) -> Result<Row, Failure> {
        let client = Client::new(kind, target)
            .map_err(|e| Failure::cannot_open(format!("cannot make a TLS client: {e}")))?;
        let plan =
            Plan { attempts: self.connections, parallel: self.parallel, interval: self.interval };
        let measured = measure(plan, |session| client.visit(session));
        Ok(Row::new(kind, measured, self.min))
    }
}

impl Tls {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::V1_2 => &[Kind::Id12, Kind::Ticket12],
            Self::V1_3 => &[Kind::Tls13],
            Self::All => &[Kind::Id12, Kind::Ticket12, Kind::Tls13],
        }
    }
}

impl Report for Probe {
    const NAME: &'static str = "probe";

    fn text(&self, page: &mut Page) {
        let name = self.sni.as_ref().map_or("no name sent".into(), |name| format!("as {name}"));
        page.line(format!("{} at {}, {name}", style::plain(&self.target), self.address));
        let mut table = Table::new(&[
            ("KIND", Left),
            ("RESUMED", Right),
            ("RATE", Right),
            ("FULL", Right),
            ("SHORT", Right),
            ("FINDING", Left),
        ]);
        self.kinds.iter().for_each(|row| table.row(row.cells(self.min_percent)));
        page.table(&table);
        for remark in words::remarks(self) {
            page.line(format!("* {remark}"));
        }
    }

    /// A server that offers no way at all to come back is below every minimum.
    fn outcome(&self) -> Exit {
        let Some(min) = self.min_percent else { return Exit::Fine };
        let nothing = min > 0.0 && self.kinds.iter().all(|row| row.counts().is_none());
        if nothing || self.kinds.iter().any(|row| row.below_min) {
            Exit::NotMet
        } else {
            Exit::Fine
        }
    }
}

impl Row {
    fn cells(&self, min: Option<f64>) -> [Cell; 6] {
        let counts = self.counts();
        let below = min.filter(|_| self.below_min).map(|min| format!("below {min} %: "));
        let finding = below.unwrap_or_default() + &words::finding(self);
        [
            words::kind(self.kind).into(),
            Cell::maybe(counts.map(|it| format!("{}/{}", it.resumed, it.attempts))),
            Cell::maybe(counts.and_then(|it| it.rate()).map(words::rate)),
            Cell::maybe(self.full_handshake_us.map(words::millis)),
            Cell::maybe(self.resumed_handshake_us.map(words::millis)),
            Cell::new(words::colour(self), finding),
        ]
    }
}

fn head_request(host: &str) -> Vec<u8> {
    format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").into_bytes()
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.trim_end_matches('%').trim_end().parse();
    let valid = number.ok().filter(|percent| (0.0..=100.0).contains(percent));
    valid.ok_or_else(|| "a number from 0 to 100".into())
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = quantity::duration(text)?;
    if timeout.is_zero() { Err("at least 1ms".into()) } else { Ok(timeout) }
}

/// RFC 7301 has names of 1 to 255 bytes.
fn protocol(name: &str) -> Result<String, String> {
    if (1..=255).contains(&name.len()) { Ok(name.into()) } else { Err("1 to 255 bytes".into()) }
}
