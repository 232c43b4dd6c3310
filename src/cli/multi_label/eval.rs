//! How good a head is where rows may have any number of labels.

use std::collections::HashSet;

use super::super::Context;
use super::super::classifier::Classifier;
use super::super::eval::{MOST_CLASSES, figure_table};
use super::super::results::table;
use super::super::train::labelled;
use super::{labels, names, separator, targets};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::{MultiLabelOptions, MultiLabelReport};
use crate::features::FeatureSet;
use crate::head::{HeadFile, Scored};
use crate::progress::Progress;
use crate::report::multi_label_figures;

/// The report of a model on the rows that have a cell of labels. Labels that it does not know are passed over.
pub(in super::super) fn evaluate(
    context: &Context,
    classifier: &Classifier,
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
    let scored = classifier.score(context, &mut features)?;
    judge(context, head, &features, &scored)
}

/// The report of what a head scored, on rows of which each has a cell of labels.
pub(super) fn judge(
    context: &Context,
    head: &HeadFile,
    features: &FeatureSet,
    scored: &Scored,
) -> Result<MultiLabelReport> {
    let targets = targets(features, &head.labels, &separator(head)?);
    let options = MultiLabelOptions { seed: context.seed, ..MultiLabelOptions::default() };
    MultiLabelReport::new(targets.view(), scored.probabilities.view(), &head.labels, options)
}

/// The figures with their intervals, a line each.
pub(super) fn headline(report: &MultiLabelReport, rows: &str) -> String {
    figure_table(report.n, rows, multi_label_figures(report))
}

/// The figures, and the scores of each label.
pub(in super::super) fn text(report: &MultiLabelReport) -> String {
    let mut order: Vec<&_> = report.per_label.iter().collect();
    if order.len() > MOST_CLASSES {
        order.sort_by(|a, b| a.f1.total_cmp(&b.f1));
        order.truncate(MOST_CLASSES);
    }
    let shown = order.len();
    let area = |area: Option<f64>| area.map_or_else(String::new, |area| format!("{area:.3}"));
    let rows = order.into_iter().map(|label| {
        let mut cells = vec![label.label.clone()];
        cells.extend([label.precision, label.recall, label.f1].map(|score| format!("{score:.3}")));
        cells.extend([area(label.roc_auc), area(label.average_precision), label.support.to_string()]);
        cells
    });
    let header = ["label", "precision", "recall", "F1", "ROC AUC", "average precision", "rows"];
    let mut text = headline(report, "rows") + "\n\n" + &table(&header, rows);
    if shown < report.per_label.len() {
        text += &format!("\nthe {shown} worst of {}; --json has all", counted(report.per_label.len(), "label"));
    }
    text
}
