//! Subspace alignment.

use ndarray::{Array1, Array2, Axis, s};

use super::super::adapted::{Adapted, Serving, Training};
use super::super::affine::Affine;
use super::super::domains::Domains;
use super::super::linear::Learn;
use super::super::moments::{Moments, Shrinkage};
use super::dimension::Dimension;
use crate::eigen::eigen;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Variances below this share of the greatest are rounding.
const RANK: f64 = 1e-10;

/// The first k principal axes of the source are turned into those of the target (Fernando et al., ICCV 2013): with the axes as the
/// columns of P, a head is fitted on `(x − m_s)·P_s·P_sᵀ·P_t` of source rows and gets `(x − m_t)·P_t` of target rows, which folds into
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubspaceAlignment {
    /// k; by default cross-validated.
    pub dimension: Dimension,
}

impl SubspaceAlignment {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        domains.two_rows("subspace alignment")?;
        let (source_mean, source) = axes("source", domains.source, progress)?;
        let (target_mean, target) = axes("target", domains.target, progress)?;
        let most = source.ncols().min(target.ncols());
        let from = |k: usize| {
            let (source, target) = (source.slice(s![.., ..k]), target.slice(s![.., ..k]));
            let turned = source.dot(&source.t().dot(&target));
            Affine::between(turned, &source_mean, &Array1::zeros(k))
        };
        let mapped = |k: usize| from(k).apply(domains.source, progress);
        let k = self.dimension.choose(most, domains, learn, progress, mapped)?;
        let to = Affine::between(target.slice(s![.., ..k]).to_owned(), &target_mean, &Array1::zeros(k));
        let mut adapted = Adapted::new(Training::Mapped(from(k)), Serving::Mapped(to));
        adapted.figures.push(("dimension", k as f64));
        Ok(adapted)
    }
}

/// The mean, and the principal axes that have variance as columns, the greatest first.
fn axes(domain: &str, x: ndarray::ArrayView2<f32>, progress: &dyn Progress) -> Result<(Array1<f64>, Array2<f64>)> {
    let moments = Moments::new(x, progress)?;
    let (values, vectors) = eigen(&moments.covariance(Shrinkage::None))?;
    let greatest = values.last().copied().unwrap_or(0.0);
    let kept: Vec<usize> = (0..values.len()).rev().take_while(|&i| values[i] > RANK * greatest).collect();
    if kept.is_empty() {
        return Err(Error::Data(format!("all {domain} rows are alike: there is no direction to align")));
    }
    Ok((moments.mean, vectors.select(Axis(1), &kept)))
}
