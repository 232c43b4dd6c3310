//! From the paths a user names to features: read from a file, or embedded now.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Instant;

use super::{Context, Status};
use crate::backbone::{Backbone, Device, Provider, RunPrecision};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::extract::{Extraction, Options, Sink, Summary};
use crate::features::{
    FeatureSet, Finished, Format, Part, Precision, Provenance, RunState, ShardFolder, check_kept, run_state,
};
use crate::preprocess::Preprocessing;
use crate::progress::Progress;
use crate::source::{
    Entry, Listed, Modality, Reject, Separator, Source, SourceOptions, TableOptions, exist, holds_embeddings, open_all,
};

/// How inputs are read and run.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Inputs")]
pub(super) struct SourceArgs {
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
pub(super) enum MaxRejects {
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
    pub(super) fn status(&self, rejects: usize, rows: usize) -> Status {
        let allowed = match self.max_rejects {
            MaxRejects::Count(n) => rejects <= n,
            MaxRejects::Percent(p) => rejects as f64 <= p / 100.0 * (rejects + rows) as f64,
        };
        if allowed { Status::Done } else { Status::TooManyRejects }
    }

    /// Where the trace goes.
    pub(super) fn trace(&self) -> Option<&Path> {
        self.trace.as_deref()
    }

    /// The same flags, with another column for the ids where one is named.
    pub(super) fn with_id_column(&self, column: Option<&str>) -> Self {
        Self { id_column: column.map(str::to_owned).or_else(|| self.id_column.clone()), ..self.clone() }
    }

    /// What is read of inputs of this kind, with these columns besides.
    pub(super) fn options(&self, modality: Modality, keep: &[String]) -> SourceOptions {
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

/// Features and what could not be embedded.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) features: FeatureSet,
    pub(super) rejects: Vec<Reject>,
}

/// Reads feature files, or embeds raw inputs with the backbone that `backbone` makes ready.
pub(super) fn load(
    context: &Context,
    inputs: &[PathBuf],
    source: &SourceArgs,
    backbone: impl FnOnce() -> Result<Backbone>,
) -> Result<Loaded> {
    load_keeping(context, inputs, (source, &[]), backbone)
}

/// The same with the columns of these names.
pub(super) fn load_keeping(
    context: &Context,
    inputs: &[PathBuf],
    (source, keep): (&SourceArgs, &[String]),
    backbone: impl FnOnce() -> Result<Backbone>,
) -> Result<Loaded> {
    check_kept(keep)?;
    let of_features = inputs
        .iter()
        .map(|p| are_features(p))
        .filter(|are| !matches!(are, Ok(false)))
        .collect::<Result<Vec<_>>>()?
        .len();
    if of_features == inputs.len() && !inputs.is_empty() {
        for input in inputs {
            if let Some(RunState { finished: false, entries, .. }) = run_state(input)? {
                let input = input.display();
                let done = counted(entries, "input");
                context.console.say(&format!("warning: the run in {input} is not finished: {done} done"));
            }
        }
        note_unused_device(context);
        let sets = inputs.iter().map(|p| FeatureSet::read_keeping(p, keep)).collect::<Result<Vec<_>>>()?;
        let features = FeatureSet::concat(sets).and_then(FeatureSet::finite).map_err(|e| named(e, inputs))?;
        return Ok(Loaded { features, rejects: Vec::new() });
    }
    if of_features > 0 {
        return Err(Error::Usage("some inputs are features and some are raw: give one kind".into()));
    }
    // Before a backbone is fetched in vain.
    exist(inputs)?;
    let mut memory = Memory { keep, parts: Vec::new(), rejects: Vec::new() };
    embed(context, inputs, (source, keep), &backbone()?, &mut memory)?;
    if memory.parts.is_empty() {
        return Err(nothing_embedded(memory.rejects.first(), memory.rejects.len()));
    }
    for reject in memory.rejects.iter().take(5) {
        context.console.say(&format!("rejected {}: {}", reject.id, reject.reason));
    }
    if memory.rejects.len() > 5 {
        context.console.say(&format!("... and {}", counted(memory.rejects.len() - 5, "more reject")));
    }
    Ok(Loaded { features: FeatureSet::concat(memory.parts)?, rejects: memory.rejects })
}

/// Says so when a device was asked for and nothing is embedded.
pub(super) fn note_unused_device(context: &Context) {
    if let Device::Only(provider) = context.device
        && provider != Provider::Cpu
    {
        let device = provider.name();
        context.console.note(&format!("nothing is embedded, and heads run on the CPU: --device {device} is not used"));
    }
}

/// Files in a message: of many, the first.
pub(super) fn names(files: &[impl AsRef<Path>]) -> String {
    let shown: Vec<String> = files.iter().take(3).map(|file| file.as_ref().display().to_string()).collect();
    match files.len() - shown.len() {
        0 => shown.join(" and "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// An error about data or what does not match, with the files that it is about.
pub(super) fn named(error: Error, files: &[impl AsRef<Path>]) -> Error {
    match error {
        Error::Data(reason) => Error::Data(format!("{}: {reason}", names(files))),
        Error::Mismatch { what, expected, got } => {
            Error::Mismatch { what: format!("{what} of {}", names(files)), expected, got }
        }
        other => other,
    }
}

/// Fails when features are known to be of another backbone, preprocessing or pooling than `known`, which is `of` the features or
/// the head that they are put beside: the result would be confident nonsense.
pub(super) fn check_same_making(known: Option<&Provenance>, features: &FeatureSet, of: &str) -> Result<()> {
    match (known, &features.provenance) {
        (Some(known), Some(own)) => Provenance::same(Some(known), Some(own), || of.to_owned()),
        _ => Ok(()),
    }
}

/// What a backbone of this preprocessing reads.
pub(super) fn modality(preprocessing: &Preprocessing) -> Modality {
    match preprocessing {
        Preprocessing::Image(_) => Modality::Image,
        Preprocessing::Text(_) => Modality::Text,
    }
}

/// Whether an input is features rather than what they are made from: both may be Parquet.
pub(super) fn are_features(input: &Path) -> Result<bool> {
    match Format::detect(input) {
        None => Ok(false),
        Some(Format::Parquet) => holds_embeddings(input),
        Some(_) => Ok(true),
    }
}

/// The error when every input was rejected.
pub(super) fn nothing_embedded(first: Option<&Reject>, count: usize) -> Error {
    let first = first.map_or_else(String::new, |r| format!("; the first, {}: {}", r.id, r.reason));
    Error::Data(format!("no input could be embedded, {count} rejected{first}"))
}

/// Inputs and a backbone, opened and ready to run.
pub(super) struct Job<'a> {
    pub(super) extraction: Extraction<'a>,
    pub(super) source: Source,
    pub(super) options: SourceOptions,
    backbone: &'a Backbone,
}

/// Opens the inputs and the backbone.
pub(super) fn open<'a>(
    context: &'a Context,
    inputs: &[PathBuf],
    source: &SourceArgs,
    (keep, stored): (&[String], Precision),
    backbone: &'a Backbone,
) -> Result<Job<'a>> {
    let of_source = source.options(modality(&backbone.preprocessing), keep);
    let inputs = open_all(inputs, &of_source)?;
    let options = Options {
        device: context.device,
        threads: context.threads.get(),
        workers: source.workers.given(),
        batch_size: source.batch_size.given(),
        batch_tokens: source.batch_tokens.given(),
        run_precision: source.precision_run,
        stored,
        trace: source.trace.clone(),
    };
    let extraction = Extraction::new(context.runtime()?, &context.home, backbone, options)?;
    Ok(Job { extraction, source: inputs, options: of_source, backbone })
}

impl Job<'_> {
    /// Runs the inputs through the backbone into `sink`.
    pub(super) fn run(self, context: &Context, sink: &mut dyn Sink) -> Result<Summary> {
        let summary = self.extraction.run(self.source, sink, &context.console)?;
        if summary.truncated > 0 {
            let (n, name) = (summary.truncated, &self.backbone.name);
            context.console.say(&format!("{} cut: longer than {name} takes", counted(n, "text")));
        }
        Ok(summary)
    }
}

/// What became of a run into a folder.
pub(super) struct Ran {
    /// Of this run; the provider is that of the shards where nothing was left to run.
    pub(super) summary: Summary,
    /// Of the whole folder.
    pub(super) kept: Finished,
    pub(super) end: End,
}

/// How a run into a folder ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Finished,
    Interrupted,
}

/// Runs what is unfinished of a job into its folder at `place`, and closes that.
pub(super) fn run_into(context: &Context, mut job: Job, mut folder: ShardFolder, place: &Path) -> Result<Ran> {
    let started = Instant::now();
    job.source.list = folder.unfinished(job.source.list);
    let run = job.run(context, &mut folder);
    // Whatever ended the run: what was computed is kept.
    let run = match (run, folder.close()) {
        (Ok(summary), closed) => closed.map(|()| summary),
        (Err(e), Ok(())) => Err(e),
        (Err(e), Err(lost)) => {
            context.console.say(&format!("warning: the shard that was being written is lost: {lost}"));
            Err(e)
        }
    };
    if run.is_err() {
        // Where the disk does not allow it the next run does it.
        let _ = folder.settle();
    }
    let (rows, place) = (folder.rows(), place.display());
    if rows > 0 && matches!(run, Err(Error::Interrupted | Error::Io { .. })) {
        context.console.say(&format!("kept in {place}: {}; the same command continues", counted(rows, "row")));
    }
    let (mut summary, end) = match run {
        Err(Error::Interrupted) => (Summary::unmeasured(started.elapsed().as_secs_f64()), End::Interrupted),
        run => (run?, End::Finished),
    };
    if summary.provider.is_none() {
        summary.provider = folder.provider()?;
    }
    let kept = match end {
        End::Finished => folder.finish()?,
        End::Interrupted => folder.kept()?,
    };
    for reason in &kept.held_back {
        context.console.say(reason);
    }
    Ok(Ran { summary, kept, end })
}

/// Runs the inputs through the backbone into `sink`, with these columns besides.
pub(super) fn embed(
    context: &Context,
    inputs: &[PathBuf],
    (source, keep): (&SourceArgs, &[String]),
    backbone: &Backbone,
    sink: &mut dyn Sink,
) -> Result<Summary> {
    open(context, inputs, source, (keep, Precision::F32), backbone)?.run(context, sink)
}

/// So many of the inputs' entries, drawn at random and in their order; all where there are no more. Reads the inputs to their
/// end.
pub(super) fn draw(inputs: &[PathBuf], options: &SourceOptions, most: usize, seed: u64) -> Result<Vec<Entry>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut drawn: Vec<Listed> = Vec::new();
    // Vitter's reservoir.
    for (seen, listed) in open_all(inputs, options)?.list.enumerate() {
        let listed = listed?;
        if drawn.len() < most {
            drawn.push(listed);
        } else if let Some(place) = drawn.get_mut(rng.usize(..=seen)) {
            *place = listed;
        }
    }
    drawn.sort_by_key(|listed| listed.position);
    Ok(drawn.into_iter().map(|listed| listed.entry).collect())
}

/// Embeds entries in batches of one size, one after the other, so that two runs differ in nothing but the backbone.
pub(super) fn embed_entries(
    context: &Context,
    source: &SourceArgs,
    backbone: &Backbone,
    entries: Vec<Entry>,
) -> Result<FeatureSet> {
    let mut memory = Memory { keep: &[], parts: Vec::new(), rejects: Vec::new() };
    embed_entries_into(context, source, backbone, entries, (&mut memory, &context.console))?;
    if memory.parts.is_empty() {
        return Err(nothing_embedded(memory.rejects.first(), memory.rejects.len()));
    }
    FeatureSet::concat(memory.parts)
}

/// The same into `sink`.
pub(super) fn embed_entries_into(
    context: &Context,
    source: &SourceArgs,
    backbone: &Backbone,
    entries: Vec<Entry>,
    (sink, progress): (&mut dyn Sink, &dyn Progress),
) -> Result<Summary> {
    let options = Options {
        device: context.device,
        threads: context.threads.get(),
        workers: Some(1),
        batch_size: Some(source.batch_size.given().unwrap_or(8)),
        run_precision: source.precision_run,
        ..Options::default()
    };
    let extraction = Extraction::new(context.runtime()?, &context.home, backbone, options)?;
    extraction.run(Source::of(entries), sink, progress)
}

/// Keeps everything in memory.
struct Memory<'a> {
    /// Names of the kept columns.
    keep: &'a [String],
    parts: Vec<FeatureSet>,
    rejects: Vec<Reject>,
}

impl Sink for Memory<'_> {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        self.rejects.extend(part.rejects);
        let rows = part.rows;
        if !rows.ids.is_empty() {
            self.parts.push(FeatureSet {
                ids: rows.ids,
                labels: rows.labels,
                contents: rows.contents,
                kept: self.keep.iter().cloned().zip(rows.kept).collect(),
                matrix: rows.matrix,
                provenance: Some(provenance.clone()),
            });
        }
        Ok(())
    }
}

/// Reads an enum by the name it has in manifests.
pub(super) fn json_word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(text.to_owned())).map_err(|e| e.to_string())
}

/// A number of things that there must be at least one of.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "give a whole number, 1 or more".to_owned())
}
