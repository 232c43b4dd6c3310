//! The confusion matrix and what follows from it. Formulas and conventions are scikit-learn's, with `zero_division=0`.

use ndarray::Array2;

use super::ranking::mean;

/// Counts of (true class, predicted class).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    counts: Array2<u64>,
    /// Rows of each class.
    support: Vec<u64>,
    /// Rows predicted as each class.
    predicted: Vec<u64>,
}

/// Precision, recall and F1 of one class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassScores {
    /// Of the rows predicted as this class, the share that is; 0 when none is predicted.
    pub precision: f64,
    /// Of the rows of this class, the share predicted as it; 0 when there are none.
    pub recall: f64,
    /// Harmonic mean of the two; 0 when both are.
    pub f1: f64,
    /// Rows of this class.
    pub support: u64,
}

impl Confusion {
    /// Counts rows, each as often as `times` says. Labels and predictions beyond `classes` are not counted.
    pub fn new(labels: &[usize], predicted: &[usize], times: &[u32], classes: usize) -> Self {
        let mut counts = Array2::zeros((classes, classes));
        let (mut support, mut of_prediction) = (vec![0; classes], vec![0; classes]);
        for ((&label, &predicted), &times) in labels.iter().zip(predicted).zip(times) {
            if let Some(count) = counts.get_mut((label, predicted)) {
                *count += u64::from(times);
                support[label] += u64::from(times);
                of_prediction[predicted] += u64::from(times);
            }
        }
        Self { counts, support, predicted: of_prediction }
    }

    /// K×K; rows are true classes, columns predicted ones.
    pub fn counts(&self) -> &Array2<u64> {
        &self.counts
    }

    /// Rows on the diagonal.
    pub fn correct(&self) -> u64 {
        self.counts.diag().sum()
    }

    /// Share of rows on the diagonal.
    pub fn accuracy(&self) -> f64 {
        ratio(self.correct(), self.support.iter().sum())
    }

    /// Scores of each class.
    pub fn per_class(&self) -> Vec<ClassScores> {
        (0..self.support.len())
            .map(|class| {
                let (correct, support, predicted) =
                    (self.counts[[class, class]], self.support[class], self.predicted[class]);
                ClassScores {
                    precision: ratio(correct, predicted),
                    recall: ratio(correct, support),
                    f1: self.f1(class),
                    support,
                }
            })
            .collect()
    }

    /// Mean recall of the classes that have rows.
    pub fn balanced_accuracy(&self) -> f64 {
        let with_rows = (0..self.support.len()).filter(|&class| self.support[class] > 0);
        mean(with_rows.map(|class| ratio(self.counts[[class, class]], self.support[class]))).unwrap_or(0.0)
    }

    /// Mean F1 of the classes that have rows or are predicted, scikit-learn's `f1_score(average="macro")`.
    pub fn macro_f1(&self) -> f64 {
        let occurring = (0..self.support.len()).filter(|&class| self.support[class] + self.predicted[class] > 0);
        mean(occurring.map(|class| self.f1(class))).unwrap_or(0.0)
    }

    /// Matthews' correlation coefficient for any number of classes, −1..=1 (Gorodkin, Comput. Biol. Chem. 28, 2004):
    /// `(c·n − Σ tₖpₖ) / √((n² − Σ pₖ²)(n² − Σ tₖ²))` of `c` correct rows among `n`, `tₖ` rows of class k and `pₖ`
    /// predicted as it. 0 when all rows are of one class or predicted as one.
    pub fn mcc(&self) -> f64 {
        let product =
            |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(&a, &b)| i128::from(a) * i128::from(b)).sum::<i128>();
        let n = i128::from(self.support.iter().sum::<u64>());
        let covariance = i128::from(self.correct()) * n - product(&self.support, &self.predicted);
        let (of_predicted, of_true) =
            (n * n - product(&self.predicted, &self.predicted), n * n - product(&self.support, &self.support));
        if of_predicted == 0 || of_true == 0 {
            return 0.0;
        }
        covariance as f64 / ((of_predicted as f64).sqrt() * (of_true as f64).sqrt())
    }

    fn f1(&self, class: usize) -> f64 {
        ratio(2 * self.counts[[class, class]], self.support[class] + self.predicted[class])
    }
}

/// 0 for nothing of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
