//! `engraft eval`.

use std::path::PathBuf;

use super::inputs::{self, ModelArgs, SourceArgs};
use super::predict::{backbone_of, check_same_backbone};
use super::results::table;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::eval::Report;
use crate::features::FeatureSet;
use crate::head::HeadFile;
use crate::progress::Progress;

/// Tell how good a trained head is on labelled data it has not seen
///
/// Examples:
///   engraft eval head.onnx test.parquet
///   engraft eval head.onnx test-photos/ --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Eval {
    /// A head from `engraft train`
    #[arg(value_name = "MODEL.onnx")]
    head: PathBuf,
    /// Labelled images, texts or features
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    source: SourceArgs,
}

impl Eval {
    pub(super) fn run(self, context: &Context) -> Result<Status> {
        let head = HeadFile::read(&self.head)?;
        let loaded = inputs::load(context, &self.inputs, &self.source, || backbone_of(&head, &self.model, context))?;
        let features = loaded.features;
        let known: Vec<usize> = (0..features.ids.len())
            .filter(|&i| features.labels[i].as_ref().is_some_and(|l| head.labels.contains(l)))
            .collect();
        if known.is_empty() {
            return Err(Error::Data(format!("no row has one of the head's labels: {}", head.labels.join(", "))));
        }
        let left_out = features.ids.len() - known.len();
        if left_out > 0 {
            context.console.note(&format!("warning: {left_out} rows have no label or one the head does not know; they are left out"));
        }
        let status = self.source.status(loaded.rejects.len(), features.ids.len());
        let report = report(&head, &features.select(&known), context.seed)?;
        context.result(&report, || format!("{}\n\n{}", headline(&report), details(&report)))?;
        Ok(status)
    }
}

/// Evaluates a head on features whose labels it knows.
pub(super) fn report(head: &HeadFile, features: &FeatureSet, seed: u64) -> Result<Report> {
    check_same_backbone(head, features)?;
    let truth = features.class_indices(&head.labels)?;
    let probabilities = head.head.probabilities(features.matrix.view())?;
    Report::new(&truth, probabilities.mapv(f64::from).view(), &head.labels, seed)
}
