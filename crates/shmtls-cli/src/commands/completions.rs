//! `shmtls completions`: a script that teaches a shell the command line.

use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;

pub(crate) const EXAMPLES: &str = "\
Examples:
  shmtls completions bash > /usr/share/bash-completion/completions/shmtls
  shmtls completions zsh > ~/.zfunc/_shmtls
  shmtls completions fish > ~/.config/fish/completions/shmtls.fish";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: Shell,
}

impl Args {
    pub(crate) fn run(&self, mut command: clap::Command) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "shmtls", &mut script);
        output::write(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Fine)
    }
}
