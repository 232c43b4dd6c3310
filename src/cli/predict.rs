//! `engraft predict`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use ndarray::ArrayView1;
use serde::Serialize;

use super::confidence::{OodMark, ood_marks, prediction_sets};
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::{Context, Status, multi_label};
use crate::error::{Error, Result};
use crate::features::FeatureSet;
use crate::head::{HeadFile, Link};
use crate::progress::Progress;

/// Classify images, texts or features with a trained head
///
/// The head knows its backbone: raw inputs are embedded with it, and features of another backbone are refused. One line
/// for each input: id, label, probability, separated by tabs; with --json one JSON object a line, with the
/// `prediction_set` of a head that was trained with --conformal, and
/// `ood_score` and `out_of_distribution` of one that was trained with --ood. A head that was trained with --label-separator
/// names each label of probability 0.5 and more, the most probable first, and its probability; there may be none. With --json
/// these are `labels`, and `top` has the probabilities.
///
/// Examples:
///   engraft predict head.onnx new-photos/
///   echo "what a lovely day" | engraft predict head.onnx - --top-k 2
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Predict {
    /// A head from `engraft train`
    #[arg(value_name = "MODEL.onnx")]
    head: PathBuf,
    /// Images, texts or features
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// How many classes to name for each input [default: 1; with --label-separator's heads, those of probability 0.5 and more]
    #[arg(long, value_name = "K", value_parser = inputs::count)]
    top_k: Option<NonZeroUsize>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

/// The classes of one input, most probable first.
#[derive(Debug, Serialize)]
pub(super) struct Prediction {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) probability: f32,
    pub(super) top: Vec<Choice>,
    /// Classes that hold the true one with the head's coverage; only of a head that was given thresholds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prediction_set: Option<Vec<String>>,
    #[serde(flatten)]
    pub(super) strangeness: Option<OodMark>,
}

/// A class and its probability.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Choice {
    pub(super) label: String,
    pub(super) probability: f32,
}

impl Predict {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let head = HeadFile::read(&self.head)?;
        let loaded = inputs::load(context, &self.inputs, &self.source, || backbone_of(&head, &self.model, context))?;
        check_same_backbone(context, (&self.head, &head), (&self.inputs, &loaded.features))?;
        let top_k = self.top_k.map(NonZeroUsize::get);
        match head.link {
            Link::Softmax => {
                for prediction in predict(&head, &loaded.features, top_k.unwrap_or(1))? {
                    context.result(&prediction, || fields(&prediction.id, &prediction.top))?;
                }
            }
            Link::Sigmoid => {
                for found in multi_label::predict(&head, &loaded.features, top_k)? {
                    context.result(&found, || found.line())?;
                }
            }
        }
        Ok(self.source.status(loaded.rejects.len(), loaded.features.ids.len()))
    }
}

/// An id with its classes and their probabilities as one tab-separated line.
pub(super) fn fields(id: &str, choices: &[Choice]) -> String {
    let choices = choices.iter().map(|c| format!("\t{}\t{:.4}", one_field(&c.label), c.probability));
    one_field(id) + &choices.collect::<String>()
}

/// A name as one field of a tab-separated line.
pub(super) fn one_field(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// The backbone a head was trained on; `--model` for one that does not say.
pub(super) fn backbone_of(head: &HeadFile, model: &ModelArgs, context: &Context) -> Result<crate::backbone::Backbone> {
    match &head.provenance {
        Some(provenance) => model.recall(context, provenance),
        None => model.resolve(context),
    }
}

/// Classifies features, after checking that they are of the head's backbone.
pub(super) fn predict(head: &HeadFile, features: &FeatureSet, top_k: usize) -> Result<Vec<Prediction>> {
    let logits = head.head.logits(features.matrix.view())?;
    let strange = ood_marks(head, features.matrix.view(), logits.view())?;
    let probabilities = head.probabilities_of(logits)?;
    let sets = prediction_sets(head, probabilities.view())?;
    let named = |set: &Vec<usize>| set.iter().map(|&class| head.labels[class].clone()).collect();
    let predictions = features.ids.iter().zip(probabilities.outer_iter()).enumerate().map(|(place, (id, row))| {
        let mut top = ranked(head, row);
        top.truncate(top_k);
        let best = top.first().cloned().ok_or_else(|| Error::Data("the head has no classes".into()))?;
        let strangeness = strange.as_ref().map(|strange| strange[place]);
        let prediction_set = sets.as_ref().map(|sets| named(&sets[place]));
        Ok(Prediction {
            id: id.clone(),
            label: best.label,
            probability: best.probability,
            top,
            prediction_set,
            strangeness,
        })
    });
    predictions.collect()
}

/// All classes of a row with their probabilities, most probable first.
pub(super) fn ranked(head: &HeadFile, row: ArrayView1<f32>) -> Vec<Choice> {
    let choices = head.labels.iter().zip(row);
    let mut choices: Vec<Choice> =
        choices.map(|(label, &probability)| Choice { label: label.clone(), probability }).collect();
    choices.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    choices
}

/// Fails unless features may be of the head's backbone, preprocessing and pooling; says so where nothing proves that they are.
pub(super) fn check_same_backbone(
    context: &Context,
    (path, head): (&Path, &HeadFile),
    (inputs, features): (&[PathBuf], &FeatureSet),
) -> Result<()> {
    let (head_file, files) = (path.display(), inputs::names(inputs));
    if head.provenance.is_none() || features.provenance.is_none() {
        let which = if head.provenance.is_none() { head_file.to_string() } else { files };
        context.console.note(&format!(
            "warning: nothing says which backbone {which} is of; if it is not the same, the results mean nothing"
        ));
        return Ok(());
    }
    let of = format!("the head {head_file} and the features of {files}");
    inputs::check_same_making(head.provenance.as_ref(), features, &of)
}
