//! Whether an exported model says what its backbone and head said one after the other.

use ndarray::ArrayView1;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::head::Scored;
use crate::logits::first_maximum;

/// The greatest difference of logits that passes, as a share of the greatest of all in absolute value: a logit near zero is the
/// difference of large numbers, and no more exact than they are.
pub const TOLERANCE: f64 = 1e-5;
/// The same where pixels differ by their last bit.
pub const ROUNDED: f64 = 1e-2;
/// How many samples are named.
const WORST: usize = 5;

/// Two ways to the same logits, compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// Samples compared.
    pub samples: usize,
    /// The greatest difference of two logits, as a share of the greatest of all in absolute value.
    pub greatest_difference: f64,
    /// The same of the scores of strangeness, where there are any: as a share of the greatest of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greatest_ood_difference: Option<f64>,
    /// The greatest difference of two probabilities.
    pub greatest_probability_difference: f64,
    /// Samples with another label, ties left out: there two logits are nearer than the tolerance.
    pub other_labels: usize,
    /// Samples whose label is a tie.
    pub ties: usize,
    /// The samples that differ most, the worst first.
    pub worst: Vec<Disagreement>,
}

/// How far one sample is off.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disagreement {
    /// The sample.
    pub id: String,
    /// As [`Agreement::greatest_difference`].
    pub difference: f64,
    /// The class by the two steps.
    pub expected: usize,
    /// The class by the file.
    pub got: usize,
}

impl Agreement {
    /// Compares what `two_steps` and the `file` said of the samples `ids`; `tolerance` as [`TOLERANCE`].
    ///
    /// # Errors
    /// [`Error::Data`] when they are not of the same samples and classes.
    pub fn of(ids: &[String], two_steps: &Scored, file: &Scored, tolerance: f64) -> Result<Self> {
        let (one, two) = (&two_steps.logits, &file.logits);
        if one.dim() != two.dim()
            || one.nrows() != ids.len()
            || two_steps.probabilities.dim() != file.probabilities.dim()
            || two_steps.ood_scores.as_ref().map(|scores| scores.len()) != file.ood_scores.as_ref().map(|s| s.len())
        {
            let sizes = |scored: &Scored| {
                let scores = scored.ood_scores.as_ref().map_or(0, |scores| scores.len());
                format!("{:?} and {scores} ood scores", scored.logits.dim())
            };
            let (one, two) = (sizes(two_steps), sizes(file));
            return Err(Error::Data(format!("{} samples, but logits of {one}, and of {two}", ids.len())));
        }
        let mut ties = 0;
        let rows = one.outer_iter().zip(two.outer_iter()).zip(ids);
        let mut all: Vec<(Disagreement, bool)> = Vec::with_capacity(ids.len());
        let scale = largest(one.iter()).max(f64::MIN_POSITIVE);
        for ((one, two), id) in rows {
            let tie = lead(one) <= tolerance * scale;
            ties += usize::from(tie);
            let difference = greatest(one, two) / scale;
            let (expected, got) = (first_maximum(one), first_maximum(two));
            all.push((Disagreement { id: id.clone(), difference, expected, got }, tie));
        }
        let other_labels = all.iter().filter(|(row, tie)| row.expected != row.got && !tie).count();
        // A NaN is the worst of all.
        all.sort_by(|(a, _), (b, _)| b.difference.total_cmp(&a.difference));
        let probabilities = two_steps.probabilities.iter().zip(&file.probabilities);
        Ok(Self {
            samples: ids.len(),
            greatest_difference: all.first().map_or(0.0, |(row, _)| row.difference),
            greatest_ood_difference: match (&two_steps.ood_scores, &file.ood_scores) {
                (Some(one), Some(two)) => Some(greatest(one.view(), two.view()) / largest(one.iter()).max(1e-30)),
                _ => None,
            },
            greatest_probability_difference: worst_of(probabilities.map(|(a, b)| difference(*a, *b))),
            other_labels,
            ties,
            worst: all.into_iter().take(WORST).map(|(row, _)| row).collect(),
        })
    }

    /// Whether all differences are within `tolerance` and no label is another; a NaN never is. Of probabilities ten times as much is
    /// allowed: a calibration may be steep.
    pub fn holds(&self, tolerance: f64) -> bool {
        self.other_labels == 0
            && self.greatest_difference <= tolerance
            && self.greatest_probability_difference <= 10.0 * tolerance
            && self.greatest_ood_difference.is_none_or(|difference| difference <= tolerance)
    }
}

fn difference(a: f32, b: f32) -> f64 {
    // Equal infinities differ by nothing.
    if a == b { 0.0 } else { (f64::from(a) - f64::from(b)).abs() }
}

/// The greatest; NaN if there is one.
pub(super) fn worst_of(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |worst: f64, value| if value.is_nan() || value > worst { value } else { worst })
}

fn greatest(one: ArrayView1<f32>, two: ArrayView1<f32>) -> f64 {
    worst_of(one.iter().zip(two).map(|(a, b)| difference(*a, *b)))
}

fn largest<'a>(values: impl Iterator<Item = &'a f32>) -> f64 {
    values.fold(0.0, |largest: f64, &x| f64::from(x).abs().max(largest))
}

/// How far the greatest value is above the second.
fn lead(row: ArrayView1<f32>) -> f64 {
    let best = first_maximum(row);
    let others = row.iter().enumerate().filter(|(i, _)| *i != best);
    others.fold(f64::INFINITY, |lead, (_, x)| (f64::from(row[best]) - f64::from(*x)).min(lead))
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn scored(logits: Array2<f32>) -> Scored {
        Scored { probabilities: crate::head::softmax(logits.clone()), logits, ood_scores: None }
    }

    #[test]
    fn what_differs_is_named_and_ties_are_not_other_labels() {
        let ids: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        let one = scored(array![[1.0, 2.0], [5.0, 5.00001], [-3.0, 10.0]]);
        let same = Agreement::of(&ids, &one, &one, TOLERANCE).unwrap();
        assert!(same.holds(TOLERANCE) && same.greatest_difference == 0.0 && same.ties == 1);
        let near = scored(array![[1.0, 2.0], [5.00001, 5.0], [-3.0, 10.0]]);
        let near = Agreement::of(&ids, &one, &near, TOLERANCE).unwrap();
        assert!(near.holds(TOLERANCE) && near.worst[0].id == "b" && near.other_labels == 0, "{near:?}");
        let far = scored(array![[1.0, 2.0], [5.0, 5.0], [-3.0, 10.001]]);
        let far = Agreement::of(&ids, &one, &far, TOLERANCE).unwrap();
        assert!(!far.holds(TOLERANCE) && far.worst[0].id == "c", "{far:?}");
        // What is 2e-6 of the greatest logit is fine, even where a row's own are no larger.
        let small = scored(array![[1e-5, 2e-5], [5.0, 4.0], [-3.0, 10.0]]);
        let near = scored(array![[1e-5, 4e-5], [5.0, 4.0], [-3.0, 10.0]]);
        assert!(Agreement::of(&ids, &small, &near, TOLERANCE).unwrap().holds(TOLERANCE));
        let other = scored(array![[2.0, 1.0], [5.0, 5.0], [-3.0, 10.0]]);
        assert_eq!(Agreement::of(&ids, &one, &other, TOLERANCE).unwrap().other_labels, 1);
        let nan = scored(array![[1.0, f32::NAN], [5.0, 5.0], [-3.0, 10.0]]);
        let nan = Agreement::of(&ids, &one, &nan, TOLERANCE).unwrap();
        assert!(!nan.holds(f64::INFINITY) && nan.worst[0].id == "a", "{nan:?}");
        assert!(Agreement::of(&ids[..2], &one, &one, TOLERANCE).is_err());
        let strange = |scores| Scored { ood_scores: Some(scores), ..one.clone() };
        let scores = strange(array![1.0, 2.0, 4.0]);
        let near = Agreement::of(&ids, &scores, &strange(array![1.0, 2.0, 4.1]), TOLERANCE).unwrap();
        assert!(!near.holds(TOLERANCE) && near.other_labels == 0, "{near:?}");
        // Scores that one of them does not give cannot agree.
        assert!(Agreement::of(&ids, &scores, &one, TOLERANCE).is_err());
    }
}
