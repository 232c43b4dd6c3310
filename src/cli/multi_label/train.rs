//! Training where rows may have any number of labels.

use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView1, Axis, s};
use serde::Serialize;

use super::super::Context;
use super::super::fit::FitArgs;
use super::super::judging::{tell_of_fewer_folds, warn_of_repeated, warn_of_shared};
use super::super::train::{METRICS, certified, closing, metrics, warn_unconverged};
use super::eval::{headline, judge};
use super::{SEPARATOR, names, targets};
use crate::counted::counted;
use crate::error::{Error, Result};
use crate::eval::{Fold, MultiLabelOptions, MultiLabelReport, fold_label_sets, hold_out_label_sets};
use crate::features::FeatureSet;
use crate::head::{Certificate, HeadFile, HeadKind, Link, sigmoid};
use crate::progress::Progress;
use crate::report::multi_label_figures;
use crate::source::Split;

/// What training did; the report is of the rows that were held out.
#[derive(Debug, Serialize)]
pub(in super::super) struct TrainedMultiLabel {
    head: PathBuf,
    /// Number of labels.
    classes: usize,
    n_train: usize,
    certificate: Certificate,
    #[serde(flatten)]
    report: Option<MultiLabelReport>,
    /// What rows the report is of.
    #[serde(skip)]
    judged: String,
}

impl FitArgs {
    /// Splits, fits, evaluates on what was held out, and writes the head. All rows have a cell of labels.
    pub(in super::super) fn train_multi_label(
        &self,
        context: &Context,
        features: FeatureSet,
        separator: &str,
        output: &Path,
    ) -> Result<TrainedMultiLabel> {
        let names = names(&features, separator);
        let labels = targets(&features, &names, separator);
        check(context, &features, (&names, &labels), separator)?;
        let (train, test) = self.divide(context, &features, (&names, &labels))?;
        let n_train = train.len();
        let order = [train, test].concat();
        let (features, labels) = (features.into_rows(&order), labels.select(Axis(0), &order));
        let cross_validated = match self.judging.cv {
            Some(folds) => Some(self.cross_validate_multi_label(context, &features, (&names, &labels), folds)?),
            None => None,
        };
        let (x, y) = (features.matrix.slice(s![..n_train, ..]), labels.slice(s![..n_train, ..]));
        let fitted = self.head.logistic(context).fit_multi_label(x, y, &context.console)?;
        warn_unconverged(context, &fitted.certificate);
        let mut head = HeadFile {
            link: Link::Sigmoid,
            provenance: features.provenance.clone(),
            certificate: Some(fitted.certificate),
            ..HeadFile::new(HeadKind::Logistic, fitted.head.into(), names)
        };
        head.attach(SEPARATOR, &separator)?;
        let held_out = (features.matrix.slice(s![n_train.., ..]), labels.slice(s![n_train.., ..]));
        let report = match cross_validated {
            Some(report) => Some(report),
            None if n_train == order.len() => None,
            None => Some(judge(context, &head, &head.score(held_out.0)?, held_out.1)?),
        };
        let judged = self.judging.judged();
        if let Some(report) = &report {
            head.attach(METRICS, &metrics(&judged, report.n, multi_label_figures(report)))?;
        }
        head.write(output)?;
        Ok(TrainedMultiLabel {
            head: output.to_path_buf(),
            classes: head.labels.len(),
            n_train,
            certificate: fitted.certificate,
            report,
            judged,
        })
    }

    /// The rows that are trained on, and those that are held out.
    fn divide(
        &self,
        context: &Context,
        features: &FeatureSet,
        (names, labels): (&[String], &Array2<bool>),
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let share = self.judging.holdout.holdout;
        if self.judging.cv.is_some() || share == 0.0 {
            return Ok(((0..features.len()).collect(), Vec::new()));
        }
        let Fold { train, test } = hold_out_label_sets(labels.view(), share, context.seed)?;
        let untested = |rows: &ArrayView1<bool>| !test.iter().any(|&row| rows[row]);
        let untested: Vec<&String> =
            names.iter().zip(labels.columns()).filter(|(_, rows)| untested(rows)).map(|(name, _)| name).collect();
        if let Some(first) = untested.first() {
            context.console.note(&format!(
                "{} of which no row is held out, such as {first:?}: trained on, not tested",
                counted(untested.len(), "label")
            ));
        }
        let split = Split { train, test, ..Split::default() };
        warn_of_shared(context, features, &split);
        Ok((split.train, split.test))
    }

    /// The report of each row by heads that were fitted without it.
    fn cross_validate_multi_label(
        &self,
        context: &Context,
        features: &FeatureSet,
        (names, labels): (&[String], &Array2<bool>),
        folds: usize,
    ) -> Result<MultiLabelReport> {
        // With one row on a side, nothing tells of it without it.
        let judged = |label: &usize| {
            let rows = labels.column(*label).iter().filter(|has| **has).count();
            rows > 1 && rows + 1 < labels.nrows()
        };
        let judgeable: Vec<usize> = (0..names.len()).filter(judged).collect();
        let single = names.len() - judgeable.len();
        if single > 0 {
            let which = counted(single, "label");
            context.console.note(&format!("{which} with one row that has it, or has not: trained on, not tested"));
        }
        tell_of_fewer_folds(context, folds, (labels.nrows(), "rows"));
        warn_of_repeated(context, features);
        let labels = labels.select(Axis(1), &judgeable);
        let names: Vec<String> = judgeable.iter().map(|&label| names[label].clone()).collect();
        let mut probabilities = Array2::zeros(labels.dim());
        for Fold { train, test } in fold_label_sets(labels.view(), folds.min(labels.nrows()), context.seed)? {
            let (x, y) = (features.matrix.select(Axis(0), &train), labels.select(Axis(0), &train));
            if let Some(label) = same_everywhere(&y) {
                return Err(Error::Data(format!(
                    "too few rows tell the label {:?} for {folds} folds: give a smaller --cv, or --holdout",
                    names[label]
                )));
            }
            let head = self.head.logistic(context).fit_multi_label(x.view(), y.view(), &context.console)?.head;
            let judged = sigmoid(head.logits(features.matrix.select(Axis(0), &test).view())?);
            for (&row, judged) in test.iter().zip(judged.rows()) {
                probabilities.row_mut(row).assign(&judged);
            }
        }
        let options = MultiLabelOptions { seed: context.seed, ..MultiLabelOptions::default() };
        MultiLabelReport::new(labels.view(), probabilities.view(), &names, options)
    }
}

/// The first label that all rows have, or none.
fn same_everywhere(labels: &Array2<bool>) -> Option<usize> {
    labels.columns().into_iter().position(|rows| rows.iter().all(|&has| has == rows[0]))
}

/// Refuses labels that nothing can be learned of, by name.
fn check(
    context: &Context,
    features: &FeatureSet,
    (names, labels): (&[String], &Array2<bool>),
    separator: &str,
) -> Result<()> {
    if let [] | [_] = names {
        return Err(Error::Data(format!(
            "the rows have {} in all, and --label-separator needs two or more; of one, make two classes and leave the flag out",
            counted(names.len(), "label")
        )));
    }
    if let Some(label) = same_everywhere(labels) {
        return Err(Error::Data(format!("every row has the label {:?}: there is nothing to tell apart", names[label])));
    }
    if !features.labels.iter().flatten().any(|cell| cell.contains(separator)) {
        context.console.note(&format!("warning: no row's labels contain {separator:?}: each row has one label"));
    }
    Ok(())
}

impl TrainedMultiLabel {
    pub(in super::super) fn text(&self) -> String {
        let report = match &self.report {
            Some(report) => headline(report, &self.judged),
            None => "no rows were held out, so there is no accuracy to report".to_owned(),
        };
        let closing = closing(&counted(self.classes, "label"), self.n_train, &self.head);
        certified(&self.certificate) + &report + "\n" + &closing
    }
}
