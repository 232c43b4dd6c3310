//! Priors from a head's confusions.

use faer::Mat;
use ndarray::Array2;

use crate::error::{Error, Result};

/// Singular values below this share of the greatest are rounding: the confusions do not tell the classes apart.
const RANK: f64 = 1e-9;

/// The target's shares of K classes by black box shift estimation (Lipton, Wang & Smola, ICML 2018): `C·w = μ`, where `joint` C is the
/// K×K share of source rows that are predicted as the row's class and are of the column's, and `predicted` μ the K shares of target
/// rows that are predicted as each class. The weights w, negative ones set to 0, times the source's shares, divided by their sum.
///
/// # Errors
/// [`Error::Data`] when the shapes differ, or the confusions are singular: the head tells two classes apart no better than by chance.
pub fn black_box_priors(joint: &Array2<f64>, predicted: &[f64]) -> Result<Vec<f64>> {
    let k = predicted.len();
    if joint.dim() != (k, k) {
        return Err(Error::Data(format!("confusions of {:?} classes and predictions of {k}", joint.dim())));
    }
    let failed = || Error::Data("the singular values of the confusions could not be found".into());
    let svd = Mat::from_fn(k, k, |i, j| joint[[i, j]]).thin_svd().map_err(|_| failed())?;
    let (u, s, v) = (svd.U(), svd.S().column_vector(), svd.V());
    if k == 0 || s[k - 1] <= RANK * s[0] {
        return Err(Error::Data(
            "the head confuses classes of the source so that its predictions do not tell their shares in the target; \
             the likelihood (em) may"
                .into(),
        ));
    }
    let along: Vec<f64> = (0..k).map(|c| (0..k).map(|i| u[(i, c)] * predicted[i]).sum::<f64>() / s[c]).collect();
    let source = joint.sum_axis(ndarray::Axis(0));
    let shares: Vec<f64> =
        (0..k).map(|j| ((0..k).map(|c| v[(j, c)] * along[c]).sum::<f64>()).max(0.0) * source[j]).collect();
    let sum: f64 = shares.iter().sum();
    Ok(shares.into_iter().map(|share| share / sum).collect())
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn shares_that_made_the_predictions_are_found_again() {
        // P(predicted | class) in the columns, and what follows for shares of 0.5, 0.2 and 0.3.
        let given = array![[0.8, 0.1, 0.2], [0.1, 0.7, 0.1], [0.1, 0.2, 0.7]];
        let (source, target) = (array![0.2, 0.5, 0.3], array![0.5, 0.2, 0.3]);
        let predicted = given.dot(&target).to_vec();
        let joint = &given * &source;
        assert_close(black_box_priors(&joint, &predicted).unwrap(), target, Tolerance::Close);
    }

    #[test]
    fn an_absent_class_has_the_share_zero_and_confused_ones_are_refused() {
        let joint = array![[0.4, 0.1], [0.1, 0.4]];
        assert_eq!(black_box_priors(&joint, &[0.1, 0.9]).unwrap(), [0.0, 1.0]);
        assert!(black_box_priors(&array![[0.25, 0.25], [0.25, 0.25]], &[0.5, 0.5]).is_err());
        assert!(black_box_priors(&joint, &[1.0]).is_err());
    }
}
