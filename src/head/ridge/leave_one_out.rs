//! Exact leave-one-out predictions of ridge regression, from one fit on all rows.

use ndarray::{Array2, ArrayView2, s};

use super::super::standardize::{Scaler, Scaling};
use super::super::training::{count_classes, positive};
use super::spectrum::Spectrum;
use crate::error::{Error, Result};
use crate::logits::first_maximum;
use crate::progress::Progress;

/// How ridge regression with one alpha predicts each row when it is fitted on all the others.
#[derive(Debug, Clone, PartialEq)]
pub struct LeaveOneOut {
    /// n×K: for each row, the logits by the fit without it.
    pub logits: Array2<f64>,
    /// The scores of these logits.
    pub point: RidgePoint,
}

/// One value of alpha and how well it does on rows that were left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RidgePoint {
    /// Strength of the penalty.
    pub alpha: f64,
    /// Mean over rows and classes of the squared difference between the left-out logit and the target ±1.
    pub squared_error: f64,
    /// Share of rows whose greatest left-out logit, the first among equals, is that of their class.
    pub accuracy: f64,
}

/// Leave-one-out logits for each of `alphas`, of n×d features and n class indices `0..K` that each occur.
///
/// The residual without row i is `(y_i − ŷ_i)/(1 − h_i)`, h being the diagonal of the hat matrix (Allen's PRESS, 1974): exact
/// for the intercept and the weights. The scaling alone is that of all rows. Costs one decomposition, and holds
/// `alphas·n·K` numbers.
///
/// # Errors
/// [`Error::Usage`] when there is no alpha or one is not above 0. [`Error::Data`] when the data cannot be fitted, as in
/// [`super::CheckedRidge::fit_watched`], or an alpha is too small for the left-out rows to be told in f64;
/// [`Error::Interrupted`].
pub fn leave_one_out(
    x: ArrayView2<f32>,
    labels: &[usize],
    alphas: &[f64],
    scaling: Scaling,
    progress: &dyn Progress,
) -> Result<Vec<LeaveOneOut>> {
    check_alphas(alphas)?;
    let classes = count_classes(x, labels)?;
    let scaler = Scaler::fit(scaling, x);
    let spectrum = Spectrum::new(x.view(), labels, classes, &scaler, progress)?;
    let mut logits = vec![Array2::zeros((x.nrows(), classes)); alphas.len()];
    let points = path(&spectrum, alphas, progress, |index, start, block| {
        logits[index].slice_mut(s![start..start + block.nrows(), ..]).assign(&block);
    })?;
    Ok(logits.into_iter().zip(points).map(|(logits, point)| LeaveOneOut { logits, point }).collect())
}

pub(super) fn check_alphas(alphas: &[f64]) -> Result<()> {
    if alphas.is_empty() {
        return Err(Error::Usage("ridge needs an alpha".into()));
    }
    alphas.iter().try_for_each(|&alpha| positive("alpha", alpha))
}

/// The scores of each alpha; `see(index of alpha, first row, logits)` is shown the left-out logits block by block.
pub(super) fn path(
    spectrum: &Spectrum,
    alphas: &[f64],
    progress: &dyn Progress,
    mut see: impl FnMut(usize, usize, ArrayView2<f64>),
) -> Result<Vec<RidgePoint>> {
    let mut points: Vec<RidgePoint> =
        alphas.iter().map(|&alpha| RidgePoint { alpha, squared_error: 0.0, accuracy: 0.0 }).collect();
    let fits: Vec<_> = alphas.iter().map(|&alpha| spectrum.fit(alpha)).collect();
    spectrum.for_each_block(&fits, progress, |index, start, mut residuals, complement| {
        let point = &mut points[index];
        let labels = &spectrum.labels[start..start + residuals.nrows()];
        for (((mut row, complement), &label), i) in
            residuals.rows_mut().into_iter().zip(complement).zip(labels).zip(start..)
        {
            for (class, value) in row.iter_mut().enumerate() {
                let left_out = *value / complement;
                if complement <= 0.0 || !left_out.is_finite() {
                    return Err(Error::Data(format!(
                        "alpha {} is too small for row {i} to be left out: the fit goes through it",
                        point.alpha
                    )));
                }
                point.squared_error += left_out * left_out;
                *value = if class == label { 1.0 } else { -1.0 } - left_out;
            }
            point.accuracy += f64::from(u8::from(first_maximum(row.view()) == label));
        }
        see(index, start, residuals.view());
        Ok(())
    })?;
    let (rows, classes) = (spectrum.x.nrows() as f64, spectrum.target_mean.len());
    for point in &mut points {
        point.squared_error /= rows * classes as f64;
        point.accuracy /= rows;
    }
    Ok(points)
}

/// The point of the least squared error, the greater alpha among equals.
pub(super) fn best(points: &[RidgePoint]) -> Option<&RidgePoint> {
    points.iter().min_by(|a, b| a.squared_error.total_cmp(&b.squared_error).then(b.alpha.total_cmp(&a.alpha)))
}
