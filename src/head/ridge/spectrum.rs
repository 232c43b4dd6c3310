//! One eigendecomposition that serves every alpha.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::super::standardize::Scaler;
use crate::eigen::eigen;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Rows that are worked on at a time.
const BLOCK: usize = 512;

/// Centred scaled features X (n×d) and targets Y (n×K), in the eigenbasis of `XᵀX` or `XXᵀ`, whichever is smaller.
///
/// Ridge regression with a free intercept has the hat matrix `11ᵀ/n + X·(XᵀX + alpha)⁻¹·Xᵀ`, which is a product with
/// `1/(λ + alpha)` in the basis V of `XᵀX = V·diag(λ)·Vᵀ`. With fewer rows than columns the complement of the hat matrix is known
/// too, `U·diag(alpha/(λ + alpha))·Uᵀ` for `XXᵀ = U·diag(λ)·Uᵀ` without the vector of ones: rows that the fit nearly goes through
/// lose no digits.
pub(super) struct Spectrum<'a> {
    pub(super) x: ArrayView2<'a, f32>,
    pub(super) labels: &'a [usize],
    pub(super) scaler: &'a Scaler,
    /// Of the scaled columns: the scaler's own mean is rounded.
    mean: Array1<f64>,
    /// Of the targets.
    pub(super) target_mean: Array1<f64>,
    /// λ, none below 0.
    values: Array1<f64>,
    /// `VᵀXᵀY` or `UᵀY`, r×K.
    projected: Array2<f64>,
    basis: Basis,
}

enum Basis {
    /// V, d×d, of data with at least as many rows as columns.
    Columns(Array2<f64>),
    /// U, n×(n−1), of data with fewer rows than columns.
    Rows(Array2<f64>),
}

/// What one alpha makes of a block of rows Z in the basis: residuals `start + Z·coefficients`, and the diagonal of the hat
/// matrix' complement `1 − h = start + Z²·factors`.
pub(super) struct Fit {
    factors: Array1<f64>,
    coefficients: Array2<f64>,
}

impl<'a> Spectrum<'a> {
    pub(super) fn new(
        x: ArrayView2<'a, f32>,
        labels: &'a [usize],
        classes: usize,
        scaler: &'a Scaler,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let (n, d) = x.dim();
        let mut mean = Array1::zeros(d);
        for rows in x.axis_chunks_iter(Axis(0), BLOCK) {
            mean += &scaler.scaled(rows).sum_axis(Axis(0));
        }
        mean /= n as f64;
        let mut target_mean = Array1::from_elem(classes, -1.0);
        labels.iter().for_each(|&label| target_mean[label] += 2.0 / n as f64);
        let empty = Basis::Columns(Array2::zeros((0, 0)));
        let mut spectrum = Self {
            x,
            labels,
            scaler,
            mean,
            target_mean,
            values: Array1::zeros(0),
            projected: Array2::zeros((0, 0)),
            basis: empty,
        };
        if n < d {
            spectrum.decompose_rows()?
        } else {
            spectrum.decompose_columns(progress)?
        }
        if !spectrum.values.iter().all(|v| v.is_finite()) {
            return Err(Error::Data("the fit overflowed: the features are too large to be used unscaled".into()));
        }
        Ok(spectrum)
    }

    fn decompose_columns(&mut self, progress: &dyn Progress) -> Result<()> {
        let (n, d) = self.x.dim();
        let mut covariance = Array2::zeros((d, d));
        let mut products = Array2::zeros((d, self.target_mean.len()));
        for start in (0..n).step_by(BLOCK) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let features = self.features(start);
            general_mat_mul(1.0, &features.t(), &features, 1.0, &mut covariance);
            general_mat_mul(1.0, &features.t(), &self.targets(start), 1.0, &mut products);
        }
        let (values, vectors) = eigen(&covariance)?;
        self.values = values.mapv(|v| v.max(0.0));
        self.projected = vectors.t().dot(&products);
        self.basis = Basis::Columns(vectors);
        Ok(())
    }

    fn decompose_rows(&mut self) -> Result<()> {
        let n = self.x.nrows();
        let features = self.all_features();
        let mut products = features.dot(&features.t());
        // Centring makes the vector of ones an eigenvector of 0, among others perhaps: this makes it the last one.
        let trace: f64 = products.diag().sum();
        products += 2.0 * if trace > 0.0 { trace } else { 1.0 } / n as f64;
        let (values, vectors) = eigen(&products)?;
        let left = vectors.slice_move(s![.., ..n - 1]);
        self.values = values.slice(s![..n - 1]).mapv(|v| v.max(0.0));
        self.projected = Array2::zeros((n - 1, self.target_mean.len()));
        for start in (0..n).step_by(BLOCK) {
            let rows = left.slice(s![start..self.end(start), ..]);
            general_mat_mul(1.0, &rows.t(), &self.targets(start), 1.0, &mut self.projected);
        }
        self.basis = Basis::Rows(left);
        Ok(())
    }

    fn all_features(&self) -> Array2<f64> {
        let mut features = self.scaler.scaled(self.x);
        features -= &self.mean;
        features
    }

    /// Centred features of the block that begins at row `start`.
    fn features(&self, start: usize) -> Array2<f64> {
        self.scaler.scaled(self.x.slice(s![start..self.end(start), ..])) - &self.mean
    }

    /// Targets of that block: 1 in the column of the row's class and −1 elsewhere, centred.
    fn targets(&self, start: usize) -> Array2<f64> {
        let labels = &self.labels[start..self.end(start)];
        let mut targets = Array2::from_elem((labels.len(), self.target_mean.len()), -1.0) - &self.target_mean;
        labels.iter().zip(targets.rows_mut()).for_each(|(&label, mut row)| row[label] += 2.0);
        targets
    }

    fn end(&self, start: usize) -> usize {
        (start + BLOCK).min(self.x.nrows())
    }

    /// Calls `see(index of the fit, first row, residuals, 1 − h)` for each block of rows and each fit.
    pub(super) fn for_each_block(
        &self,
        fits: &[Fit],
        progress: &dyn Progress,
        mut see: impl FnMut(usize, usize, Array2<f64>, Array1<f64>) -> Result<()>,
    ) -> Result<()> {
        for start in (0..self.x.nrows()).step_by(BLOCK) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let (block, residuals, complement) = match &self.basis {
                Basis::Columns(vectors) => {
                    (self.features(start).dot(vectors), self.targets(start), 1.0 - 1.0 / self.x.nrows() as f64)
                }
                Basis::Rows(left) => {
                    let block = left.slice(s![start..self.end(start), ..]).to_owned();
                    let none = Array2::zeros((block.nrows(), self.target_mean.len()));
                    (block, none, 0.0)
                }
            };
            let squares = block.mapv(|v| v * v);
            for (index, fit) in fits.iter().enumerate() {
                let mut residuals = residuals.clone();
                general_mat_mul(1.0, &block, &fit.coefficients, 1.0, &mut residuals);
                see(index, start, residuals, squares.dot(&fit.factors) + complement)?;
            }
        }
        Ok(())
    }

    pub(super) fn fit(&self, alpha: f64) -> Fit {
        let factors = match &self.basis {
            Basis::Columns(_) => self.values.mapv(|v| -1.0 / (v + alpha)),
            Basis::Rows(_) => self.values.mapv(|v| alpha / (v + alpha)),
        };
        let coefficients = &self.projected * &factors.view().insert_axis(Axis(1));
        Fit { factors, coefficients }
    }

    /// Weights d×K and intercepts K on the scaled features.
    pub(super) fn weights(&self, alpha: f64) -> (Array2<f64>, Array1<f64>) {
        let shrunk = &self.projected / &(&self.values + alpha).insert_axis(Axis(1));
        let weights = match &self.basis {
            Basis::Columns(vectors) => vectors.dot(&shrunk),
            Basis::Rows(left) => self.all_features().t().dot(&left.dot(&shrunk)),
        };
        let intercepts = &self.target_mean - &self.mean.dot(&weights);
        (weights, intercepts)
    }
}
