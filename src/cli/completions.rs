//! `engraft completions`.

use super::{Status, command};
use crate::error::{Error, Result};

/// Write a shell's completion script to stdout
///
/// Example: engraft completions bash > ~/.local/share/bash-completion/completions/engraft
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<Status> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "engraft", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(Error::io("write", "stdout"))?;
        Ok(Status::Done)
    }
}
