//! `engraft predict`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::classifier::Classifier;
use super::inputs::{self, SourceArgs};
use super::model_args::ModelArgs;
use super::prediction::tell;
use super::{Context, Status};
use crate::error::Result;

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

impl Predict {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let classifier = Classifier::read(&self.head, &self.model)?;
        let backbone = || classifier.backbone(&self.model, context);
        let mut loaded = inputs::load(context, &self.inputs, &self.source, backbone)?;
        let scored = classifier.score(context, &self.inputs, &mut loaded.features)?;
        let ids = &loaded.features.ids;
        tell(context, classifier.head(), ids, &scored, self.top_k.map(NonZeroUsize::get))?;
        Ok(self.source.status(loaded.rejects.len(), loaded.features.ids.len()))
    }
}
