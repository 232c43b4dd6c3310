//! The flags that say how inputs are read and run.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::super::{Context, Status};
use crate::backbone::RunPrecision;
use crate::error::Result;
use crate::extract::Options;
use crate::source::{Modality, Separator, SourceOptions, TableOptions};

/// How inputs are read and run.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Inputs")]
pub(in super::super) struct SourceArgs {
    /// The table's column that holds the text
    #[arg(long, value_name = "COLUMN")]
    text_column: Option<String>,
    /// The table's column that holds the image's path
    #[arg(long, value_name = "COLUMN")]
    path_column: Option<String>,
    /// The table's column that holds the label
    #[arg(long, value_name = "COLUMN")]
    label_column: Option<String>,
    /// The table's column that holds the id [default: id where there is such a column, else FILE:N with the row's line in
    /// csv, tsv (from 1, the header) and jsonl (from 1), the row's place in parquet (from 0)]
    #[arg(long, value_name = "COLUMN")]
    id_column: Option<String>,
    /// Items on standard input end with a zero byte, as find -print0 writes them, not with a line end
    #[arg(long, short = '0')]
    null: bool,
    /// Samples in a batch, or auto: what is fastest on the first batches
    #[arg(long, value_name = "N|auto", default_value = "auto")]
    batch_size: Measured,
    /// Tokens in a batch of texts, padding included, where no batch size is given
    #[arg(long, value_name = "N|auto", default_value = "auto")]
    batch_tokens: Measured,
    /// Sessions that run side by side, or auto: one a core on the CPU, two on an accelerator
    #[arg(long, value_name = "N|auto", default_value = "auto")]
    workers: Measured,
    /// Precision of the backbone's arithmetic: f32 or f16, which is tried against f32 first
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = json_word::<RunPrecision>)]
    precision_run: RunPrecision,
    /// Write what each thread did when to this file, for Perfetto or chrome://tracing; an earlier trace is replaced
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// How many inputs may be rejected before the exit code is 3: a number or a percentage
    #[arg(long, value_name = "N|P%", default_value = "0")]
    max_rejects: MaxRejects,
}

/// The limit of `--max-rejects`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in super::super) enum MaxRejects {
    Count(usize),
    Percent(f64),
}

/// A number that may be left to measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Measured {
    Auto,
    Given(NonZeroUsize),
}

impl Measured {
    fn given(self) -> Option<usize> {
        match self {
            Self::Auto => None,
            Self::Given(n) => Some(n.get()),
        }
    }
}

impl FromStr for Measured {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            n => n.parse().map(Self::Given).map_err(|_| "give auto or a whole number, 1 or more".to_owned()),
        }
    }
}

impl FromStr for MaxRejects {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|p| (0.0..=100.0).contains(p)).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| "give a number, such as 10, or a percentage, such as 0.1%".to_owned())
    }
}

impl SourceArgs {
    /// The exit status that a number of rejects means.
    pub(in super::super) fn status(&self, rejects: usize, rows: usize) -> Status {
        let allowed = match self.max_rejects {
            MaxRejects::Count(n) => rejects <= n,
            MaxRejects::Percent(p) => rejects as f64 <= p / 100.0 * (rejects + rows) as f64,
        };
        if allowed { Status::Done } else { Status::TooManyRejects }
    }

    /// How the pipeline runs.
    pub(super) fn pipeline(&self, context: &Context) -> Options {
        Options {
            device: context.device,
            threads: context.threads.get(),
            workers: self.workers.given(),
            batch_size: self.batch_size.given(),
            batch_tokens: self.batch_tokens.given(),
            run_precision: self.precision_run,
            trace: self.trace.clone(),
            ..Options::default()
        }
    }

    /// Where the trace goes.
    pub(in super::super) fn trace(&self) -> Option<&Path> {
        self.trace.as_deref()
    }

    /// The same flags, with another column for the ids where one is named.
    pub(in super::super) fn with_id_column(&self, column: Option<&str>) -> Self {
        Self { id_column: column.map(str::to_owned).or_else(|| self.id_column.clone()), ..self.clone() }
    }

    /// What is read of inputs of this kind, with these columns besides.
    pub(in super::super) fn options(&self, modality: Modality, keep: &[String]) -> SourceOptions {
        let table = TableOptions {
            text_column: self.text_column.clone(),
            path_column: self.path_column.clone(),
            label_column: self.label_column.clone(),
            id_column: self.id_column.clone(),
        };
        let separator = if self.null { Separator::Nul } else { Separator::Newline };
        SourceOptions { modality, table, keep: keep.to_vec(), separator }
    }
}

/// Reads an enum by the name it has in manifests.
pub(in super::super) fn json_word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// A number of things that there must be at least one of.
pub(in super::super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a whole number, 1 or more".to_owned())
}
