//! Metrics where a row may have any number of labels.

use ndarray::ArrayView2;
use serde::Serialize;

use super::confusion::ratio;
use super::ranking::{Ranking, mean};
use crate::error::{Error, Result};

/// The metrics of multi-label predictions. Conventions are scikit-learn's, with `zero_division=0`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MultiLabelReport {
    /// Number of rows.
    pub n: usize,
    /// A label is predicted where its score is at least this.
    pub threshold: f32,
    /// F1 of the counts of all labels together.
    pub micro_f1: f64,
    /// Mean F1 of all labels; a label neither had nor predicted counts 0.
    pub macro_f1: f64,
    /// Mean area under the ROC curve of the labels that have one; `None` where none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Mean average precision of the labels that some row has; `None` where none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// Scores of each label.
    pub per_label: Vec<LabelReport>,
}

/// Scores of one label.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// Its name.
    pub label: String,
    /// Of the rows predicted to have it, the share that has; 0 when none is.
    pub precision: f64,
    /// Of the rows that have it, the share predicted to; 0 when there are none.
    pub recall: f64,
    /// Harmonic mean of the two; 0 when both are.
    pub f1: f64,
    /// Rows that have it.
    pub support: u64,
    /// Area under the ROC curve; `None` when all rows have it or none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Average precision; `None` when no row has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
}

impl MultiLabelReport {
    /// The report on n×K `scores` of rows whose labels are the n×K `targets`; `names` are the K labels' names. The areas
    /// do not depend on `threshold`, and any increasing function of a label's scores gives the same.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows or labels, the sizes disagree, or a score or the threshold is NaN.
    pub fn new(targets: ArrayView2<bool>, scores: ArrayView2<f32>, names: &[String], threshold: f32) -> Result<Self> {
        let (n, classes) = scores.dim();
        if scores.is_empty() || targets.dim() != scores.dim() || names.len() != classes {
            return Err(Error::Data(format!(
                "cannot evaluate {n}×{classes} scores with {}×{} targets and {} label names",
                targets.nrows(),
                targets.ncols(),
                names.len()
            )));
        }
        if let Some(((row, label), _)) = scores.indexed_iter().find(|(_, score)| score.is_nan()) {
            return Err(Error::Data(format!("the score of label {label} in row {row} is NaN")));
        }
        if threshold.is_nan() {
            return Err(Error::Data("the threshold of the scores is NaN".to_string()));
        }
        let once = vec![1; n];
        let (mut per_label, mut all) = (Vec::with_capacity(classes), Counts::default());
        for ((targets, scores), name) in targets.columns().into_iter().zip(scores.columns()).zip(names) {
            let mut counts = Counts::default();
            for (&target, &score) in targets.iter().zip(scores) {
                counts.add(target, score >= threshold);
            }
            all.merge(counts);
            let areas = Ranking::new(scores, |row| targets[row]).areas(&once);
            per_label.push(LabelReport {
                label: name.clone(),
                precision: ratio(counts.both, counts.predicted),
                recall: ratio(counts.both, counts.support),
                f1: counts.f1(),
                support: counts.support,
                roc_auc: areas.roc,
                average_precision: areas.precision,
            });
        }
        Ok(Self {
            n,
            threshold,
            micro_f1: all.f1(),
            macro_f1: mean(per_label.iter().map(|label| label.f1)).unwrap_or(0.0),
            roc_auc: mean(per_label.iter().filter_map(|label| label.roc_auc)),
            average_precision: mean(per_label.iter().filter_map(|label| label.average_precision)),
            per_label,
        })
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    both: u64,
    support: u64,
    predicted: u64,
}

impl Counts {
    fn add(&mut self, target: bool, predicted: bool) {
        self.merge(Self { both: (target && predicted).into(), support: target.into(), predicted: predicted.into() });
    }

    fn merge(&mut self, other: Self) {
        self.both += other.both;
        self.support += other.support;
        self.predicted += other.predicted;
    }

    fn f1(self) -> f64 {
        ratio(2 * self.both, self.support + self.predicted)
    }
}
