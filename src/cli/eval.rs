//! `engraft eval`.

use std::path::PathBuf;

use super::inputs::{self, ModelArgs, SourceArgs};
use super::predict::{backbone_of, check_same_backbone};
use super::results::table;
use super::{Context, Status};
use crate::error::{Error, Result};
use crate::eval::{Interval, Options, Report};
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
            if features.labels.iter().all(Option::is_none) {
                return Err(super::train::no_labels());
            }
            return Err(Error::Data(format!("no row has one of the head's labels: {}", head.labels.join(", "))));
        }
        let left_out = features.ids.len() - known.len();
        if left_out > 0 {
            context.console.note(&format!(
                "warning: {left_out} rows have no label or one the head does not know; they are left out"
            ));
        }
        let status = self.source.status(loaded.rejects.len(), features.ids.len());
        super::predict::warn_of_unknown(context, &head, &features);
        let report = report(&head, &features.select(&known), context.seed)?;
        context.result(&report, || [headline(&report, "rows"), further(&report), details(&report)].join("\n\n"))?;
        Ok(status)
    }
}

/// Evaluates a head on features whose labels it knows.
pub(super) fn report(head: &HeadFile, features: &FeatureSet, seed: u64) -> Result<Report> {
    check_same_backbone(head, features)?;
    let truth = features.class_indices(&head.labels)?;
    let probabilities = head.head.probabilities(features.matrix.view())?;
    Report::new(&truth, probabilities.view(), &head.labels, Options { seed, ..Options::default() })
}

fn line(name: &str, value: f64, interval: Option<Interval>) -> Vec<String> {
    let interval = interval.map_or_else(String::new, |[low, high]| format!("   [{low:.4}, {high:.4}]"));
    vec![name.to_owned(), format!("{value:.4}{interval}")]
}

/// What else tells how good the classes and the probabilities are.
fn further(report: &Report) -> String {
    let mut lines = vec![
        line("Matthews' correlation", report.mcc, report.mcc_interval),
        line("Brier score", report.brier, report.brier_interval),
        line("calibration error", report.ece, report.ece_interval),
    ];
    let average_precision = |value| line("average precision", value, report.average_precision_interval);
    lines.extend(report.average_precision.map(average_precision));
    table(&["further figures", "value and 95 % interval"], lines)
}

/// The figures that matter most, with their intervals, a line each.
pub(super) fn headline(report: &Report, rows: &str) -> String {
    let mut lines = vec![
        line("accuracy", report.accuracy, Some(report.accuracy_interval)),
        line("balanced accuracy", report.balanced_accuracy, None),
        line("macro F1", report.macro_f1, report.macro_f1_interval),
        line("log loss", report.log_loss, report.log_loss_interval),
    ];
    lines.extend(report.roc_auc.map(|auc| line("ROC AUC", auc, report.roc_auc_interval)));
    lines.extend(report.top_k.map(|t| line(&format!("top-{} accuracy", t.k), t.accuracy, Some(t.accuracy_interval))));
    table(&[&format!("on {} {rows}", report.n), "value and 95 % interval"], lines)
}

/// How many classes a confusion matrix is shown for: beyond, it fits no terminal.
const MOST_COLUMNS: usize = 12;

/// Scores of each class, and who is taken for whom.
fn details(report: &Report) -> String {
    let counts = report.per_class.len() <= MOST_COLUMNS;
    let mut header = vec!["class".to_owned(), "precision".into(), "recall".into(), "F1".into(), "rows".into()];
    if counts {
        header.extend(
            report.per_class.iter().map(|class| format!("→{}", class.label.chars().take(7).collect::<String>())),
        );
    }
    let rows = report.per_class.iter().zip(&report.confusion).map(|(class, predicted)| {
        let score = |x: f64| format!("{x:.3}");
        let mut cells = vec![
            class.label.clone(),
            score(class.precision),
            score(class.recall),
            score(class.f1),
            class.support.to_string(),
        ];
        if counts {
            cells.extend(predicted.iter().map(u64::to_string));
        }
        cells
    });
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), rows)
}
