//! `engraft export --precision`: the exported model made smaller.

use std::num::NonZeroUsize;
use std::path::Path;

use serde::Serialize;

use super::super::Context;
use super::super::inputs::{self, SourceArgs, json_word};
use super::super::results::table;
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::export::{
    Accuracy, Calibration, Contract, ExportPrecision, Exported, Kept, LayerReport, Part, Run, Shrinker, Shrunk,
    adds_bytes_exactly, calibrate, search,
};
use crate::extract::Sink;
use crate::features::{FeatureSet, Part as Rows, Provenance};
use crate::head::{Link, Scored};
use crate::onnx::{Model, OBSERVED, WeightRange, stored_bytes, write_model};
use crate::progress::{Progress, Unstaged};
use crate::source::Entry;

/// Of the samples every so-manieth is for calibrating.
const CALIBRATES: usize = 4;
/// Points of accuracy that may be lost unless it is told otherwise.
const MAX_DROP: f64 = 0.5;
/// And so many at most.
const MOST: usize = 128;
/// Samples with which single layers are tried.
const TRIAL: usize = 16;

/// How an exported model is made smaller.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Precision")]
pub(super) struct ShrinkArgs {
    /// Precision of the backbone in the file: f32, f16 or int8; the head stays in f32
    #[arg(long, value_name = "PRECISION", default_value = "f32", value_parser = json_word::<ExportPrecision>)]
    pub(super) precision: ExportPrecision,
    /// Points of accuracy on --samples that f16 or int8 may cost: the most sensitive layers stay in f32 until it holds, else no file is
    /// written [default: 0.5]
    #[arg(long, value_name = "POINTS", value_parser = points)]
    max_drop: Option<f64>,
    /// How the ranges of int8 are found: min-max, percentile or entropy [default: min-max]
    #[arg(long, value_name = "HOW", value_parser = json_word::<Calibration>)]
    calibration: Option<Calibration>,
    /// Ranges of int8 that the file finds at each run instead, for texts unlike any at hand: what a text gets depends on its batch
    #[arg(long, conflicts_with = "calibration")]
    dynamic: bool,
    /// Weights of int8 in seven bits, for x86 processors without VNNI: with eight, sums of products are cut off there
    #[arg(long)]
    reduce_range: bool,
}

fn points(text: &str) -> Result<f64, String> {
    let points = text.parse().ok().filter(|points| (0.0..=100.0).contains(points));
    points.ok_or_else(|| "give points of accuracy, from 0 to 100".to_owned())
}

impl ShrinkArgs {
    pub(super) fn is_wanted(&self) -> bool {
        self.precision != ExportPrecision::F32
    }

    /// Refuses flags that do not go together.
    pub(super) fn check(&self, context: &Context) -> Result<()> {
        let only_int8 = [
            ("--reduce-range", self.reduce_range),
            ("--dynamic", self.dynamic),
            ("--calibration", self.calibration.is_some()),
        ];
        if self.precision == ExportPrecision::F32 && self.max_drop.is_some() {
            return Err(Error::Usage("--max-drop is for --precision f16 or int8".to_owned()));
        }
        if self.precision == ExportPrecision::Int8 {
            if !self.reduce_range && !adds_bytes_exactly() {
                context.console.say(
                    "warning: this processor has no VNNI: ONNX Runtime cuts off sums of int8 products here; --reduce-range avoids it",
                );
            }
        } else if let Some((flag, _)) = only_int8.into_iter().find(|(_, given)| *given) {
            return Err(Error::Usage(format!("{flag} is for --precision int8")));
        }
        Ok(())
    }

    /// How many samples are drawn.
    pub(super) fn samples(&self, given: Option<NonZeroUsize>) -> usize {
        given.map_or(if self.is_wanted() { 1024 } else { 64 }, NonZeroUsize::get)
    }
}

/// What the smaller model is worth.
#[derive(Debug, Serialize)]
pub(super) struct Smaller {
    precision: ExportPrecision,
    /// Whether each run finds the ranges of int8.
    dynamic: bool,
    /// Bytes of the model in f32.
    size_f32: u64,
    #[serde(flatten)]
    kept: Kept,
    layers: Vec<LayerReport>,
}

/// The exported model in f32, and the samples that it was verified with.
pub(super) struct Whole<'a> {
    pub(super) model: &'a Model,
    pub(super) exported: &'a Exported,
    pub(super) entries: &'a [Entry],
    /// What the backbone gave for them.
    pub(super) features: &'a FeatureSet,
    /// What the head said of that.
    pub(super) scored: &'a Scored,
}

impl ShrinkArgs {
    /// Writes the smaller model in place of the exported one.
    pub(super) fn run(&self, context: &Context, source: &SourceArgs, whole: Whole) -> Result<Smaller> {
        let Whole { model, exported, entries, features, scored } = whole;
        let name = exported.path.display().to_string();
        let weights = if self.reduce_range { WeightRange::Reduced } else { WeightRange::Full };
        let mut shrinker = Shrinker::new(model, &exported.record, self.precision, &name)?.with_weights(weights);
        if self.dynamic {
            shrinker = shrinker.dynamic()?;
        }
        let samples = Samples::of(entries, features, exported);
        if samples.truth.is_none() {
            context.console.say(match exported.head.link {
                Link::Softmax if features.labels.iter().any(Option::is_some) => {
                    "warning: the head knows none of the labels of --samples: the accuracy is only how often the label is that of f32"
                }
                Link::Softmax => {
                    "warning: without labelled --samples of your own the accuracy is only how often the label is that of f32"
                }
                Link::Sigmoid => "the accuracy is how often it is the same as in f32 whether a sample has a label",
            });
        }
        let single = |rows: &[usize]| Scored {
            logits: scored.logits.select(ndarray::Axis(0), rows),
            probabilities: scored.probabilities.select(ndarray::Axis(0), rows),
            ood_scores: None,
        };
        let truth = samples.truth.as_deref();
        let judged = single(&samples.judged);
        let contract = Contract::new(truth, &judged, exported.head.link, self.max_drop.unwrap_or(MAX_DROP) / 100.0);
        let trial = single(&samples.trial);
        let mut runner = Runner { context, source, path: &exported.path, entries, samples: &samples };
        let tensors = shrinker.tensors()?;
        if !tensors.is_empty() {
            context.console.begin(&format!("calibrating on {}", counted(samples.calibrating.len(), "sample")), None);
            let ranges = calibrate(model, &tensors, self.calibration.unwrap_or_default(), &mut runner, &name)?;
            context.console.end();
            shrinker = shrinker.with_ranges(ranges);
        }
        let size_f32 = stored_bytes(&exported.path)?;
        let Shrunk { model, layers, kept } = search(&shrinker, &contract, &trial, &mut runner, &context.console)?;
        write_model(&model, &exported.path)?;
        Ok(Smaller { precision: self.precision, dynamic: self.dynamic, size_f32, kept, layers })
    }
}

/// Which entry does what; all are places among the entries.
struct Samples {
    calibrating: Vec<usize>,
    trial: Vec<usize>,
    judged: Vec<usize>,
    /// The classes of those that are judged, where they have labels.
    truth: Option<Vec<usize>>,
}

impl Samples {
    fn of(entries: &[Entry], features: &FeatureSet, exported: &Exported) -> Self {
        // What is right of rows that may have any number of labels is what f32 said, whatever theirs are.
        let one_label = exported.head.link == Link::Softmax;
        let class = |row: &usize| {
            let label = features.labels.get(*row)?.as_ref().filter(|_| one_label)?;
            exported.head.labels.iter().position(|known| known == label)
        };
        let all = || 0..entries.len();
        let (calibrating, rest): (Vec<usize>, Vec<usize>) = all().partition(|row| row % CALIBRATES == 0);
        let (calibrating, more) = calibrating.split_at(calibrating.len().min(MOST));
        let trial = calibrating.iter().copied().take(TRIAL).collect();
        let known: Vec<usize> = rest.iter().chain(more).copied().filter(|row| class(row).is_some()).collect();
        match known.is_empty() {
            // Nobody's labels are fitted to: they may do both.
            true => Self { calibrating: all().take(MOST).collect(), trial, judged: all().collect(), truth: None },
            false => {
                let truth = known.iter().filter_map(class).collect();
                Self { calibrating: calibrating.to_vec(), trial, judged: known, truth: Some(truth) }
            }
        }
    }
}

/// Runs models on the samples.
struct Runner<'a> {
    context: &'a Context,
    source: &'a SourceArgs,
    /// Where they are written.
    path: &'a Path,
    entries: &'a [Entry],
    samples: &'a Samples,
}

impl Runner<'_> {
    fn entries(&self, places: &[usize]) -> Vec<Entry> {
        places.iter().filter_map(|&place| self.entries.get(place).cloned()).collect()
    }
}

impl Run for Runner<'_> {
    fn score(&mut self, model: &Model, part: Part) -> Result<Scored> {
        write_model(model, self.path)?;
        let exported = Exported::read(self.path)?;
        let places = match part {
            Part::Trial => &self.samples.trial,
            Part::Judged => &self.samples.judged,
        };
        let mut rows = Collected(Vec::new());
        let silent = Unstaged(&self.context.console);
        let backbone = exported.as_backbone()?;
        inputs::embed_entries_into(self.context, self.source, &backbone, self.entries(places), (&mut rows, &silent))?;
        let views: Vec<_> = rows.0.iter().map(|part| part.view()).collect();
        let rows = ndarray::concatenate(ndarray::Axis(0), &views)
            .map_err(|e| Error::Data(format!("the smaller model gave other rows than the first: {e}")))?;
        if rows.nrows() != places.len() {
            return Err(Error::Data(format!("the smaller model took {} of {} samples", rows.nrows(), places.len())));
        }
        Ok(exported.scored(rows)?.0)
    }

    fn observe(&mut self, model: &Model, each: &mut dyn FnMut(&[f32])) -> Result<()> {
        let path = self.path.with_extension("observed.onnx");
        write_model(model, &path)?;
        let mut backbone = Exported::read(self.path)?.as_backbone()?;
        backbone.model = path.clone();
        backbone.output.tensor = OBSERVED.to_owned();
        let entries = self.entries(&self.samples.calibrating);
        let silent = Unstaged(&self.context.console);
        let mut shown = Shown(each);
        let done = inputs::embed_entries_into(self.context, self.source, &backbone, entries, (&mut shown, &silent));
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        done.map(|_| ())
    }
}

/// Keeps the rows.
struct Collected(Vec<ndarray::Array2<f32>>);

impl Sink for Collected {
    fn part(&mut self, part: Rows, _: &Provenance) -> Result<()> {
        self.0.extend((!part.rows.ids.is_empty()).then_some(part.rows.matrix));
        Ok(())
    }
}

/// Shows each row, and keeps none.
struct Shown<'a>(&'a mut dyn FnMut(&[f32]));

impl Sink for Shown<'_> {
    fn part(&mut self, part: Rows, _: &Provenance) -> Result<()> {
        part.rows.matrix.outer_iter().filter_map(|row| row.to_slice()).for_each(&mut *self.0);
        Ok(())
    }
}

impl Smaller {
    /// The layers: as a table where some stayed in f32, with a hint where too little was known of them.
    pub(super) fn told(&self) -> String {
        let in_f32 = self.layers.iter().filter(|layer| layer.in_f32).count();
        let few = match self.kept.accuracy_is {
            Accuracy::Agreement if in_f32 > 0 => format!(
                "\nto keep the label of {}, {} stayed in f32: --samples of your own with labels would tell more",
                counted(self.kept.comparison.n, "sample"),
                counted(in_f32, "layer")
            ),
            _ => String::new(),
        };
        match in_f32 {
            0 => format!("all {} in {}", counted(self.layers.len(), "layer"), self.precision.name()),
            _ => self.table() + &few,
        }
    }

    fn table(&self) -> String {
        let precision = self.precision.name();
        let row = |layer: &LayerReport| {
            let kept = if layer.in_f32 { "f32" } else { precision };
            let sensitivity = format!("{:.5}", layer.sensitivity);
            vec![layer.layer.clone(), layer.op.clone(), layer.weights.to_string(), sensitivity, kept.to_owned()]
        };
        table(&["layer", "operator", "weights", "sensitivity", "kept in"], self.layers.iter().map(row))
    }

    /// Size and accuracy in a sentence.
    pub(super) fn text(&self, size: u64) -> String {
        let Kept { accuracy_is, accuracy_before, accuracy_after, comparison } = &self.kept;
        let [low, high] = comparison.difference_interval.map(|bound| 100.0 * bound);
        let of = match accuracy_is {
            Accuracy::Labels => "accuracy",
            Accuracy::Agreement => "agreement with the labels of f32",
        };
        let in_f32 = self.layers.iter().filter(|layer| layer.in_f32).count();
        let dynamic = if self.dynamic { " with the ranges of each batch" } else { "" };
        format!(
            "{}{dynamic}: {:.1} MB for {:.1} MB in f32 ({:.3}); {of} {:.2} % for {:.2} % on {} (lost {:.2} points, 95 % interval {low:.2} to \
             {high:.2}); {in_f32} of {} in f32",
            self.precision.name(),
            size as f64 / 1e6,
            self.size_f32 as f64 / 1e6,
            size as f64 / self.size_f32.max(1) as f64,
            100.0 * accuracy_after,
            100.0 * accuracy_before,
            counted(comparison.n, "sample"),
            100.0 * comparison.difference,
            counted(self.layers.len(), "layer"),
        )
    }
}
