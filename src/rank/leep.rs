//! LEEP.

use ndarray::{Array2, ArrayView2};

use super::check_labels;
use crate::error::{Error, Result};

/// The log expected empirical prediction: the mean logarithm of the probability of each row's label when the classes of the
/// backbone's own head are translated by how often they meet in these rows (Nguyen et al., "LEEP: A New Measure to Evaluate
/// Transferability of Learned Representations", ICML 2020). In nats, at most 0, the greater the better.
///
/// `source` are n×Z probabilities of the backbone's own classes, each row of sum 1.
///
/// # Errors
/// [`Error::Data`] when there are no rows, a value is not within 0..=1, a row does not sum to 1, there is not one label a row or
/// one is not below `classes`, or there are fewer than two classes.
pub fn leep(source: ArrayView2<f32>, labels: &[usize], classes: usize) -> Result<f64> {
    check_source(source)?;
    check_labels(labels, source.nrows(), classes)?;
    let mut joint = Array2::<f64>::zeros((classes, source.ncols()));
    for (row, &label) in source.outer_iter().zip(labels) {
        joint.row_mut(label).zip_mut_with(&row, |sum, &p| *sum += f64::from(p));
    }
    for mut meeting in joint.columns_mut() {
        let sum = meeting.sum();
        if sum > 0.0 {
            meeting /= sum;
        }
    }
    let logarithm = |(row, &label): (ndarray::ArrayView1<f32>, &usize)| {
        joint.row(label).iter().zip(row).map(|(q, &p)| q * f64::from(p)).sum::<f64>().ln()
    };
    Ok(source.outer_iter().zip(labels).map(logarithm).sum::<f64>() / labels.len() as f64)
}

/// Fails unless the rows are distributions.
pub(super) fn check_source(source: ArrayView2<f32>) -> Result<()> {
    if source.is_empty() {
        return Err(Error::Data("there are no probabilities of the backbone's own classes".into()));
    }
    let wrong = |row: ndarray::ArrayView1<f32>| {
        !row.iter().all(|p| (0.0..=1.0).contains(p))
            || (row.iter().map(|&p| f64::from(p)).sum::<f64>() - 1.0).abs() > 1e-3
    };
    match source.outer_iter().position(wrong) {
        Some(row) => Err(Error::Data(format!("row {row} of the backbone's own classes is no distribution"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_formula_by_hand() {
        // Joint of label 0: .75 + .5, .25 + .5; of label 1: 0, 1. P(0|z) = 1.25/1.25, .75/1.75.
        let source = ndarray::array![[0.75_f32, 0.25], [0.5, 0.5], [0.0, 1.0]];
        let of_second = 0.75 / 1.75;
        let want =
            [0.75 + 0.25 * of_second, 0.5 + 0.5 * of_second, 1.0 - of_second].map(f64::ln).iter().sum::<f64>() / 3.0;
        assert_close([leep(source.view(), &[0, 0, 1], 2).unwrap()], [want], Tolerance::Close);
        assert_close([leep(Array2::<f32>::eye(2).view(), &[1, 0], 2).unwrap()], [0.0], Tolerance::Exact);
        let nothing = Array2::from_elem((4, 5), 0.2_f32);
        assert_close([leep(nothing.view(), &[0, 1, 0, 1], 2).unwrap()], [0.5_f64.ln()], Tolerance::Within(1e-7));
    }

    #[test]
    fn rows_that_are_no_distributions_are_named() {
        for row in [[0.7_f32, 0.7], [f32::NAN, 1.0], [-0.5, 1.5]] {
            let source = ndarray::array![[0.5, 0.5], row];
            assert!(leep(source.view(), &[0, 1], 2).unwrap_err().to_string().contains("row 1"));
        }
        assert!(leep(Array2::zeros((0, 2)).view(), &[], 2).is_err());
    }
}
