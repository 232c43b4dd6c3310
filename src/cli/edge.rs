//! The command line of a build that only predicts.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod console;
mod context;
mod global;
mod inputs;
mod prediction;
mod process;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;
use crate::export::Exported;
use context::Context;
use global::Global;
use inputs::{SourceArgs, embed_all};
use process::Status;

/// Classify images and texts with a model from `engraft export`.
#[derive(Debug, Parser)]
#[command(name = "engraft", version, about, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 more rejects than --max-rejects, 130 interrupted.\n\
This build only predicts, and reads no Parquet and no TIFF; the full one does, trains and exports."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Predict(Predict),
}

/// Classify images or texts with an exported model
///
/// One line for each input: id, label, probability, separated by tabs; with --json one JSON object a line, as the full build
/// writes them.
///
/// Examples:
///   engraft predict model.onnx new-photos/
///   echo "what a lovely day" | engraft predict model.onnx - --top-k 2
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct Predict {
    /// A model from `engraft export`
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Images or texts: folders, files, tables (csv, tsv, jsonl), archives, or - for standard input
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// How many classes to name for each input [default: 1; of a multi-label model, those of probability 0.5 and more]
    #[arg(long, value_name = "K", value_parser = inputs::count)]
    top_k: Option<NonZeroUsize>,
    #[command(flatten)]
    source: SourceArgs,
}

/// Parses the process's arguments, runs the verb, reports its error.
pub fn main() -> ExitCode {
    process::main(|Cli { global, verb: Verb::Predict(predict) }| predict.run(&Context::new(global)?))
}

impl Predict {
    fn run(self, context: &Context) -> Result<Status> {
        let exported = Exported::read(&self.model)?;
        let loaded = embed_all(context, &self.inputs, (&self.source, &[]), &exported.as_backbone()?)?;
        let (rows, features) = (loaded.features.len(), loaded.features);
        let (scored, _) = exported.scored(features.matrix)?;
        prediction::tell(context, &exported.head, &features.ids, &scored, self.top_k.map(NonZeroUsize::get))?;
        Ok(self.source.status(loaded.rejects.len(), rows))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::process::command::<super::Cli>().debug_assert();
    }
}
