//! `engraft predict`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use ndarray::ArrayView1;
use serde::Serialize;

use super::classifier::Classifier;
use super::confidence::{OodMark, ood_marks, prediction_sets};
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::{Context, Status, multi_label};
use crate::error::{Error, Result};
use crate::head::{HeadFile, Link, Scored};

/// Classify images, texts or features with a trained head or an exported model
///
/// A head knows its backbone: raw inputs are embedded with it, and features of another backbone are refused. An exported model is
/// run as it is. One line
/// for each input: id, label, probability, separated by tabs; with --json one JSON object a line, with the
/// `prediction_set` of a head that was trained with --conformal, and
/// `ood_score` and `out_of_distribution` of one that was trained with --ood. A head that was trained with --label-separator
/// names each label of probability 0.5 and more, the most probable first, and its probability; there may be none. With --json
/// these are `labels`, and `top` has the probabilities.
///
/// Examples:
///   engraft predict head.onnx new-photos/
///   engraft predict model.onnx new-photos/
///   echo "what a lovely day" | engraft predict head.onnx - --top-k 2
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Predict {
    /// A head from `engraft train`, or a model from `engraft export`
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
        let classifier = Classifier::read(&self.head, &self.model)?;
        let backbone = || classifier.backbone(&self.model, context);
        let mut loaded = inputs::load(context, &self.inputs, &self.source, backbone)?;
        let scored = classifier.score(context, &self.inputs, &mut loaded.features)?;
        let (head, ids) = (classifier.head(), &loaded.features.ids);
        let top_k = self.top_k.map(NonZeroUsize::get);
        match head.link {
            Link::Softmax => {
                for prediction in predictions(head, ids, &scored, top_k.unwrap_or(1))? {
                    context.result(&prediction, || fields(&prediction.id, &prediction.top))?;
                }
            }
            Link::Sigmoid => {
                for found in multi_label::predict(head, ids, &scored, top_k) {
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

/// The predictions for rows that `head` scored.
pub(super) fn predictions(head: &HeadFile, ids: &[String], scored: &Scored, top_k: usize) -> Result<Vec<Prediction>> {
    let strange = ood_marks(head, scored);
    let sets = prediction_sets(head, scored.probabilities.view())?;
    let named = |set: &Vec<usize>| set.iter().map(|&class| head.labels[class].clone()).collect();
    let predictions = ids.iter().zip(scored.probabilities.outer_iter()).enumerate().map(|(place, (id, row))| {
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
