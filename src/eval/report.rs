//! All metrics of one evaluation.

use ndarray::{ArrayView2, Axis};
use serde::Serialize;

use super::bootstrap::bootstrap;
use super::confusion::Confusion;
use super::interval::{Interval, wilson_of_mean};
use super::ranking::{Areas, mean_areas, rankings};
use super::reliability::{Reliability, ReliabilityBin};
use super::row_counts;
use super::rows::{argmax, brier_scores, log_losses, ranks, weighted_mean};
use crate::error::{Error, Result};

/// Above this many rows times classes a thousand resampled areas take many seconds: they are left out.
pub(super) const RESAMPLED_AREAS: usize = 2_000_000;

/// A runtime's softmax may exceed 1 by its rounding.
pub(super) const LARGEST: f32 = 1.0 + 1e-5;

/// What can be chosen about a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// k of the top-k accuracy, 5 by default. Left out of the report unless it is between 1 and K, both excluded.
    pub top_k: usize,
    /// Bootstrap resamples for the intervals, 1000 by default; 0 for no bootstrap intervals.
    pub resamples: usize,
    /// Seed of the resampling, 0 by default.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { top_k: 5, resamples: 1000, seed: 0 }
    }
}

/// The metrics of predictions on labelled rows. All intervals are 95 %: Wilson's for the accuracy, percentiles of a
/// bootstrap over rows for the others. The names are those of the command's JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Number of rows.
    pub n: usize,
    /// How many times each row was judged; each judgement counts as that part of a row. Not in JSON where it is 1.
    #[serde(skip_serializing_if = "once")]
    pub repeats: usize,
    /// Share of rows whose likeliest class is the label.
    pub accuracy: f64,
    /// Wilson's interval.
    pub accuracy_interval: Interval,
    /// Mean recall of the classes that have rows.
    pub balanced_accuracy: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy_interval: Option<Interval>,
    /// F1 of all classes' counts together: where each row has one class, this is the accuracy.
    pub micro_f1: f64,
    /// Wilson's interval, as the accuracy's.
    pub micro_f1_interval: Interval,
    /// Mean F1 of the classes that have rows or are predicted.
    pub macro_f1: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macro_f1_interval: Option<Interval>,
    /// Matthews' correlation coefficient, see [`Confusion::mcc`].
    pub mcc: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcc_interval: Option<Interval>,
    /// Mean of `−ln p(label)`, in nats.
    pub log_loss: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_loss_interval: Option<Interval>,
    /// Brier score: the mean over rows of `Σ (pₖ − [k = label])²`, halved for two classes.
    pub brier: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brier_interval: Option<Interval>,
    /// Expected calibration error over `reliability`: the mean over rows of their bin's |accuracy − confidence|.
    pub ece: f64,
    /// Bootstrap interval. The error is biased upwards in resampled rows, so that it may lie above the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ece_interval: Option<Interval>,
    /// Area under the ROC curve: of class 1 for two classes; for more the mean over classes of each against the rest,
    /// classes without rows left out. None when all rows are of one class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Bootstrap interval; none for millions of rows times classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc_interval: Option<Interval>,
    /// Average precision (the area under the curve of precision over recall, without interpolation): of class 1 for two
    /// classes; for more the mean over the classes that have rows. None when two classes have no row of class 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// Bootstrap interval; none for millions of rows times classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision_interval: Option<Interval>,
    /// Share of rows whose label is among the k likeliest classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<TopK>,
    /// Names of the classes, in the order of `per_class` and of `confusion`.
    pub labels: Vec<String>,
    /// Scores of each class.
    pub per_class: Vec<ClassReport>,
    /// Numbers of rows; true classes are rows, predicted ones columns. They sum to `support` and `n`: of rows that were judged
    /// several times each judgement counts as that part of a row, and the numbers need not be whole.
    #[serde(serialize_with = "row_counts::table")]
    pub confusion: Vec<Vec<f64>>,
    /// How far the likeliest class's probability can be believed, in 15 bins of equal width, whose counts sum to `n`.
    pub reliability: Vec<ReliabilityBin>,
}

/// Top-k accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TopK {
    /// k.
    pub k: usize,
    /// The share of rows.
    pub accuracy: f64,
    /// Wilson's interval.
    pub accuracy_interval: Interval,
}

/// Scores of one class, see [`super::ClassScores`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClassReport {
    /// Its name.
    pub label: String,
    /// Precision.
    pub precision: f64,
    /// Recall.
    pub recall: f64,
    /// F1.
    pub f1: f64,
    /// Rows of this class.
    pub support: u64,
}

impl Report {
    /// The report on n×K `probabilities` of rows whose true classes are `labels` (n indices below K); `names` are the K
    /// classes' names. The prediction of a row is its likeliest class, the first among equals.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, the sizes disagree, a label is not below K, or a probability is not in 0..=1.
    pub fn new(labels: &[usize], probabilities: ArrayView2<f32>, names: &[String], options: Options) -> Result<Self> {
        if labels.len() != probabilities.nrows() {
            // Else they would be taken for repeats.
            check(labels, probabilities, names)?;
        }
        Self::repeated(labels, probabilities, names, options)
    }

    /// The same of rows that were each judged several times, as repeated cross-validation does: (R·n)×K `probabilities`,
    /// those of the first time before those of the second. Each figure is that of all judgements together, and so, where it
    /// is a mean over rows, the mean of the repeats' figures. The sample is the n rows: the bootstrap draws rows with all
    /// that was said of each, and Wilson's interval is that of the mean share of n rows, not of R·n. Repeats thus steady the
    /// figures and narrow no interval below what n rows allow.
    ///
    /// # Errors
    /// As [`Report::new`]; [`Error::Data`] when there is not a whole number of judgements a row.
    pub fn repeated(
        labels: &[usize],
        probabilities: ArrayView2<f32>,
        names: &[String],
        options: Options,
    ) -> Result<Self> {
        let n = labels.len();
        let repeats = probabilities.nrows() / n.max(1);
        let labels = &labels.repeat(repeats);
        check(labels, probabilities, names)?;
        let (judgements, classes) = probabilities.dim();
        let once = vec![1; judgements];
        let predicted = argmax(probabilities);
        let losses = log_losses(labels, probabilities);
        let briers = brier_scores(labels, probabilities);
        let reliability = Reliability::new(labels, &predicted, probabilities);
        let rankings = rankings(labels, probabilities);
        let confusion = Confusion::new(labels, &predicted, &once, classes);
        let areas = mean_areas(&rankings, &once);
        let interval = |correct: u64| wilson_of_mean(correct, n as u64, repeats as u64);
        let accuracy_interval = interval(confusion.correct());

        let with_areas = judgements.saturating_mul(classes) <= RESAMPLED_AREAS;
        let intervals = bootstrap(n, options.resamples, options.seed, |times| {
            let times = &times.repeat(repeats);
            let confusion = Confusion::new(labels, &predicted, times, classes);
            let areas = if with_areas { mean_areas(&rankings, times) } else { Areas::default() };
            [
                Some(confusion.balanced_accuracy()),
                Some(confusion.macro_f1()),
                Some(confusion.mcc()),
                Some(weighted_mean(&losses, times)),
                Some(weighted_mean(&briers, times)),
                Some(reliability.ece(times)),
                areas.roc,
                areas.precision,
            ]
        });
        let [balanced_accuracy, macro_f1, mcc, log_loss, brier, ece, roc_auc, average_precision] = intervals;

        let top_k = (options.top_k > 1 && options.top_k < classes).then(|| {
            let within = ranks(labels, probabilities).into_iter().filter(|&rank| rank < options.top_k).count();
            let accuracy_interval = interval(within as u64);
            TopK { k: options.top_k, accuracy: within as f64 / judgements as f64, accuracy_interval }
        });
        let of_rows = |judgements: u64| judgements as f64 / repeats as f64;
        let per_class = confusion.per_class().into_iter().zip(names).map(|(scores, name)| ClassReport {
            label: name.clone(),
            precision: scores.precision,
            recall: scores.recall,
            f1: scores.f1,
            support: scores.support / repeats as u64,
        });
        Ok(Self {
            n,
            repeats,
            accuracy: confusion.accuracy(),
            accuracy_interval,
            balanced_accuracy: confusion.balanced_accuracy(),
            balanced_accuracy_interval: balanced_accuracy,
            micro_f1: confusion.accuracy(),
            micro_f1_interval: accuracy_interval,
            macro_f1: confusion.macro_f1(),
            macro_f1_interval: macro_f1,
            mcc: confusion.mcc(),
            mcc_interval: mcc,
            log_loss: weighted_mean(&losses, &once),
            log_loss_interval: log_loss,
            brier: weighted_mean(&briers, &once),
            brier_interval: brier,
            ece: reliability.ece(&once),
            ece_interval: ece,
            roc_auc: areas.roc,
            roc_auc_interval: roc_auc,
            average_precision: areas.precision,
            average_precision_interval: average_precision,
            top_k,
            labels: names.to_vec(),
            per_class: per_class.collect(),
            confusion: confusion
                .counts()
                .axis_iter(Axis(0))
                .map(|row| row.iter().map(|&n| of_rows(n)).collect())
                .collect(),
            reliability: reliability.bins(repeats),
        })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // As serde calls it.
fn once(repeats: &usize) -> bool {
    *repeats == 1
}

fn check(labels: &[usize], probabilities: ArrayView2<f32>, names: &[String]) -> Result<()> {
    if names.len() != probabilities.ncols() {
        return Err(Error::Data(format!(
            "cannot evaluate {} probabilities a row with {} class names",
            probabilities.ncols(),
            names.len()
        )));
    }
    check_rows(labels, probabilities)
}

/// # Errors
/// [`Error::Data`] when there are no rows, the sizes disagree, a label is not below K, or a probability is not in 0..=1.
pub(super) fn check_rows(labels: &[usize], probabilities: ArrayView2<f32>) -> Result<()> {
    check_labels(labels, probabilities)?;
    match probabilities.indexed_iter().find(|(_, p)| !(0.0..=LARGEST).contains(*p)) {
        Some(((row, class), p)) => Err(Error::Data(format!("the probability of class {class} in row {row} is {p}"))),
        None => Ok(()),
    }
}

/// # Errors
/// [`Error::Data`] when there are no rows, the sizes disagree, or a label is not below K.
pub(super) fn check_labels(labels: &[usize], scores: ArrayView2<f32>) -> Result<()> {
    let (n, classes) = scores.dim();
    if n == 0 || labels.len() != n {
        return Err(Error::Data(format!("{n} rows of {classes} classes cannot have {} labels", labels.len())));
    }
    match labels.iter().position(|&label| label >= classes) {
        Some(row) => Err(Error::Data(format!("row {row} is of class {}, but there are only {classes}", labels[row]))),
        None => Ok(()),
    }
}
