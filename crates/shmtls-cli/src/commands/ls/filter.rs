//! Which sessions are shown.

use std::time::{Duration, SystemTime};

use shmtls::EntryInfo;

use super::row::{Writers, protocol};
use crate::context::{self, Wanted};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::quantity;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Filters")]
pub(super) struct Filter {
    /// Of this context: the 8 hex digits that ls shows, the 16 of the whole context, the 32 or 64
    /// of a digest, or a name
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Of this protocol: 1.2, 1.3, "TLS 1.3", "DTLS 1.2"
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// At least so large
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    min_size: Option<u64>,
    /// At most so large
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes)]
    max_size: Option<u64>,
    /// Stored at least so long ago
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    older: Option<Duration>,
    /// Stored at most so long ago
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    younger: Option<Duration>,
    /// Past their expiry, and not cleared away yet
    #[arg(long)]
    expired: bool,
    /// Stored by this process
    #[arg(long, value_name = "PID")]
    writer: Option<u32>,
    /// Taken by their first resumption
    #[arg(long)]
    single_use: bool,
}

impl Filter {
    pub(super) fn is_of_context(&self, entry: &EntryInfo) -> bool {
        let wanted = self.context.as_deref().map(Wanted::parse);
        wanted.is_none_or(|wanted| wanted.is(entry.context()))
    }

    /// Where no session is.
    pub(super) fn note_unknown_context(&self) {
        self.context.as_deref().inspect(|text| context::note_that_none_has(text));
    }

    /// All but the context.
    pub(super) fn matcher(
        &self,
        writers: &Writers,
    ) -> Result<impl Fn(&EntryInfo) -> bool, Failure> {
        let protocol = self.protocol.as_deref().map(parse_protocol).transpose()?;
        let writers = self.writer.map(|pid| numbers_of(writers, pid)).transpose()?;
        let now = SystemTime::now();
        Ok(move |entry: &EntryInfo| {
            let age = now.duration_since(entry.created()).unwrap_or_default();
            let size = entry.len() as u64;
            protocol.is_none_or(|protocol| entry.protocol() == protocol)
                && self.min_size.is_none_or(|least| size >= least)
                && self.max_size.is_none_or(|most| size <= most)
                && self.older.is_none_or(|least| age >= least)
                && self.younger.is_none_or(|most| age <= most)
                && (!self.expired || entry.expiry().has_passed())
                && writers.as_ref().is_none_or(|numbers| numbers.contains(&entry.writer()))
                && (!self.single_use || entry.is_single_use())
        })
    }
}

/// A name that [`protocol`] gives, with or without its `TLS `.
fn parse_protocol(text: &str) -> Result<u16, Failure> {
    let known = [0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0xFEFF, 0xFEFD, 0xFEFC];
    let wanted = text.replace(['v', ' '], "").to_uppercase();
    let wanted = wanted.strip_prefix("TLS").unwrap_or(&wanted);
    let is_wanted = |version: &u16| {
        let name = protocol(*version).unwrap_or_default().replace(' ', "");
        name.strip_prefix("TLS").unwrap_or(&name) == wanted
    };
    known.into_iter().find(is_wanted).ok_or_else(|| {
        Failure::usage(format!("'{text}' is no protocol")).tip("1.2, 1.3, 'TLS 1.3', 'DTLS 1.2'")
    })
}

/// By which sessions name the process.
fn numbers_of(writers: &Writers, pid: u32) -> Result<Vec<u16>, Failure> {
    let numbers = writers.numbers_of(pid);
    if numbers.is_empty() {
        let text = format!("process {pid} has no line in the process table");
        return Err(Failure::new(Exit::NotMet, text)
            .tip("shmtls procs; sessions do not say which PID a process had that is gone"));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_as_people_write_them() {
        for text in ["1.3", "TLS 1.3", "TLSv1.3", "tls1.3"] {
            assert_eq!(parse_protocol(text).expect(text), 0x0304);
        }
        assert_eq!(parse_protocol("DTLSv1.2").expect("known"), 0xFEFD);
        assert_eq!(parse_protocol("ssl 3.0").expect("known"), 0x0300);
        for text in ["", "2.0", "quic"] {
            assert!(parse_protocol(text).is_err(), "{text}");
        }
    }
}
