//! From the paths a user names to features: read from a file, or embedded now.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::{Context, Status};
use crate::backbone::{Backbone, Output, Overrides, Pooling, Resize, RunPrecision, registry};
use crate::error::{Error, Result};
use crate::extract::{Extraction, Options, Sink, Summary};
use crate::features::{FeatureSet, Finished, Format, Part, Precision, Provenance, RunState, ShardFolder, run_state};
use crate::preprocess::{ImagePreprocessor, Interpolation, Preprocessing};
use crate::source::{Modality, Reject, Separator, Source, SourceOptions, TableOptions, holds_embeddings, open_all};

/// Which backbone, and what its folder does not say.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ModelArgs {
    /// A known backbone (see `engraft models list`), an .onnx file, a Hugging Face style folder, or hf:owner/name
    #[arg(long, short, value_name = "MODEL")]
    pub(super) model: Option<String>,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// What to take of a model, and what .onnx files and folders do not say themselves.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "The model's output, and models without a manifest")]
struct OverrideArgs {
    /// image or text
    #[arg(long, value_name = "KIND", value_parser = json_word::<Modality>)]
    modality: Option<Modality>,
    /// The ONNX file to take from the folder
    #[arg(long, value_name = "FILE")]
    onnx_file: Option<String>,
    /// The tensor to take, an inner one too; several with commas between are joined
    #[arg(long, value_name = "NAME")]
    output_name: Option<String>,
    /// The layers to take and join, such as -1,-2: 1 is the first, -1 the last
    #[arg(long, value_name = "L,L", value_delimiter = ',', allow_hyphen_values = true)]
    layers: Option<Vec<i64>>,
    /// none, mean, cls, last-token or gap
    #[arg(long, alias = "pool", value_name = "POOLING", value_parser = json_word::<Pooling>)]
    pooling: Option<Pooling>,
    /// Divide each embedding by its length: true or false
    #[arg(long, value_name = "BOOL")]
    normalize: Option<bool>,
    /// Input size in pixels: 224 or HEIGHTxWIDTH
    #[arg(long, value_name = "PIXELS", value_parser = size)]
    image_size: Option<[u32; 2]>,
    /// squash, or the length of the shorter edge before the centre is cut out
    #[arg(long, value_name = "HOW")]
    resize: Option<Resize>,
    /// nearest, box, bilinear, hamming, bicubic or lanczos
    #[arg(long, value_name = "FILTER", value_parser = json_word::<Interpolation>)]
    interpolation: Option<Interpolation>,
    /// Mean of each channel after scaling to 0..1, such as 0.485,0.456,0.406
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    mean: Option<[f32; 3]>,
    /// Standard deviation of each channel after scaling to 0..1
    #[arg(long, value_name = "R,G,B", value_parser = channels)]
    std: Option<[f32; 3]>,
    /// The tokenizer.json
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Greatest number of tokens of a text
    #[arg(long, value_name = "TOKENS")]
    max_length: Option<usize>,
}

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
    /// The table's column that holds the id
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

impl ModelArgs {
    /// The backbone that `--model` names, made ready.
    pub(super) fn resolve(&self, context: &Context) -> Result<Backbone> {
        let Some(name) = &self.model else {
            return Err(Error::Usage(
                "raw images or texts need a backbone: give --model (see `engraft models list`)".into(),
            ));
        };
        // Before a backbone is fetched in vain.
        context.runtime()?;
        let backbone = registry::resolve(name, &self.overrides(), &context.home, &context.console)?;
        if registry::find(name).is_err() {
            context.console.say(&taken(&backbone));
        }
        Ok(backbone)
    }

    /// The backbone that features of this provenance came from, or `--model` where its name no longer leads to it. Inputs
    /// are prepared as they were then; what decides that is not asked for again.
    pub(super) fn recall(&self, context: &Context, provenance: &Provenance) -> Result<Backbone> {
        let OverrideArgs { output_name, layers, pooling, normalize, .. } = &self.overrides;
        if output_name.is_some() || layers.is_some() || pooling.is_some() || normalize.is_some() {
            return Err(Error::Usage(
                "the head takes the output, pooling and normalisation that it was trained on: leave out --output-name, \
                 --layers, --pooling and --normalize"
                    .into(),
            ));
        }
        let name = self.model.as_ref().unwrap_or(&provenance.backbone);
        context.runtime()?;
        if registry::find(name).is_ok() {
            let Output { tensor, pooling, normalize } = provenance.output.clone();
            let overrides = Overrides {
                output_name: Some(tensor),
                pooling: Some(pooling),
                normalize: Some(normalize),
                ..Overrides::default()
            };
            return registry::resolve(name, &overrides, &context.home, &context.console);
        }
        let found = registry::resolve(name, &self.remembered(provenance)?, &context.home, &context.console)?;
        let (preprocessing, output) = (provenance.preprocessing.clone(), provenance.output.clone());
        Ok(Backbone { preprocessing, output, ..found })
    }

    /// What a folder may not say by itself, as the provenance has it.
    fn remembered(&self, provenance: &Provenance) -> Result<Overrides> {
        let Output { tensor, pooling, normalize } = provenance.output.clone();
        let overrides = Overrides {
            onnx_file: self.overrides.onnx_file.clone(),
            tokenizer: self.overrides.tokenizer.clone(),
            output_name: Some(tensor),
            pooling: Some(pooling),
            normalize: Some(normalize),
            ..Overrides::default()
        };
        Ok(match &provenance.preprocessing {
            Preprocessing::Text(spec) => {
                Overrides { modality: Some(Modality::Text), max_length: Some(spec.max_length), ..overrides }
            }
            Preprocessing::Image(spec) => {
                let size = ImagePreprocessor::new(spec.clone())?.output_size();
                Overrides {
                    modality: Some(Modality::Image),
                    image_size: Some(size.map(|n| u32::try_from(n).unwrap_or(u32::MAX))),
                    // The steps and the scale themselves are taken from the provenance.
                    resize: Some(Resize::Squash),
                    interpolation: Some(spec.interpolation),
                    mean: Some(spec.mean),
                    std: Some(spec.std),
                    ..overrides
                }
            }
        })
    }

    fn overrides(&self) -> Overrides {
        let o = self.overrides.clone();
        Overrides {
            modality: o.modality,
            onnx_file: o.onnx_file,
            output_name: o.output_name,
            layers: o.layers,
            pooling: o.pooling,
            normalize: o.normalize,
            image_size: o.image_size,
            resize: o.resize,
            interpolation: o.interpolation,
            mean: o.mean,
            std: o.std,
            tokenizer: o.tokenizer,
            max_length: o.max_length,
        }
    }
}

/// What was taken for a model without a manifest: a wrong value shows here and not in the accuracy.
fn taken(backbone: &Backbone) -> String {
    let Output { tensor, pooling, normalize } = &backbone.output;
    let inputs = match &backbone.preprocessing {
        Preprocessing::Image(spec) => {
            format!("{:?}, {:?}, mean {:?}, std {:?}", spec.steps, spec.interpolation, spec.mean, spec.std)
        }
        Preprocessing::Text(spec) => format!("at most {} tokens", spec.max_length),
    };
    let length = if *normalize { "divided by its length" } else { "as it is" };
    format!("{}: output {tensor}, pooling {pooling:?}, {length}; {inputs}", backbone.name)
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
                context.console.say(&format!("warning: the run in {input} is not finished: {entries} inputs are done"));
            }
        }
        let sets = inputs.iter().map(|p| FeatureSet::read(p)).collect::<Result<Vec<_>>>()?;
        return Ok(Loaded { features: FeatureSet::concat(sets)?.finite()?, rejects: Vec::new() });
    }
    if of_features > 0 {
        return Err(Error::Usage("some inputs are features and some are raw: give one kind".into()));
    }
    exist(inputs)?;
    let mut memory = Memory { parts: Vec::new(), rejects: Vec::new() };
    embed(context, inputs, source, &backbone()?, &mut memory)?;
    if memory.parts.is_empty() {
        return Err(nothing_embedded(memory.rejects.first(), memory.rejects.len()));
    }
    for reject in memory.rejects.iter().take(5) {
        context.console.say(&format!("rejected {}: {}", reject.id, reject.reason));
    }
    if memory.rejects.len() > 5 {
        context.console.say(&format!("... and {} more rejects", memory.rejects.len() - 5));
    }
    Ok(Loaded { features: FeatureSet::concat(memory.parts)?, rejects: memory.rejects })
}

/// Fails when two sets are known to be of different backbones, preprocessing or pooling.
pub(super) fn check_same_features(first: &FeatureSet, second: &FeatureSet) -> Result<()> {
    let fingerprints = first.provenance.as_ref().zip(second.provenance.as_ref());
    match fingerprints.map(|(first, second)| (first.fingerprint(), second.fingerprint())) {
        Some((expected, got)) if expected != got => {
            Err(Error::Mismatch { what: "the fingerprints of the features".into(), expected, got })
        }
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

/// Fails on an input that is not there, before a backbone is fetched for it. What a pattern matches is seen later.
pub(super) fn exist(inputs: &[PathBuf]) -> Result<()> {
    inputs
        .iter()
        .filter(|path| *path != Path::new("-") && !path.to_string_lossy().contains(['*', '?', '[', '{']))
        .try_for_each(|path| std::fs::metadata(path).map(|_| ()).map_err(Error::io("read", path)))
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
            context.console.say(&format!("{n} texts were longer than {name} takes and were cut"));
        }
        Ok(summary)
    }
}

/// Runs what is unfinished of a job into its folder at `place`, and closes that.
pub(super) fn run_into(
    context: &Context,
    mut job: Job,
    mut folder: ShardFolder,
    place: &Path,
) -> Result<(Summary, Finished)> {
    job.source.list = folder.unfinished(job.source.list);
    let run = job.run(context, &mut folder);
    // Whatever ended the run: what was computed is kept.
    let closed = folder.close();
    let run = run.and_then(|summary| closed.map(|()| summary));
    let (rows, place) = (folder.rows(), place.display());
    if rows > 0 && matches!(run, Err(Error::Interrupted | Error::Io { .. })) {
        context.console.say(&format!("{rows} rows are kept in {place}: the same command continues"));
    }
    let summary = run?;
    Ok((summary, folder.finish()?))
}

/// Runs the inputs through the backbone into `sink`.
pub(super) fn embed(
    context: &Context,
    inputs: &[PathBuf],
    source: &SourceArgs,
    backbone: &Backbone,
    sink: &mut dyn Sink,
) -> Result<Summary> {
    open(context, inputs, source, (&[], Precision::F32), backbone)?.run(context, sink)
}

/// Keeps everything in memory.
struct Memory {
    parts: Vec<FeatureSet>,
    rejects: Vec<Reject>,
}

impl Sink for Memory {
    fn part(&mut self, part: Part, provenance: &Provenance) -> Result<()> {
        self.rejects.extend(part.rejects);
        let rows = part.rows;
        if !rows.ids.is_empty() {
            self.parts.push(FeatureSet {
                ids: rows.ids,
                labels: rows.labels,
                contents: rows.contents,
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

fn size(text: &str) -> Result<[u32; 2], String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) => Ok([height, width]),
        _ => Err("give a size such as 224 or 224x320 (height x width)".to_owned()),
    }
}

fn channels(text: &str) -> Result<[f32; 3], String> {
    let values: Result<Vec<f32>, _> = text.split(',').map(|v| v.trim().parse()).collect();
    let wrong = || "give three numbers, such as 0.485,0.456,0.406".to_owned();
    values.map_err(|_| wrong())?.try_into().map_err(|_| wrong())
}
