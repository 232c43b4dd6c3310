//! A process: its arguments, its exit code.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use crate::error::{Error, Result};
use crate::guard;

/// How a verb ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    TooManyRejects,
}

/// Parses the process's arguments, does what they say, reports the error.
pub(super) fn main<Cli: CommandFactory + FromArgMatches>(run: impl FnOnce(Cli) -> Result<Status>) -> ExitCode {
    keep_guarded_panics_quiet();
    let matches = command::<Cli>().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    match run(cli) {
        Ok(Status::Done) => ExitCode::SUCCESS,
        Ok(Status::TooManyRejects) => ExitCode::from(3),
        Err(e) => {
            // The reader of a pipe that has gone wants nothing more.
            if matches!(&e, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::BrokenPipe) {
                return ExitCode::SUCCESS;
            }
            eprintln!("engraft: {e}");
            match e {
                Error::Usage(_) | Error::Exists(_) => ExitCode::from(2),
                Error::Interrupted => ExitCode::from(130),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Panics that become errors are told as errors alone; any other is reported as usual.
fn keep_guarded_panics_quiet() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !guard::is_guarded() {
            report(panic);
        }
    }));
}

/// The command line with the environment variables of its flags.
pub(super) fn command<Cli: CommandFactory>() -> clap::Command {
    with_environment(Cli::command())
}

/// Gives each flag its environment variable: `--batch-size` reads `ENGRAFT_BATCH_SIZE`. Switches take 1, 0, yes, no,
/// true and false there.
fn with_environment(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long() {
        Some(long) if !matches!(long, "help" | "version") => {
            let name = format!("ENGRAFT_{}", long.replace('-', "_").to_uppercase());
            let arg = arg.env(name).hide_env(true);
            match arg.get_action() {
                clap::ArgAction::SetTrue => arg.value_parser(clap::builder::BoolishValueParser::new()),
                // `-1` is then a wrong value of the flag, not an unknown flag.
                _ => arg.allow_negative_numbers(true),
            }
        }
        _ => arg,
    });
    command.mut_subcommands(with_environment)
}
