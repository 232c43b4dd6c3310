//! The command line: one file a verb. The only code that knows clap, prints, or chooses an exit code.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod adaptation;
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
mod global;
mod graph;
mod inputs;
mod inspect;
mod judging;
mod model_args;
mod models;
mod multi_label;
mod predict;
mod prediction;
mod process;
mod rank;
mod report;
mod results;
mod setup;
mod shift;
mod suggest;
mod train;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;
use context::Context;
use global::Global;
use process::Status;

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
    Shift(shift::Shift),
    Train(Box<train::Train>),
    Tune(tune::Tune),
    Eval(eval::Eval),
    Predict(predict::Predict),
    Export(export::Export),
    Bench(bench::Bench),
    Graph(graph::Graph),
    Demo(demo::Demo),
    Completions(completions::Completions),
}

/// Parses the process's arguments, runs the verb, reports its error.
pub fn main() -> ExitCode {
    process::main(|cli: Cli| run(cli.verb, &Context::new(cli.global)?))
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
        Verb::Shift(verb) => verb.run(context),
        Verb::Train(verb) => verb.run(context),
        Verb::Tune(verb) => verb.run(context),
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
    process::command::<Cli>()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
