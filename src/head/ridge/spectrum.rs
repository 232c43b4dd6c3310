//! One eigendecomposition that serves every alpha.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::super::eigen::eigen;
use super::super::standardize::Scaler;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Rows that are worked on at a time.
const BLOCK: usize = 512;

/// Centred scaled features X (n×d) and targets Y (n×K), in the eigenbasis of `XᵀX` or `XXᵀ`, whichever is smaller.
///
/// With `X = P·Vᵀ`, V orthonormal and `PᵀP = diag(λ)`, ridge regression with a free intercept is
/// `Ŷ = ȳ + P·(PᵀY/(λ + alpha))`, and its hat matrix has the diagonal `h_i = 1/n + Σ_j P_ij²/(λ_j + alpha)`.
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
    /// `PᵀY`, r×K.
    projected: Array2<f64>,
    basis: Basis,
}

enum Basis {
    /// V, d×d, of data with at least as many rows as columns. P is computed again where it is needed.
    Columns(Array2<f64>),
    /// P, n×r, and `U` with `P = U·diag(√λ)`, of data with fewer rows than columns.
    Rows { coordinates: Array2<f64>, left: Array2<f64> },
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
        if n < d { spectrum.decompose_rows()? } else { spectrum.decompose_columns(progress)? }
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
        let mut features = self.scaler.scaled(self.x);
        features -= &self.mean;
        let (values, left) = eigen(&features.dot(&features.t()))?;
        self.values = values.mapv(|v| v.max(0.0));
        let coordinates = &left * &self.values.mapv(f64::sqrt);
        let mut targets = Array2::zeros((0, self.target_mean.len()));
        for start in (0..self.x.nrows()).step_by(BLOCK) {
            let block = self.targets(start);
            targets.append(Axis(0), block.view()).map_err(|e| Error::Data(e.to_string()))?;
        }
        self.projected = coordinates.t().dot(&targets);
        self.basis = Basis::Rows { coordinates, left };
        Ok(())
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

    /// Calls `see(row, P)` for blocks of rows of P.
    pub(super) fn for_each_block(
        &self,
        progress: &dyn Progress,
        mut see: impl FnMut(usize, ArrayView2<f64>) -> Result<()>,
    ) -> Result<()> {
        for start in (0..self.x.nrows()).step_by(BLOCK) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            match &self.basis {
                Basis::Columns(vectors) => see(start, self.features(start).dot(vectors).view())?,
                Basis::Rows { coordinates, .. } => see(start, coordinates.slice(s![start..self.end(start), ..]))?,
            }
        }
        Ok(())
    }

    /// `1/(λ + alpha)`.
    pub(super) fn shrinkage(&self, alpha: f64) -> Array1<f64> {
        self.values.mapv(|v| 1.0 / (v + alpha))
    }

    /// What P is multiplied by for the centred predictions at `alpha`, r×K.
    pub(super) fn coefficients(&self, alpha: f64) -> Array2<f64> {
        &self.projected * &self.shrinkage(alpha).insert_axis(Axis(1))
    }

    /// Weights d×K and intercepts K on the scaled features.
    pub(super) fn weights(&self, alpha: f64) -> (Array2<f64>, Array1<f64>) {
        let coefficients = self.coefficients(alpha);
        let weights = match &self.basis {
            Basis::Columns(vectors) => vectors.dot(&coefficients),
            // V = Xᵀ·U/√λ; where λ is 0 so is what belongs to it.
            Basis::Rows { left, .. } => {
                let root = self.values.mapv(|v| if v > 0.0 { 1.0 / v.sqrt() } else { 0.0 });
                let dual = (left * &root).dot(&coefficients);
                let mut features = self.scaler.scaled(self.x);
                features -= &self.mean;
                features.t().dot(&dual)
            }
        };
        let intercepts = &self.target_mean - &self.mean.dot(&weights);
        (weights, intercepts)
    }
}
