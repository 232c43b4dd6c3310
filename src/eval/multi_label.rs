//! Metrics where a row may have any number of labels.

use ndarray::{Array1, ArrayView1, ArrayView2};
use serde::Serialize;

use super::bootstrap::bootstrap;
use super::confusion::ratio;
use super::interval::{Interval, wilson};
use super::ranking::{Areas, Ranking, mean, mean_areas};
use super::report::{LARGEST, RESAMPLED_AREAS};
use super::rows::weighted_mean;
use crate::error::{Error, Result};

/// What can be chosen about a [`MultiLabelReport`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MultiLabelOptions {
    /// A row is predicted to have the labels of at least this probability; 0.5 by default.
    pub threshold: f32,
    /// Bootstrap resamples for the intervals, 1000 by default; 0 for no bootstrap intervals.
    pub resamples: usize,
    /// Seed of the resampling, 0 by default.
    pub seed: u64,
}

impl Default for MultiLabelOptions {
    fn default() -> Self {
        Self { threshold: 0.5, resamples: 1000, seed: 0 }
    }
}

/// The metrics of multi-label predictions. Conventions are scikit-learn's, with `zero_division=0`. All intervals are 95 %:
/// Wilson's for the accuracy, percentiles of a bootstrap over rows for the others. The names are those of the command's JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MultiLabelReport {
    /// Number of rows.
    pub n: usize,
    /// A row is predicted to have the labels of at least this probability.
    pub threshold: f32,
    /// Subset accuracy: the share of rows that are predicted to have the labels that they have, and no other.
    pub accuracy: f64,
    /// Wilson's interval.
    pub accuracy_interval: Interval,
    /// F1 of the counts of all labels together.
    pub micro_f1: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_f1_interval: Option<Interval>,
    /// Mean F1 of all labels; a label neither had nor predicted counts 0.
    pub macro_f1: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macro_f1_interval: Option<Interval>,
    /// Mean over rows and labels of `−ln p` of what is true, that the row has the label or that it has not, in nats.
    pub log_loss: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_loss_interval: Option<Interval>,
    /// Mean area under the ROC curve of the labels that have one; `None` where none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Bootstrap interval; none for millions of rows times labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc_interval: Option<Interval>,
    /// Area under the ROC curve of the pairs of a row and a label, all ranked together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_roc_auc: Option<f64>,
    /// Bootstrap interval; none for millions of rows times labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_roc_auc_interval: Option<Interval>,
    /// Mean average precision of the labels that some row has; `None` where none has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// Bootstrap interval; none for millions of rows times labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision_interval: Option<Interval>,
    /// Average precision of the pairs of a row and a label, all ranked together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_average_precision: Option<f64>,
    /// Bootstrap interval; none for millions of rows times labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_average_precision_interval: Option<Interval>,
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
    /// The report on n×K `probabilities` of rows whose labels are the n×K `targets`; `names` are the K labels' names. The areas
    /// do not depend on the threshold.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows or labels, the sizes disagree, a probability is not in 0..=1, or the threshold is NaN.
    pub fn new(
        targets: ArrayView2<bool>,
        probabilities: ArrayView2<f32>,
        names: &[String],
        options: MultiLabelOptions,
    ) -> Result<Self> {
        check(targets, probabilities, names, options.threshold)?;
        let (n, classes) = probabilities.dim();
        let once = vec![1; n];
        let columns = targets.columns().into_iter().zip(probabilities.columns());
        let marks: Vec<Marks> = columns.clone().map(|(has, p)| Marks::new(has, p, options.threshold)).collect();
        let rankings: Vec<Ranking> = columns.map(|(has, p)| Ranking::new(p, |row| has[row])).collect();
        let together = Together::new(targets, probabilities);
        let losses = log_losses(targets, probabilities);
        let exact = exactly_right(targets, probabilities, options.threshold);

        let with_areas = n.saturating_mul(classes) <= RESAMPLED_AREAS;
        let intervals = bootstrap(n, options.resamples, options.seed, |times| {
            let (micro_f1, macro_f1) = f1(&marks, times);
            let (each, all) = match with_areas {
                true => (mean_areas(&rankings, times), together.areas(times)),
                false => (Areas::default(), Areas::default()),
            };
            let loss = weighted_mean(&losses, times);
            [Some(micro_f1), Some(macro_f1), Some(loss), each.roc, all.roc, each.precision, all.precision]
        });
        let [of_micro_f1, of_macro_f1, of_loss, of_roc, of_micro_roc, of_precision, of_micro_precision] = intervals;
        let (micro_f1, macro_f1) = f1(&marks, &once);
        let (each, all) = (mean_areas(&rankings, &once), together.areas(&once));
        let per_label = marks.iter().zip(&rankings).zip(names).map(|((marks, ranking), name)| {
            let (counts, areas) = (marks.count(&once), ranking.areas(&once));
            LabelReport {
                label: name.clone(),
                precision: ratio(counts.both, counts.predicted),
                recall: ratio(counts.both, counts.support),
                f1: counts.f1(),
                support: counts.support,
                roc_auc: areas.roc,
                average_precision: areas.precision,
            }
        });
        Ok(Self {
            n,
            threshold: options.threshold,
            accuracy: exact as f64 / n as f64,
            accuracy_interval: wilson(exact, n as u64),
            micro_f1,
            micro_f1_interval: of_micro_f1,
            macro_f1,
            macro_f1_interval: of_macro_f1,
            log_loss: weighted_mean(&losses, &once),
            log_loss_interval: of_loss,
            roc_auc: each.roc,
            roc_auc_interval: of_roc,
            micro_roc_auc: all.roc,
            micro_roc_auc_interval: of_micro_roc,
            average_precision: each.precision,
            average_precision_interval: of_precision,
            micro_average_precision: all.precision,
            micro_average_precision_interval: of_micro_precision,
            per_label: per_label.collect(),
        })
    }
}

fn check(targets: ArrayView2<bool>, probabilities: ArrayView2<f32>, names: &[String], threshold: f32) -> Result<()> {
    let (n, classes) = probabilities.dim();
    if probabilities.is_empty() || targets.dim() != probabilities.dim() || names.len() != classes {
        return Err(Error::Data(format!(
            "cannot evaluate {n}×{classes} probabilities with {}×{} targets and {} label names",
            targets.nrows(),
            targets.ncols(),
            names.len()
        )));
    }
    let wrong = probabilities.indexed_iter().find(|(_, p)| !(0.0..=LARGEST).contains(*p));
    if let Some(((row, label), p)) = wrong {
        return Err(Error::Data(format!("the probability of label {label} in row {row} is {p}")));
    }
    match threshold.is_nan() {
        true => Err(Error::Data("the threshold of the probabilities is NaN".to_string())),
        false => Ok(()),
    }
}

/// Micro and macro F1 when row i counts `times[i]` times.
fn f1(marks: &[Marks], times: &[u32]) -> (f64, f64) {
    let counts: Vec<Counts> = marks.iter().map(|marks| marks.count(times)).collect();
    let all = counts.iter().fold(Counts::default(), |all, &counts| all.and(counts));
    (all.f1(), mean(counts.iter().map(|counts| counts.f1())).unwrap_or(0.0))
}

/// Each row's mean over the labels of `−ln p` of what is true, clipped as those of single labels are.
fn log_losses(targets: ArrayView2<bool>, probabilities: ArrayView2<f32>) -> Vec<f64> {
    let epsilon = f64::from(f32::EPSILON);
    let loss = |(&has, &p): (&bool, &f32)| {
        let p = f64::from(p).clamp(epsilon, 1.0 - epsilon);
        -(if has { p } else { 1.0 - p }).ln()
    };
    let rows = targets.rows().into_iter().zip(probabilities.rows());
    rows.map(|(has, p)| has.iter().zip(p).map(loss).sum::<f64>() / p.len() as f64).collect()
}

/// How many rows are predicted to have what they have, and nothing else.
fn exactly_right(targets: ArrayView2<bool>, probabilities: ArrayView2<f32>, threshold: f32) -> u64 {
    let rows = targets.rows().into_iter().zip(probabilities.rows());
    let right = rows.filter(|(has, p)| has.iter().zip(p).all(|(&has, &p)| has == (p >= threshold)));
    right.count() as u64
}

/// All pairs of a row and a label in the order of their probabilities.
struct Together {
    ranking: Ranking,
    classes: usize,
}

impl Together {
    fn new(targets: ArrayView2<bool>, probabilities: ArrayView2<f32>) -> Self {
        let classes = probabilities.ncols();
        let flat = Array1::from_iter(probabilities.iter().copied());
        let ranking = Ranking::new(flat.view(), |pair| targets[[pair / classes, pair % classes]]);
        Self { ranking, classes }
    }

    fn areas(&self, times: &[u32]) -> Areas {
        let times: Vec<u32> = times.iter().flat_map(|&time| std::iter::repeat_n(time, self.classes)).collect();
        self.ranking.areas(&times)
    }
}

/// The rows that have a label or are predicted to.
struct Marks(Vec<Mark>);

struct Mark {
    row: usize,
    has: bool,
    predicted: bool,
}

impl Marks {
    fn new(targets: ArrayView1<bool>, probabilities: ArrayView1<f32>, threshold: f32) -> Self {
        let rows = targets.iter().zip(probabilities).enumerate();
        let marks = rows.map(|(row, (&has, &p))| Mark { row, has, predicted: p >= threshold });
        Self(marks.filter(|mark| mark.has || mark.predicted).collect())
    }

    /// When row i counts `times[i]` times.
    fn count(&self, times: &[u32]) -> Counts {
        self.0.iter().fold(Counts::default(), |counts, &Mark { row, has, predicted }| {
            let of = |counts: bool| if counts { u64::from(times[row]) } else { 0 };
            counts.and(Counts { both: of(has && predicted), support: of(has), predicted: of(predicted) })
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
    fn and(self, other: Self) -> Self {
        Self {
            both: self.both + other.both,
            support: self.support + other.support,
            predicted: self.predicted + other.predicted,
        }
    }

    fn f1(self) -> f64 {
        ratio(2 * self.both, self.support + self.predicted)
    }
}
