//! Whether a smaller model is as good as the one that it was made of.

use serde::Serialize;

use crate::error::Result;
use crate::eval::PairedComparison;
use crate::head::{Link, Scored, THRESHOLD};
use crate::logits::first_maximum;

/// What the labels of samples should be.
#[derive(Debug)]
pub struct Contract {
    /// Of each row.
    wanted: Vec<Wanted>,
    is: Accuracy,
    link: Link,
    before: Vec<bool>,
    /// How much of the accuracy may be lost, from 0 to 1.
    max_drop: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Class(usize),
    /// Which labels it has.
    Labels(Vec<bool>),
}

/// What counts as right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Accuracy {
    /// A sample's own label.
    Labels,
    /// What f32 said.
    Agreement,
}

/// What became of the accuracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// What accuracy is.
    pub accuracy_is: Accuracy,
    /// In f32, from 0 to 1.
    pub accuracy_before: f64,
    /// Of the smaller model.
    pub accuracy_after: f64,
    /// Before less after, on the same samples.
    pub comparison: PairedComparison,
}

impl Contract {
    /// Samples with the classes `truth`; where there is none, what f32 said is the truth. Of heads whose rows have any number of labels it is
    /// always what f32 said, label by label.
    pub fn new(truth: Option<&[usize]>, single: &Scored, link: Link, max_drop: f64) -> Self {
        let (is, wanted) = match truth.filter(|_| link == Link::Softmax) {
            Some(classes) => (Accuracy::Labels, classes.iter().map(|&class| Wanted::Class(class)).collect()),
            None => (Accuracy::Agreement, said(single, link)),
        };
        let mut contract = Self { wanted, is, link, before: Vec::new(), max_drop };
        contract.before = contract.right(single);
        contract
    }

    /// What is right of what a model said of the samples.
    fn right(&self, scored: &Scored) -> Vec<bool> {
        let rows = said(scored, self.link).into_iter().zip(&self.wanted);
        rows.flat_map(|(said, wanted)| match (said, wanted) {
            (Wanted::Labels(said), Wanted::Labels(wanted)) => {
                said.iter().zip(wanted).map(|(a, b)| a == b).collect::<Vec<bool>>()
            }
            (said, wanted) => vec![said == *wanted],
        })
        .collect()
    }

    /// What a smaller model kept.
    ///
    /// # Errors
    /// When it scored other samples.
    pub fn kept(&self, scored: &Scored) -> Result<Kept> {
        let after = self.right(scored);
        let comparison = PairedComparison::of_correct(&self.before, &after)?;
        let share = |right: &[bool]| right.iter().filter(|right| **right).count() as f64 / right.len().max(1) as f64;
        Ok(Kept {
            accuracy_is: self.is,
            accuracy_before: share(&self.before),
            accuracy_after: share(&after),
            comparison,
        })
    }

    /// Whether that is enough.
    pub fn holds(&self, kept: &Kept) -> bool {
        kept.comparison.difference <= self.max_drop + f64::EPSILON
    }
}

/// The labels that a model gave.
fn said(scored: &Scored, link: Link) -> Vec<Wanted> {
    let row = |row: ndarray::ArrayView1<f32>| match link {
        Link::Softmax => Wanted::Class(first_maximum(row)),
        Link::Sigmoid => Wanted::Labels(row.iter().map(|probability| *probability >= THRESHOLD).collect()),
    };
    scored.probabilities.outer_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::close::{Tolerance, assert_close};
    use crate::head::softmax;

    fn scored(logits: Array2<f32>) -> Scored {
        Scored { probabilities: softmax(logits.clone()), logits, ood_scores: None }
    }

    #[test]
    fn accuracy_is_of_labels_where_there_are_any_and_of_what_f32_said_else() {
        let single = scored(array![[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [1.0, 2.0]]);
        let smaller = scored(array![[2.0, 1.0], [1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]);
        let contract = Contract::new(Some(&[0, 1, 1, 1]), &single, Link::Softmax, 0.0);
        let kept = contract.kept(&smaller).unwrap();
        // One is won and one lost.
        assert_eq!(
            (kept.accuracy_is, kept.comparison.only_first, kept.comparison.only_second),
            (Accuracy::Labels, 1, 1)
        );
        assert_close([kept.accuracy_before, kept.accuracy_after], [0.75, 0.75], Tolerance::Exact);
        assert!(contract.holds(&kept));
        let contract = Contract::new(None, &single, Link::Softmax, 0.4);
        let kept = contract.kept(&smaller).unwrap();
        assert_close([kept.accuracy_before, kept.accuracy_after], [1.0, 0.5], Tolerance::Exact);
        assert!(kept.accuracy_is == Accuracy::Agreement && !contract.holds(&kept));
        assert!(Contract::new(None, &single, Link::Softmax, 0.5).holds(&kept));
        // Of any number of labels each counts alone.
        let contract = Contract::new(Some(&[0, 1, 1, 1]), &single, Link::Sigmoid, 0.0);
        assert_close([contract.kept(&smaller).unwrap().accuracy_after], [0.5], Tolerance::Exact);
        assert!(contract.kept(&scored(array![[1.0, 2.0]])).is_err());
    }
}
