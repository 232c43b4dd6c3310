//! All metrics of one evaluation.

use ndarray::{ArrayView2, Axis};
use serde::Serialize;

use super::auc::{mean_area, rankings};
use super::confusion::Confusion;
use super::interval::{Interval, central, resample, wilson};
use super::rows::{argmax, log_losses, ranks};
use crate::error::{Error, Result};

/// Above this many rows times classes a thousand resampled ROC areas take many seconds: they are left out.
const RESAMPLED_AREAS: usize = 2_000_000;

/// A runtime's softmax may exceed 1 by its rounding.
const LARGEST: f32 = 1.0 + 1e-5;

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
    /// Share of rows whose likeliest class is the label.
    pub accuracy: f64,
    /// Wilson's interval.
    pub accuracy_interval: Interval,
    /// Mean recall of the classes that have rows.
    pub balanced_accuracy: f64,
    /// Mean F1 of the classes that have rows or are predicted.
    pub macro_f1: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub macro_f1_interval: Option<Interval>,
    /// Mean of `−ln p(label)`, in nats.
    pub log_loss: f64,
    /// Bootstrap interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_loss_interval: Option<Interval>,
    /// Area under the ROC curve: of class 1 for two classes; for more the mean over classes of each against the rest,
    /// classes without rows left out. None when all rows are of one class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc: Option<f64>,
    /// Bootstrap interval; none for millions of rows times classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roc_auc_interval: Option<Interval>,
    /// Share of rows whose label is among the k likeliest classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<TopK>,
    /// Names of the classes, in the order of `per_class` and of `confusion`.
    pub labels: Vec<String>,
    /// Scores of each class.
    pub per_class: Vec<ClassReport>,
    /// Counts; rows are true classes, columns predicted ones.
    pub confusion: Vec<Vec<u64>>,
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
        check(labels, probabilities, names)?;
        let (n, classes) = probabilities.dim();
        let once = vec![1; n];
        let predicted = argmax(probabilities);
        let losses = log_losses(labels, probabilities);
        let rankings = rankings(labels, probabilities);
        let confusion = Confusion::new(labels, &predicted, &once, classes);

        let (mut f1s, mut mean_losses, mut areas) = (Vec::new(), Vec::new(), Vec::new());
        let mut rng = fastrand::Rng::with_seed(options.seed);
        let mut times = vec![0; n];
        for _ in 0..options.resamples {
            resample(&mut rng, &mut times);
            f1s.push(Confusion::new(labels, &predicted, &times, classes).macro_f1());
            mean_losses.push(losses.iter().zip(&times).map(|(loss, &t)| loss * f64::from(t)).sum::<f64>() / n as f64);
            if n.saturating_mul(classes) <= RESAMPLED_AREAS {
                areas.extend(mean_area(&rankings, &times));
            }
        }

        let top_k = (options.top_k > 1 && options.top_k < classes).then(|| {
            let within = ranks(labels, probabilities).into_iter().filter(|&rank| rank < options.top_k).count();
            let accuracy_interval = wilson(within as u64, n as u64);
            TopK { k: options.top_k, accuracy: within as f64 / n as f64, accuracy_interval }
        });
        let per_class = confusion.per_class().into_iter().zip(names).map(|(scores, name)| ClassReport {
            label: name.clone(),
            precision: scores.precision,
            recall: scores.recall,
            f1: scores.f1,
            support: scores.support,
        });
        Ok(Self {
            n,
            accuracy: confusion.accuracy(),
            accuracy_interval: wilson(confusion.correct(), n as u64),
            balanced_accuracy: confusion.balanced_accuracy(),
            macro_f1: confusion.macro_f1(),
            macro_f1_interval: central(f1s),
            log_loss: losses.iter().sum::<f64>() / n as f64,
            log_loss_interval: central(mean_losses),
            roc_auc: mean_area(&rankings, &once),
            roc_auc_interval: central(areas),
            top_k,
            labels: names.to_vec(),
            per_class: per_class.collect(),
            confusion: confusion.counts().axis_iter(Axis(0)).map(|row| row.to_vec()).collect(),
        })
    }
}

fn check(labels: &[usize], probabilities: ArrayView2<f32>, names: &[String]) -> Result<()> {
    let (n, classes) = probabilities.dim();
    if n == 0 || labels.len() != n || names.len() != classes {
        return Err(Error::Data(format!(
            "cannot evaluate {n} rows of {classes} probabilities with {} labels and {} class names",
            labels.len(),
            names.len()
        )));
    }
    if let Some(row) = labels.iter().position(|&label| label >= classes) {
        return Err(Error::Data(format!("row {row} is of class {}, but there are only {classes}", labels[row])));
    }
    match probabilities.indexed_iter().find(|(_, p)| !(0.0..=LARGEST).contains(*p)) {
        Some(((row, class), p)) => Err(Error::Data(format!("the probability of class {class} in row {row} is {p}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// See `tests/golden/eval/make_eval.py`.
    #[derive(Deserialize)]
    struct Golden {
        labels: Vec<usize>,
        probabilities: Vec<Vec<f32>>,
        accuracy: f64,
        balanced_accuracy: f64,
        interval: [f64; 2],
        macro_f1: f64,
        precision: Vec<f64>,
        recall: Vec<f64>,
        f1: Vec<f64>,
        support: Vec<u64>,
        confusion: Vec<Vec<u64>>,
        log_loss: f64,
        top: usize,
        top_accuracy: f64,
        roc_auc: Option<f64>,
    }

    fn golden() -> Vec<Golden> {
        serde_json::from_str(include_str!("../../tests/golden/eval/eval.json")).unwrap()
    }

    fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    }

    fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| format!("class {class}")).collect()
    }

    #[test]
    fn metrics_are_scikit_learns() {
        for case in golden() {
            let probabilities = matrix(&case.probabilities);
            let classes = probabilities.ncols();
            let options = Options { top_k: case.top, resamples: 50, seed: 1 };
            let got = Report::new(&case.labels, probabilities.view(), &names(classes), options).unwrap();
            assert_close(
                [got.accuracy, got.balanced_accuracy],
                [case.accuracy, case.balanced_accuracy],
                Tolerance::Close,
            );
            assert_close(got.accuracy_interval, case.interval, Tolerance::Close);
            assert_close([got.macro_f1, got.log_loss], [case.macro_f1, case.log_loss], Tolerance::Close);
            assert_close(got.per_class.iter().map(|c| c.precision), case.precision, Tolerance::Close);
            assert_close(got.per_class.iter().map(|c| c.recall), case.recall, Tolerance::Close);
            assert_close(got.per_class.iter().map(|c| c.f1), case.f1, Tolerance::Close);
            assert_eq!(got.per_class.iter().map(|c| c.support).collect::<Vec<_>>(), case.support);
            assert_eq!(got.confusion, case.confusion);
            assert_close(got.roc_auc, case.roc_auc, Tolerance::Close);
            match got.top_k {
                Some(top) => assert_close([top.accuracy], [case.top_accuracy], Tolerance::Close),
                None => assert!(case.top == 1),
            }
        }
    }

    #[test]
    fn intervals_contain_the_value_and_shrink_with_rows() {
        let case = golden().remove(0);
        let report = |times: usize| {
            let labels = case.labels.repeat(times);
            let rows: Vec<Vec<f32>> = case.probabilities.iter().cycle().take(60 * times).cloned().collect();
            let probabilities = matrix(&rows);
            Report::new(&labels, probabilities.view(), &names(4), Options::default()).unwrap()
        };
        let (small, large) = (report(1), report(16));
        let widths = |report: &Report| {
            let values = [report.macro_f1, report.log_loss, report.roc_auc.unwrap()];
            let intervals = [report.macro_f1_interval, report.log_loss_interval, report.roc_auc_interval];
            values
                .into_iter()
                .zip(intervals)
                .map(|(value, interval)| {
                    let [low, high] = interval.unwrap();
                    assert!(low < value && value < high);
                    high - low
                })
                .collect::<Vec<_>>()
        };
        for (small, large) in widths(&small).into_iter().zip(widths(&large)) {
            // Sixteen times the rows: a quarter of the width.
            assert!((2.5..6.5).contains(&(small / large)), "{small} against {large}");
        }
        assert_eq!(report(1), small);
    }

    #[test]
    fn json_has_the_contracts_keys() {
        let case = golden().remove(0);
        let probabilities = matrix(&case.probabilities);
        let options = Options { top_k: 2, ..Options::default() };
        let report = Report::new(&case.labels, probabilities.view(), &names(4), options).unwrap();
        let json = serde_json::to_value(report).unwrap();
        for key in ["accuracy", "macro_f1", "log_loss", "roc_auc"] {
            assert!(json[key].is_f64() && json[format!("{key}_interval")][1].is_f64(), "{key}");
        }
        assert_eq!(json["n"], 60);
        assert_eq!(json["top_k"]["k"], 2);
        assert_eq!(json["per_class"][3]["label"], "class 3");
        assert_eq!(json["confusion"][0][0], 6);
    }

    #[test]
    fn unusable_input_is_named() {
        let mut p = matrix(&[vec![0.5, 0.5], vec![0.9, 0.1]]);
        let message = |labels: &[usize], p: &Array2<f32>, classes| {
            Report::new(labels, p.view(), &names(classes), Options::default()).unwrap_err().to_string()
        };
        assert!(message(&[0], &p, 2).contains("2 rows of 2 probabilities with 1 labels"));
        assert!(message(&[0, 1], &p, 3).contains("3 class names"));
        assert!(message(&[0, 2], &p, 2).contains("row 1 is of class 2"));
        assert!(message(&[], &Array2::zeros((0, 2)), 2).contains("0 rows"));
        p[[1, 0]] = f32::NAN;
        assert!(message(&[0, 1], &p, 2).contains("class 0 in row 1 is NaN"));
    }
}
