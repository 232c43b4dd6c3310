//! What heads say of rows they have not seen.

use ndarray::{Array2, Axis};

use super::linear::{Learn, Lesson};
use crate::error::{Error, Result};
use crate::eval::{Fold, Folds};
use crate::progress::Progress;

/// The n×K logits of each row by a head that was fitted on the other folds.
///
/// # Errors
/// [`Error::Data`] when a class has one row only; as [`Folds::stratified`]; those of `learn`; [`Error::Interrupted`].
pub(super) fn out_of_fold(
    Lesson { x, labels, weights }: Lesson,
    classes: usize,
    (folds, seed): (usize, u64),
    learn: &Learn,
    progress: &dyn Progress,
) -> Result<Array2<f32>> {
    if let Some(class) = (0..classes).find(|class| labels.iter().filter(|&label| label == class).count() < 2) {
        return Err(Error::Data(format!("class {class} has one row only: no other row could judge it")));
    }
    let mut logits = Array2::zeros((labels.len(), classes));
    for Fold { train, test } in Folds::stratified(labels, folds.min(labels.len()), seed)?.iter() {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let picked: Vec<usize> = train.iter().map(|&row| labels[row]).collect();
        let weights: Option<Vec<f64>> = weights.map(|weights| train.iter().map(|&row| weights[row]).collect());
        let head = learn(Lesson { x: x.select(Axis(0), &train).view(), labels: &picked, weights: weights.as_deref() })?;
        let said = head.logits(x.select(Axis(0), &test).view());
        test.iter().zip(said.rows()).for_each(|(&row, said)| logits.row_mut(row).assign(&said));
    }
    Ok(logits)
}
