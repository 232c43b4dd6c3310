//! Probabilities of rows by heads that have not seen them.

use ndarray::{Array2, ArrayView2, Axis};

use super::check::{check_features, check_labels};
use crate::error::{Error, Result};
use crate::eval::{Fold, Folds};
use crate::head::Head;

/// Fits a head on n×d features and n class indices.
pub type FitHead<'a> = dyn Fn(ArrayView2<f32>, &[usize]) -> Result<Head> + 'a;

/// Learns from n×d features and n class indices, and gives n'×m values of n'×d others, m the same each time.
pub type Judge<'a> = dyn Fn(ArrayView2<f32>, &[usize], ArrayView2<f32>) -> Result<Array2<f32>> + 'a;

/// The n×K probabilities of each row by a head that was fitted on the other of `folds` parts. The parts are stratified and
/// drawn by `seed`.
///
/// # Errors
/// [`Error::Usage`] when there are fewer than two folds; [`Error::Data`] when a class below `classes` has fewer than two rows
/// (its row could not be judged by others) and as `fit`.
pub fn out_of_fold(
    x: ArrayView2<f32>,
    labels: (&[usize], usize),
    fit: &FitHead,
    folds: (usize, u64),
) -> Result<Array2<f32>> {
    judge_out_of_fold(x, labels, &|x, labels, others| fit(x, labels)?.probabilities(others), folds)
}

/// The n×K logits of each row, otherwise as [`out_of_fold`].
///
/// # Errors
/// As [`out_of_fold`].
pub fn out_of_fold_logits(
    x: ArrayView2<f32>,
    labels: (&[usize], usize),
    fit: &FitHead,
    folds: (usize, u64),
) -> Result<Array2<f32>> {
    judge_out_of_fold(x, labels, &|x, labels, others| fit(x, labels)?.logits(others), folds)
}

/// The n×m values that `judge` gives of each row when it may learn from the other of `folds` parts, otherwise as
/// [`out_of_fold`].
///
/// # Errors
/// As [`out_of_fold`].
pub fn judge_out_of_fold(
    x: ArrayView2<f32>,
    (labels, classes): (&[usize], usize),
    judge: &Judge,
    (folds, seed): (usize, u64),
) -> Result<Array2<f32>> {
    check_features(x)?;
    check_labels(labels, x.nrows(), classes)?;
    if folds < 2 {
        return Err(Error::Usage(format!("cross-validation needs two folds or more, got {folds}")));
    }
    if let Some(class) = (0..classes).find(|class| labels.iter().filter(|&label| label == class).count() < 2) {
        return Err(Error::Data(format!("class {class} has fewer than two rows")));
    }
    let mut all = Array2::zeros((labels.len(), 0));
    for Fold { train, test } in Folds::stratified(labels, folds.min(labels.len()), seed)?.iter() {
        let known: Vec<usize> = train.iter().map(|&row| labels[row]).collect();
        let judged = judge(x.select(Axis(0), &train).view(), &known, x.select(Axis(0), &test).view())?;
        if all.is_empty() {
            all = Array2::zeros((labels.len(), judged.ncols()));
        }
        for (&row, judged) in test.iter().zip(judged.outer_iter()) {
            all.row_mut(row).assign(&judged);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Logistic;

    fn logistic(x: ArrayView2<f32>, labels: &[usize]) -> Result<Head> {
        Ok(Logistic::new().alpha(0.1).fit_watched(x, labels, &())?.head.into())
    }

    #[test]
    fn a_row_is_judged_by_others_alone() {
        // Row 0 lies among class 0 and is labelled 1: a head that had seen it would be less sure.
        let mut rng = fastrand::Rng::with_seed(1);
        let labels: Vec<usize> = (0..40).map(|i| i % 2).collect();
        let x = Array2::from_shape_fn((40, 3), |(i, j)| rng.f32() + if j == 0 { 3.0 * labels[i] as f32 } else { 0.0 });
        let mut wrong = labels.clone();
        wrong[0] = 1;
        let judged = out_of_fold(x.view(), (&wrong, 2), &logistic, (4, 0)).unwrap();
        assert!(judged[[0, 0]] > 0.8, "{}", judged[[0, 0]]);
        for (row, sum) in judged.sum_axis(Axis(1)).iter().enumerate() {
            assert!((sum - 1.0).abs() < 1e-5, "row {row}: {sum}");
        }
        let seen = logistic(x.view(), &wrong).unwrap().probabilities(x.view()).unwrap();
        assert!(seen[[0, 0]] < judged[[0, 0]]);
    }

    #[test]
    fn what_cannot_be_folded_is_refused() {
        let x = Array2::zeros((3, 2));
        let folded = |labels: &[usize], folds| out_of_fold(x.view(), (labels, 2), &logistic, (folds, 0));
        assert!(matches!(folded(&[0, 0, 1], 2), Err(Error::Data(text)) if text.contains("class 1")));
        assert!(matches!(folded(&[0, 0, 1], 1), Err(Error::Usage(_))));
        assert!(matches!(folded(&[0, 0], 2), Err(Error::Data(_))));
    }
}
