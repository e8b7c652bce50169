//! `shmtls man`: manual pages, made from the same definition as the help texts.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls man | man -l -                      the page of the program
  shmtls man --output /usr/share/man/man1    that page, and one for each subcommand";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write all pages into this directory, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(&self, mut command: clap::Command) -> Result<Exit, Failure> {
        command.build();
        let Some(directory) = &self.output else {
            output::write(&String::from_utf8_lossy(&page(&command)?))?;
            return Ok(Exit::Fine);
        };
        let cannot = |error: io::Error| {
            Failure::cannot_open(format!("cannot write to {}: {error}", directory.display()))
        };
        fs::create_dir_all(directory).map_err(cannot)?;
        for command in with_subcommands(&command) {
            // `shmtls list` has shmtls-list.1, as git has it.
            let name = command.get_display_name().unwrap_or(command.get_name());
            let path = directory.join(format!("{name}.1"));
            fs::write(&path, page(command)?).map_err(cannot)?;
            output::write(&format!("{}\n", path.display()))?;
        }
        Ok(Exit::Fine)
    }
}

/// A command, and all below it that people type.
fn with_subcommands(command: &clap::Command) -> Vec<&clap::Command> {
    let typed = |it: &&clap::Command| it.get_name() != "help" && !it.is_hide_set();
    let below = command.get_subcommands().filter(typed).flat_map(with_subcommands);
    std::iter::once(command).chain(below).collect()
}

/// The usual sections, and what follows the help text: EXAMPLES or EXIT CODES.
fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone()).source(concat!("shmtls ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some((head, body)) = after.split_once(":\n") {
        let mut roff = Roff::new();
        roff.control("SH", [head.to_uppercase().as_str()]);
        roff.control("nf", []);
        body.lines().for_each(|line| {
            roff.text([roman(line)]);
        });
        roff.control("fi", []);
        roff.to_writer(&mut page)?;
    }
    if command.has_subcommands() {
        environment(&mut page)?;
    }
    Ok(page)
}

fn environment(page: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    let variables = [
        ("SHMTLS_SEGMENT", "the segment, where the command line names none"),
        ("LISTEN_FDS, LISTEN_FDNAMES", "what systemd handed over, for fd:NAME"),
        ("NO_COLOR", "no colours, whatever the terminal can do"),
    ];
    for (name, meaning) in variables {
        roff.control("TP", []);
        roff.text([bold(name)]);
        roff.text([roman(meaning)]);
    }
    roff.to_writer(page)
}
