//! Ridge regression on targets of ±1: builder, checked parameters, fit.

mod leave_one_out;
mod optimality;
mod spectrum;
#[cfg(test)]
mod tests;

use std::time::Instant;

use linfa::ParamGuard;
use linfa::traits::Fit;
use ndarray::{ArrayBase, ArrayView2, Data, Ix1, Ix2};

use self::leave_one_out::{best, check_alphas, path};
use self::optimality::optimality;
use self::spectrum::Spectrum;
use super::certificate::Certificate;
use super::linear::LinearHead;
use super::standardize::{Scaler, Scaling};
use super::training::count_classes;
use crate::error::{Error, Result};
use crate::progress::Progress;

pub use leave_one_out::{LeaveOneOut, RidgePoint, leave_one_out};

/// The certificate is not a solver's: the decomposition is exact, and only rounding can exceed this gap.
const TOLERANCE: f64 = 1e-6;

/// Ridge classification: least squares with an L2 penalty on the weights, a free intercept, and targets of 1 for the row's
/// class and −1 for the others, as scikit-learn's `RidgeClassifierCV`.
///
/// Minimises `‖Y − X·W − b‖² + alpha·‖W‖²` over the scaled features. One eigendecomposition serves every alpha; the one with
/// the least exact leave-one-out squared error is kept. The logits are the regression's values: they rank the classes, but
/// their softmax is no calibrated probability.
///
/// ```
/// use engraft::head::Ridge;
/// use ndarray::array;
///
/// let x = array![[0.0_f32, 1.0], [0.2, 0.9], [1.0, 0.1], [0.8, 0.0]];
/// let fitted = Ridge::new().alphas([0.1, 1.0, 10.0]).fit_watched(x.view(), &[0, 0, 1, 1], &())?;
/// assert_eq!(fitted.path.len(), 3);
/// assert_eq!(fitted.head.classify(x.view())?, array![0, 0, 1, 1]);
/// # Ok::<(), engraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ridge(CheckedRidge);

/// The parameters of [`Ridge`] after their check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckedRidge {
    alphas: Vec<f64>,
    scaling: Scaling,
}

/// A fitted head, the alpha that was chosen and what it was chosen from.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedRidge {
    /// The head, in the space of raw embeddings.
    pub head: LinearHead,
    /// The alpha it was fitted with.
    pub alpha: f64,
    /// The leave-one-out scores of every alpha, in the order given.
    pub path: Vec<RidgePoint>,
    /// Of the objective `‖Y − X·W − b‖² + alpha·‖W‖²`, by code the fit does not use. Its gap is `‖∇‖²/(4·alpha)` and the
    /// intercepts' `Σ(∂/∂b)²/(4·n)`, as in [`Certificate::gap`]; there is 1 iteration.
    pub certificate: Certificate,
}

impl Default for Ridge {
    fn default() -> Self {
        // Powers of ten, two steps each.
        let alphas = (-8..=10).map(|half| 10_f64.powf(f64::from(half) / 2.0)).collect();
        Self(CheckedRidge { alphas, scaling: Scaling::default() })
    }
}

impl Ridge {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The penalties to choose from, each above 0; by default from 1e-4 to 1e5, two a power of ten.
    pub fn alphas(mut self, alphas: impl IntoIterator<Item = f64>) -> Self {
        self.0.alphas = alphas.into_iter().collect();
        self
    }

    /// How features are scaled; standardised by default.
    pub fn scaling(mut self, scaling: Scaling) -> Self {
        self.0.scaling = scaling;
        self
    }

    /// Checks the parameters and fits; see [`CheckedRidge::fit_watched`].
    ///
    /// # Errors
    /// [`Error::Usage`] when a parameter is out of range; those of the fit.
    pub fn fit_watched(&self, x: ArrayView2<f32>, labels: &[usize], progress: &dyn Progress) -> Result<FittedRidge> {
        self.check_ref()?.fit_watched(x, labels, progress)
    }

    /// Checks the parameters and sweeps; see [`CheckedRidge::sweep`].
    ///
    /// # Errors
    /// As [`Ridge::fit_watched`].
    pub fn sweep(
        &self,
        x: ArrayView2<f32>,
        labels: &[usize],
        progress: &dyn Progress,
    ) -> Result<Vec<(f64, LinearHead)>> {
        self.check_ref()?.sweep(x, labels, progress)
    }
}

impl ParamGuard for Ridge {
    type Checked = CheckedRidge;
    type Error = Error;

    fn check_ref(&self) -> Result<&CheckedRidge> {
        check_alphas(&self.0.alphas)?;
        Ok(&self.0)
    }

    fn check(self) -> Result<CheckedRidge> {
        self.check_ref()?;
        Ok(self.0)
    }
}

impl<D: Data<Elem = f32>, T: Data<Elem = usize>> Fit<ArrayBase<D, Ix2>, ArrayBase<T, Ix1>, Error> for CheckedRidge {
    type Object = FittedRidge;

    fn fit(&self, dataset: &linfa::DatasetBase<ArrayBase<D, Ix2>, ArrayBase<T, Ix1>>) -> Result<FittedRidge> {
        self.fit_watched(dataset.records().view(), &dataset.targets().to_vec(), &())
    }
}

impl CheckedRidge {
    /// Fits a head on n×d features and n class indices `0..K` that each occur.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows, no columns, fewer than two classes, a class without rows, or a value that
    /// is not finite; when an alpha is too small for the arithmetic. [`Error::Mismatch`] when there is another number of
    /// labels than rows. [`Error::Interrupted`].
    pub fn fit_watched(&self, x: ArrayView2<f32>, labels: &[usize], progress: &dyn Progress) -> Result<FittedRidge> {
        let started = Instant::now();
        let classes = count_classes(x, labels)?;
        let scaler = Scaler::fit(self.scaling, x);
        let spectrum = Spectrum::new(x.view(), labels, classes, &scaler, progress)?;
        let path = path(&spectrum, &self.alphas, progress, |_, _, _| ())?;
        let alpha = best(&path).ok_or_else(|| Error::Usage("ridge needs an alpha".into()))?.alpha;
        let (weights, intercepts) = spectrum.weights(alpha);
        let found = optimality(x, labels, &scaler, weights.view(), intercepts.view(), alpha);
        let certificate = Certificate {
            objective: found.objective,
            gradient_norm: found.gradient_norm,
            gap: found.gap,
            iterations: 1,
            converged: found.gap <= TOLERANCE,
            seconds: started.elapsed().as_secs_f64(),
        };
        Ok(FittedRidge { head: LinearHead::unscaled(weights, intercepts, &scaler)?, alpha, path, certificate })
    }

    /// The head of each alpha, in the order given, by one decomposition: what a choice by held-out rows needs.
    ///
    /// # Errors
    /// As [`CheckedRidge::fit_watched`], but no alpha is too small.
    pub fn sweep(
        &self,
        x: ArrayView2<f32>,
        labels: &[usize],
        progress: &dyn Progress,
    ) -> Result<Vec<(f64, LinearHead)>> {
        let classes = count_classes(x, labels)?;
        let scaler = Scaler::fit(self.scaling, x);
        let spectrum = Spectrum::new(x.view(), labels, classes, &scaler, progress)?;
        let head = |&alpha: &f64| {
            let (weights, intercepts) = spectrum.weights(alpha);
            Ok((alpha, LinearHead::unscaled(weights, intercepts, &scaler)?))
        };
        self.alphas.iter().map(head).collect()
    }
}
