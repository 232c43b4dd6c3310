//! `engraft embed`.

mod files;
mod lines;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub(super) use files::{Files, Rejected, rejects_beside};
use lines::Lines;

use super::inputs::{self, End, Job, Ran, SourceArgs};
use super::model_args::ModelArgs;
use super::{Context, Status};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::extract::{Sink, Summary};
use crate::features::{Claim, Existing, Format, Part, Precision, Provenance, Rejects, RunKey, ShardFolder, check_kept};
use crate::source::{Reject, exist};

/// Embed images or texts with a pretrained backbone
///
/// INPUT is a folder of images (its sub-folders are the classes, or a metadata.csv says more), an image, a table (csv,
/// tsv, jsonl, parquet) with a column of texts, of paths or of images, a WebDataset tar (train-{000..099}.tar), a pattern
/// ('photos/*.jpg'), or - for lines on stdin. Every input is in the output or in the rejects, exactly once.
///
/// Into a folder, what is done stays done: the same command goes on where it was stopped, and a kill costs at most the last
/// minute. journal.jsonl in it says what is done, rejects.jsonl what could not be embedded. Inputs are told by their ids, and
/// texts by their content: an image that is replaced under its name is not embedded again without --overwrite. Exit code 3
/// means more rejects than --max-rejects, though every input may be one: then rejects are listed, and there is no row and no
/// output. Where an output was there with --overwrite it stays, and the exit code is 1.
///
/// With --json, one line of JSON on stdout says what the output holds and what the run did, after Ctrl-C into a folder too
/// ("interrupted": true); what was not measured is null. With -o -, where stdout has the rows, it is on stderr.
///
/// Examples:
///   engraft embed photos/ --model efficientnet-lite0 -o photos.parquet
///   engraft embed photos/ --model efficientnet-lite0 -o features/ --layers -1,-2
///   engraft embed reviews.csv --model all-minilm-l6-v2 -o reviews/ --label-column stars --keep product
///   find photos -print0 | engraft embed - -0 --model efficientnet-lite0 -o photos.npy
///   cat lines.txt | engraft embed - --model all-minilm-l6-v2 -o -
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Embed {
    /// Folders, images, tables, or - for stdin
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// A .parquet, .npy or .safetensors file, a folder (with a trailing /) for Parquet shards, or - for JSON lines on
    /// stdout
    #[arg(long, short, value_name = "OUT")]
    output: PathBuf,
    /// Replace an output that is there, once the new one (of a folder, its first shard) is ready
    #[arg(long)]
    overwrite: bool,
    /// Embed again what was rejected in an earlier run into this folder, with the shards that it belongs to; each is replaced
    /// once it is complete, if a row was gained and none lost, and one that was not complete begins anew
    #[arg(long, conflicts_with = "overwrite")]
    retry_rejects: bool,
    /// Of the stored values: f32 or f16
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = inputs::json_word::<Precision>)]
    precision: Precision,
    /// Store this column of the table, or key of a tar's .json, with the embeddings, as text whatever its type; may be given
    /// several times
    #[arg(long, value_name = "COLUMN")]
    keep: Vec<String>,
    /// Inputs of a shard; one that is open for a minute is closed earlier [default: 65536]
    #[arg(long, value_name = "N", value_parser = inputs::count)]
    shard_entries: Option<std::num::NonZeroUsize>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// Where the rows go, made sure of before a backbone is fetched.
enum Output {
    Lines,
    Folder(Box<Claim>),
    Files(Box<Files>),
}

impl Output {
    fn open(path: &Path, existing: Existing, rejects: Rejects) -> Result<Self> {
        let format = if path == Path::new("-") { None } else { Some(Format::from_path(path)?) };
        Ok(match format {
            Some(Format::Shards) => Self::Folder(Box::new(Claim::new(path, existing)?.with_rejects(rejects))),
            _ if rejects == Rejects::Retry => {
                let reason = "--retry-rejects goes on with a folder: a file is made anew with --overwrite";
                return Err(Error::Usage(reason.to_owned()));
            }
            None => Self::Lines,
            Some(_) => Self::Files(Box::new(Files::new(path, existing)?)),
        })
    }
}

/// What the output holds in the end, and what this run did.
#[derive(Debug, Serialize)]
struct Outcome {
    /// Rows, rejects and cut texts are those of the whole output, the rest is of this run.
    #[serde(flatten)]
    summary: Summary,
    /// Rows that were in the output before this run.
    resumed_rows: u64,
    /// Whether Ctrl-C ended the run: the same command goes on.
    interrupted: bool,
    #[serde(skip)]
    first_reject: Option<Reject>,
    #[serde(skip)]
    rejects_path: Option<PathBuf>,
}

impl Outcome {
    fn new(summary: Summary, Rejected { path, first }: Rejected) -> Self {
        let (rejects_path, first_reject) = (path, first);
        Self { summary, resumed_rows: 0, interrupted: false, first_reject, rejects_path }
    }
}

impl Embed {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        check_kept(&self.keep)?;
        let existing = if self.overwrite { Existing::Replace } else { Existing::Refuse };
        let rejects = if self.retry_rejects { Rejects::Retry } else { Rejects::Keep };
        let output = Output::open(&self.output, existing, rejects)?;
        exist(&self.inputs)?;
        self.spare_inputs()?;
        let backbone = self.model.resolve(context)?;
        let job = inputs::open(context, &self.inputs, &self.source, (&self.keep, self.precision), &backbone)?;
        let outcome = match output {
            Output::Lines => self.to_stdout(context, job)?,
            Output::Folder(claim) => self.to_folder(context, job, *claim)?,
            Output::Files(files) => self.to_files(context, job, *files)?,
        };
        let ended = self.ended(context, &outcome);
        match (context.json, self.output == Path::new("-")) {
            (true, false) => context.result(&outcome, String::new)?,
            (true, true) => context.result_beside_data(&outcome)?,
            (false, _) => {}
        }
        ended
    }

    /// Tells of the outcome, and how the verb ends by it.
    fn ended(&self, context: &Context, outcome: &Outcome) -> Result<Status> {
        let Summary { rows, rejects, .. } = outcome.summary;
        if outcome.interrupted {
            return Err(Error::Interrupted);
        }
        if rows == 0 {
            let nothing = inputs::nothing_embedded(outcome.first_reject.as_ref(), rejects);
            if rejects == 0 {
                return Err(nothing);
            }
            match &outcome.rejects_path {
                Some(path) => context.console.say(&format!("{nothing}; see {}", path.display())),
                None if self.output == Path::new("-") => context.console.say(&nothing.to_string()),
                // Rejects are listed beside a new output alone.
                None => return Err(Error::Data(format!("{nothing}; what was in {} stays", self.output.display()))),
            }
        } else if !context.json {
            context.console.say(&self.told(outcome));
        }
        let status = self.source.status(rejects, rows);
        if matches!(status, Status::TooManyRejects) {
            let rejects = counted(rejects, "reject");
            context.console.say(&format!("{rejects}, more than --max-rejects allows: exit code 3"));
        }
        Ok(status)
    }

    /// Fails when a file that is written would replace an input or another one.
    fn spare_inputs(&self) -> Result<()> {
        let output = real(&self.output);
        let is_input = |path: &PathBuf| self.inputs.iter().any(|input| real(input) == *path);
        if self.output != Path::new("-") && is_input(&output) {
            return Err(Error::Usage(format!("{} is an input: give another -o", self.output.display())));
        }
        let Some(trace) = self.source.trace() else { return Ok(()) };
        let trace_at = real(trace);
        // Within the folder of the output too: its own files may not be there yet.
        let other = trace_at.starts_with(&output) || trace_at == real(&rejects_beside(&self.output));
        if other || is_input(&trace_at) {
            let reason = "is an input, the output or in it: give another --trace";
            return Err(Error::Usage(format!("{} {reason}", trace.display())));
        }
        Ok(())
    }

    fn to_stdout(&self, context: &Context, job: Job) -> Result<Outcome> {
        let mut lines = Lines::new(&context.console, self.precision, &self.keep);
        let summary = job.run(context, &mut lines)?;
        Ok(Outcome::new(summary, Rejected { path: None, first: lines.first_reject }))
    }

    fn to_files(&self, context: &Context, job: Job, files: Files) -> Result<Outcome> {
        let mut files = files.storing(self.precision, &self.keep);
        let summary = job.run(context, &mut files)?;
        Ok(Outcome::new(summary, files.finish()?))
    }

    fn to_folder(&self, context: &Context, job: Job, claim: Claim) -> Result<Outcome> {
        let key = RunKey::new(&self.inputs, &job.options, job.extraction.provenance(), self.precision)?;
        let mut folder = claim.begin(key, self.precision, &self.keep, &context.console)?;
        if let Some(entries) = self.shard_entries {
            folder = folder.with_shard_entries(entries.get() as u64);
        }
        let Ran { summary, kept: finished, end } = inputs::run_into(context, job, folder, &self.output)?;
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let summary = Summary {
            rows: count(finished.rows),
            rejects: count(finished.rejects),
            truncated: count(finished.truncated),
            dimension: finished.dimension,
            ..summary
        };
        Ok(Outcome {
            resumed_rows: finished.resumed_rows,
            interrupted: end == End::Interrupted,
            ..Outcome::new(summary, Rejected { path: finished.rejects_path, first: finished.first_reject })
        })
    }

    fn told(&self, outcome: &Outcome) -> String {
        let Outcome { summary, resumed_rows, rejects_path, .. } = outcome;
        let Summary { rows, rejects, dimension, seconds, rows_per_second, provider, limited_by, .. } = summary;
        let place = if self.output == Path::new("-") { "stdout".into() } else { self.output.display().to_string() };
        let rejected = match rejects_path {
            Some(path) => format!(", {rejects} rejected: see {}", path.display()),
            None if *rejects > 0 => format!(", {rejects} rejected"),
            None => String::new(),
        };
        let (of, what) = (counted(*dimension, "value"), counted(*rows, "row"));
        let what = format!("{what} of {of} in {place}{rejected}");
        if *resumed_rows == *rows as u64 {
            return format!("{what}; all of it was there before");
        }
        let resumed = if *resumed_rows > 0 { format!(", {resumed_rows} of them from before") } else { String::new() };
        let rate = rows_per_second.map_or_else(String::new, |rate| format!(", {rate:.1} rows/s"));
        let on = provider.as_ref().map_or_else(String::new, |provider| format!(" on {provider}"));
        let limit = limited_by.map_or_else(String::new, |limit| format!(", limited by {}", limit.name()));
        format!("{what}{resumed}; {seconds:.1} s{rate}{on}{limit}")
    }
}

/// A path without links, of a file that may not be there yet.
fn real(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let named = || Some(parent.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(named).unwrap_or_else(|| path.to_path_buf())
}

impl Sink for ShardFolder {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        self.part(part, provenance)
    }
}
