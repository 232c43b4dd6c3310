//! The confusion matrix and what follows from it. Formulas and conventions are scikit-learn's, with `zero_division=0`.

use ndarray::Array2;

/// Counts of (true class, predicted class).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    counts: Array2<u64>,
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
        for ((&label, &predicted), &times) in labels.iter().zip(predicted).zip(times) {
            if let Some(count) = counts.get_mut((label, predicted)) {
                *count += u64::from(times);
            }
        }
        Self { counts }
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
        ratio(self.correct(), self.counts.sum())
    }

    /// Scores of each class.
    pub fn per_class(&self) -> Vec<ClassScores> {
        (0..self.counts.nrows())
            .map(|class| {
                let correct = self.counts[[class, class]];
                let (support, predicted) = (self.counts.row(class).sum(), self.counts.column(class).sum());
                ClassScores {
                    precision: ratio(correct, predicted),
                    recall: ratio(correct, support),
                    f1: ratio(2 * correct, support + predicted),
                    support,
                }
            })
            .collect()
    }

    /// Mean recall of the classes that have rows.
    pub fn balanced_accuracy(&self) -> f64 {
        mean(self.per_class().into_iter().filter(|c| c.support > 0).map(|c| c.recall))
    }

    /// Mean F1 of the classes that have rows or are predicted, scikit-learn's `f1_score(average="macro")`.
    pub fn macro_f1(&self) -> f64 {
        let occurs = |class: usize| self.counts.row(class).sum() + self.counts.column(class).sum() > 0;
        mean(self.per_class().into_iter().enumerate().filter(|(class, _)| occurs(*class)).map(|(_, c)| c.f1))
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}
