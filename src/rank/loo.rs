//! Leave-one-out ridge classification in closed form.

use ndarray::{Array2, ArrayView1, Axis, s};

use super::{Spectrum, check_labels};
use crate::error::Result;
use crate::eval::{Interval, wilson};
use crate::logits::first_maximum;

/// Penalties that are tried, as shares of the mean variance of a direction times n.
const SHARES: [f64; 8] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0, 1e1, 1e2];

/// How ridge classification does on rows it has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaveOneOut {
    /// Whether each row is classified right by the fit on all others.
    pub correct: Vec<bool>,
    /// Their share.
    pub accuracy: f64,
    /// Wilson's 95 % interval of the share.
    pub interval: Interval,
    /// The penalty: of those tried, the one of the least leave-one-out squared error.
    pub alpha: f64,
}

/// Fits ridge regression with a free intercept to the indicators of the classes and classifies each row by the fit on the others,
/// without n fits: the error on the row left out is `(y − ŷ)/(1 − h)` with the leverage h (Allen, "The Relationship Between
/// Variable Selection and Data Augmentation and a Method for Prediction", Technometrics 16, 1974).
///
/// With the smoother `S = U·diag(s²/(s²+α))·Uᵀ` of the fit without an intercept and `r = (1 − S)·1`, the intercept adds `r·rᵀ/Σr` to it.
///
/// # Errors
/// As [`log_me`](super::log_me).
pub fn leave_one_out(spectrum: &Spectrum, labels: &[usize], classes: usize) -> Result<LeaveOneOut> {
    check_labels(labels, spectrum.rows(), classes)?;
    let targets = targets(labels, classes);
    let projected = spectrum.left.t().dot(&targets);
    let squared = spectrum.left.mapv(|u| u * u);
    let scale = scale(spectrum, projected.column(classes));
    let mut best: Option<(f64, f64, Array2<f64>)> = None;
    for alpha in SHARES.map(|share| share * scale) {
        let predictions = predictions(spectrum, &projected, &squared, &targets, alpha);
        let error: f64 = predictions.iter().zip(targets.slice(s![.., ..classes])).map(|(p, y)| (p - y).powi(2)).sum();
        if best.as_ref().is_none_or(|(least, ..)| error < *least) {
            best = Some((error, alpha, predictions));
        }
    }
    let (_, alpha, predictions) = best.unwrap_or((f64::NAN, scale, Array2::zeros((0, classes))));
    let correct: Vec<bool> =
        predictions.outer_iter().zip(labels).map(|(row, &label)| first_maximum(row) == label).collect();
    let right = correct.iter().filter(|&&correct| correct).count() as u64;
    let n = correct.len() as u64;
    Ok(LeaveOneOut { accuracy: right as f64 / n as f64, interval: wilson(right, n), correct, alpha })
}

/// n×(K+1): the indicators, and a column of ones.
fn targets(labels: &[usize], classes: usize) -> Array2<f64> {
    let value = |(row, column): (usize, usize)| f64::from(column == classes || labels[row] == column);
    Array2::from_shape_fn((labels.len(), classes + 1), value)
}

/// The mean of the squared singular values once the mean row is taken off. `ones` are the left vectors' sums.
fn scale(spectrum: &Spectrum, ones: ArrayView1<f64>) -> f64 {
    let total: f64 = spectrum.squares.iter().sum();
    let mean: f64 = spectrum.squares.iter().zip(ones).map(|(s, u)| s * u * u).sum::<f64>() / spectrum.rows() as f64;
    // Of features without variance any penalty makes the same of.
    let varying = if total - mean > 1e-12 * total { total - mean } else { total };
    varying / spectrum.squares.len() as f64
}

/// n×K: the values predicted for each row by the fit on the others.
fn predictions(
    spectrum: &Spectrum,
    projected: &Array2<f64>,
    squared: &Array2<f64>,
    targets: &Array2<f64>,
    alpha: f64,
) -> Array2<f64> {
    let classes = targets.ncols() - 1;
    let shrink = ndarray::Array1::from_iter(spectrum.squares.iter().map(|s| s / (s + alpha)));
    let mut fitted = spectrum.left.dot(&(projected * &shrink.view().insert_axis(Axis(1))));
    let rest = fitted.column(classes).mapv(|one| 1.0 - one);
    let total = rest.sum();
    let intercepts = rest.dot(&targets.slice(s![.., ..classes])) / total;
    let leverage = squared.dot(&shrink) + rest.mapv(|r| r * r / total);
    for (row, ((mut fitted, &rest), &leverage)) in fitted.outer_iter_mut().zip(&rest).zip(&leverage).enumerate() {
        for class in 0..classes {
            let target = targets[[row, class]];
            let residual = target - fitted[class] - rest * intercepts[class];
            // The only row of its direction says nothing of itself; its leverage is below 1 by the penalty alone.
            fitted[class] = target - residual / (1.0 - leverage).max(1e-12);
        }
    }
    fitted.slice_move(s![.., ..classes])
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[derive(Deserialize)]
    struct Case {
        columns: usize,
        x: Vec<f32>,
        labels: Vec<usize>,
        alphas: Vec<f64>,
        predictions: Vec<Vec<f64>>,
    }

    fn cases() -> Vec<(Case, Spectrum, usize)> {
        #[derive(Deserialize)]
        struct Golden {
            loo: Vec<Case>,
        }
        let golden: Golden = serde_json::from_str(include_str!("../../tests/golden/rank/rank.json")).unwrap();
        let prepared = |case: Case| {
            let x = Array2::from_shape_vec((case.labels.len(), case.columns), case.x.clone()).unwrap();
            let classes = case.labels.iter().max().unwrap() + 1;
            (case, Spectrum::new(x.view()).unwrap(), classes)
        };
        golden.loo.into_iter().map(prepared).collect()
    }

    #[test]
    fn n_fits_of_scikit_learns_ridge_are_equalled() {
        let cases = cases();
        assert!(cases.len() > 2);
        for (case, spectrum, classes) in cases {
            let targets = targets(&case.labels, classes);
            let projected = spectrum.left.t().dot(&targets);
            let squared = spectrum.left.mapv(|u| u * u);
            for (&alpha, want) in case.alphas.iter().zip(case.predictions) {
                let got = predictions(&spectrum, &projected, &squared, &targets, alpha);
                assert_close(got, want, Tolerance::Within(1e-8));
            }
        }
    }

    #[test]
    fn the_penalty_of_least_error_is_taken() {
        for (case, spectrum, classes) in cases() {
            let found = leave_one_out(&spectrum, &case.labels, classes).unwrap();
            let targets = targets(&case.labels, classes);
            let projected = spectrum.left.t().dot(&targets);
            let squared = spectrum.left.mapv(|u| u * u);
            let error = |alpha| {
                let got = predictions(&spectrum, &projected, &squared, &targets, alpha);
                (&got - &targets.slice(s![.., ..classes])).mapv(|e| e * e).sum()
            };
            assert!(error(found.alpha) <= error(found.alpha * 10.0) && error(found.alpha) <= error(found.alpha / 10.0));
            let share = found.correct.iter().filter(|&&c| c).count() as f64 / case.labels.len() as f64;
            assert_close([found.accuracy], [share], Tolerance::Exact);
            assert!(found.interval[0] <= share && share <= found.interval[1]);
        }
    }

    #[test]
    fn features_that_say_nothing_give_the_majority_of_the_others() {
        let spectrum = Spectrum::new(Array2::<f32>::ones((7, 3)).view()).unwrap();
        let found = leave_one_out(&spectrum, &[0, 0, 0, 0, 0, 1, 1], 2).unwrap();
        assert_eq!(found.correct, [true, true, true, true, true, false, false]);
    }
}
