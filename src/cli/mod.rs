//! The command line: one file a verb. The only code that knows clap, prints, or chooses an exit code.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod audit;
mod bench;
mod classifier;
mod completions;
mod confidence;
mod console;
mod context;
mod curve;
mod demo;
mod doctor;
mod embed;
mod eval;
mod export;
mod fit;
mod graph;
mod inputs;
mod inspect;
mod judging;
mod model_args;
mod models;
mod multi_label;
mod predict;
mod rank;
mod report;
mod results;
mod setup;
mod suggest;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::backbone::Device;
use crate::error::{Error, Result};
use crate::guard;
use context::Context;

/// Transfer learning without a Python stack: embed, train a linear probe, prove it, ship one ONNX file.
#[derive(Debug, Parser)]
#[command(name = "engraft", version, about, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Start here:  engraft demo\nEach flag has an environment variable: --batch-size is ENGRAFT_BATCH_SIZE.\n\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 more rejects than --max-rejects, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Args)]
struct Global {
    /// Write one machine-readable JSON result to stdout
    #[arg(long, global = true)]
    json: bool,
    /// auto, cpu, cuda[:N], tensorrt[:N], openvino, coreml, directml or xnnpack
    #[arg(long, global = true, value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// Cores to use [default: all that this process may use]
    #[arg(long, global = true, value_name = "N", value_parser = inputs::count)]
    threads: Option<std::num::NonZeroUsize>,
    /// Seed of every random choice
    #[arg(long, global = true, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    verbose: bool,
    /// The ONNX Runtime library to use, instead of searching for one
    #[arg(long, global = true, value_name = "FILE")]
    ort_lib: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Setup(setup::Setup),
    Doctor(doctor::Doctor),
    Models(models::Models),
    Embed(embed::Embed),
    Inspect(inspect::Inspect),
    Audit(audit::Audit),
    Suggest(suggest::Suggest),
    Rank(rank::Rank),
    Curve(curve::Curve),
    Train(train::Train),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Export(export::Export),
    Bench(bench::Bench),
    Graph(graph::Graph),
    Demo(demo::Demo),
    Completions(completions::Completions),
}

/// How a verb ended when it did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Done,
    TooManyRejects,
}

/// Parses the process's arguments, runs the verb, reports its error.
pub fn main() -> ExitCode {
    keep_guarded_panics_quiet();
    let matches = command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    let outcome = Context::new(cli.global).and_then(|context| run(cli.verb, &context));
    match outcome {
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

fn run(verb: Verb, context: &Context) -> Result<Status> {
    match verb {
        Verb::Setup(verb) => verb.run(context),
        Verb::Doctor(verb) => verb.run(context),
        Verb::Models(verb) => verb.run(context),
        Verb::Embed(verb) => verb.run(context),
        Verb::Inspect(verb) => verb.run(context),
        Verb::Audit(verb) => verb.run(context),
        Verb::Suggest(verb) => verb.run(context),
        Verb::Rank(verb) => verb.run(context),
        Verb::Curve(verb) => verb.run(context),
        Verb::Train(verb) => verb.run(context),
        Verb::Eval(verb) => verb.run(context),
        Verb::Predict(verb) => verb.run(context),
        Verb::Export(verb) => verb.run(context),
        Verb::Bench(verb) => verb.run(context),
        Verb::Graph(verb) => verb.run(context),
        Verb::Demo(verb) => verb.run(context),
        Verb::Completions(verb) => verb.run(),
    }
}

fn command() -> clap::Command {
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

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
