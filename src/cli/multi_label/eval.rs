//! How good a head is where rows may have any number of labels.

use std::collections::HashSet;
use std::path::PathBuf;

use ndarray::ArrayView2;

use super::super::Context;
use super::super::classifier::Classifier;
use super::super::eval::figure_table;
use super::super::results::table_of_worst;
use super::super::train::labelled;
use super::{labels, names, separator, targets};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::{LabelReport, MultiLabelOptions, MultiLabelReport};
use crate::features::FeatureSet;
use crate::head::{HeadFile, Scored};
use crate::progress::Progress;
use crate::report::multi_label_figures;

/// The report of a model on the rows that have a cell of labels. Labels that it does not know are passed over.
pub(in super::super) fn evaluate(
    context: &Context,
    (classifier, inputs): (&Classifier, &[PathBuf]),
    features: FeatureSet,
) -> Result<MultiLabelReport> {
    let mut features = labelled(context, features)?;
    let head = classifier.head();
    let separator = separator(head)?;
    let known: HashSet<&String> = head.labels.iter().collect();
    let found = names(&features, &separator);
    let unknown: Vec<&str> = found.iter().filter(|name| !known.contains(name)).map(String::as_str).collect();
    if unknown.len() == found.len() {
        return Err(Error::Data(format!("no row has one of the head's labels: {}", head.labels.join(", "))));
    }
    if let Some(first) = unknown.first() {
        let among: HashSet<&str> = unknown.iter().copied().collect();
        let has_one = |cell: &&String| labels(cell, &separator).any(|label| among.contains(label));
        let rows = features.labels.iter().flatten().filter(has_one).count();
        context.console.note(&format!(
            "warning: passed over: {} that the head does not know, such as {first:?}, of {}",
            counted(unknown.len(), "label"),
            counted(rows, "row")
        ));
    }
    let scored = classifier.score(context, inputs, &mut features)?;
    judge(context, head, &scored, targets(&features, &head.labels, &separator).view())
}

/// The report of what a head scored, on rows that have which of its labels, n×K.
pub(super) fn judge(
    context: &Context,
    head: &HeadFile,
    scored: &Scored,
    labels: ArrayView2<bool>,
) -> Result<MultiLabelReport> {
    let options = MultiLabelOptions { seed: context.seed, ..MultiLabelOptions::default() };
    MultiLabelReport::new(labels, scored.probabilities.view(), &head.labels, options)
}

/// The figures with their intervals, a line each.
pub(super) fn headline(report: &MultiLabelReport, rows: &str) -> String {
    figure_table(report.n, rows, multi_label_figures(report))
}

/// The figures, and the scores of each label.
pub(in super::super) fn text(report: &MultiLabelReport) -> String {
    let area = |area: Option<f64>| area.map_or_else(String::new, |area| format!("{area:.3}"));
    let cells = |label: &LabelReport| {
        let mut cells = vec![label.label.clone()];
        cells.extend([label.precision, label.recall, label.f1].map(|score| format!("{score:.3}")));
        cells.extend([area(label.roc_auc), area(label.average_precision), label.support.to_string()]);
        cells
    };
    let header = ["label", "precision", "recall", "F1", "ROC AUC", "average precision", "rows"];
    let labels = table_of_worst(&header, &report.per_label, ("label", "--json has all"), |label| label.f1, cells);
    headline(report, "rows") + "\n\n" + &labels
}
