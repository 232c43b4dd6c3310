//! Transfer component analysis with a linear kernel.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::super::adapted::{Adapted, Serving, Training};
use super::super::affine::Affine;
use super::super::domains::Domains;
use super::super::linear::Learn;
use super::super::moments::{Moments, Shrinkage};
use super::dimension::Dimension;
use crate::eigen::eigen;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Eigenvalues below this share of the greatest are rounding.
const RANK: f64 = 1e-10;

/// Directions along which rows vary and the domains' means do not differ (Pan et al., IEEE Trans. Neural Networks 22, 2011): the greatest
/// eigenvectors of `K·H·K·w = λ·(I + μ·K·L·K)·w`, with the linear kernel K of the n rows of both domains around their common mean, so
/// that the components K·w are linear in the features, for new rows as well, and fold into a head.
///
/// Only w = X·C^(−1/2)·y matters, with C = XᵀX, which makes it a d×d problem: `C^(1/2)·C·C^(1/2)·y = λ·(I + μ·v·vᵀ)·y` (XᵀHX is C, the
/// rows being centred), with `v = C^(1/2)·δ` for the difference δ of the domains' means, and the components are `X·C^(1/2)·y`. The root
/// of `I + μ·v·vᵀ` has a closed form, and leaves a symmetric problem.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TransferComponents {
    /// The number of components; by default cross-validated.
    pub dimension: Dimension,
    /// μ, how much the difference of the means counts, above 0; 1.
    pub mu: f64,
}

impl Default for TransferComponents {
    fn default() -> Self {
        Self { dimension: Dimension::default(), mu: 1.0 }
    }
}

impl TransferComponents {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        if !(self.mu.is_finite() && self.mu > 0.0) {
            return Err(Error::Usage(format!("mu of transfer components must be above 0, got {}", self.mu)));
        }
        let (n, m) = (domains.source.nrows() as f64, domains.target.nrows() as f64);
        let source = Moments::new(domains.source, progress)?;
        let target = Moments::new(domains.target, progress)?;
        let mean = (&source.mean * n + &target.mean * m) / (n + m);
        let difference = &source.mean - &target.mean;
        let scatter = source.covariance(Shrinkage::None) * n
            + target.covariance(Shrinkage::None) * m
            + outer(&difference, &difference) * (n * m / (n + m));
        let map = components(&scatter, &difference, self.mu)?;
        let to = |k: usize| Affine::between(map.slice(s![.., ..k]).to_owned(), &mean, &Array1::zeros(k));
        let mapped = |k: usize| to(k).apply(domains.source, progress);
        let k = self.dimension.choose(map.ncols(), domains, learn, progress, mapped)?;
        let mut adapted = Adapted::new(Training::Mapped(to(k)), Serving::Mapped(to(k)));
        adapted.figures.push(("dimension", k as f64));
        Ok(adapted)
    }
}

/// The d×k map of centred features to all components, from their scatter C and the difference of the means.
fn components(scatter: &Array2<f64>, difference: &Array1<f64>, mu: f64) -> Result<Array2<f64>> {
    let (values, vectors) = eigen(scatter)?;
    let greatest = values.last().copied().unwrap_or(0.0);
    let kept: Vec<usize> = (0..values.len()).filter(|&i| values[i] > RANK * greatest).collect();
    if kept.is_empty() {
        return Err(Error::Data("all rows of both domains are alike: there is no direction to keep".into()));
    }
    // In the eigenvectors of C, C is diagonal.
    let values = values.select(Axis(0), &kept);
    let vectors = vectors.select(Axis(1), &kept);
    let v = vectors.t().dot(difference) * values.mapv(f64::sqrt);
    let length = v.dot(&v);
    let inverse_root = |x: ArrayView2<f64>| -> Array2<f64> {
        if length == 0.0 {
            return x.to_owned();
        }
        let share = (1.0 - 1.0 / (1.0 + mu * length).sqrt()) / length;
        let along = v.dot(&x);
        &x - &(outer(&v, &along) * share)
    };
    let half = inverse_root(Array2::from_diag(&values.mapv(|v| v * v)).view());
    let whole = inverse_root(half.t());
    let (_, found) = eigen(&((&whole + &whole.t()) / 2.0))?;
    let greatest_first: Vec<usize> = (0..kept.len()).rev().collect();
    let y = inverse_root(found.select(Axis(1), &greatest_first).view());
    Ok((vectors * values.mapv(f64::sqrt)).dot(&y))
}

fn outer(a: &Array1<f64>, b: &Array1<f64>) -> Array2<f64> {
    a.view().insert_axis(Axis(1)).dot(&b.view().insert_axis(Axis(0)))
}
