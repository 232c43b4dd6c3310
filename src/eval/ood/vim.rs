//! Virtual-logit matching.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, s};
use serde::{Deserialize, Serialize};

use crate::eigen::eigen;
use crate::error::{Error, Result};

/// Singular values of the f32 weights below this share of the greatest are rounding.
const ROUNDING: f64 = 1e-5;
/// Likewise, of the features' length outside the subspace.
const RESIDUE: f64 = 1e-6;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Vim {
    /// Where all logits are as near to 0 as weights and intercepts allow.
    origin: Array1<f64>,
    /// d×(d − subspace): what is not in the principal subspace.
    rest: Array2<f64>,
    /// Makes the mean virtual logit the mean greatest logit.
    alpha: f64,
}

impl Vim {
    /// The paper's dimension of the subspace, but no more than half of the n rows: they have to vary outside of it.
    pub(crate) fn usual_dimension(n: usize, d: usize) -> usize {
        let of_features = match d {
            2048.. => 1000,
            768.. => 512,
            _ => d / 2,
        };
        of_features.min(n / 2)
    }

    /// What [`super::Ood::fit`] checks is taken for granted.
    pub(crate) fn fit(
        features: ArrayView2<f32>,
        logits: ArrayView2<f32>,
        weights: ArrayView2<f32>,
        intercepts: ArrayView1<f32>,
        dimension: usize,
    ) -> Result<Self> {
        let (n, d) = features.dim();
        if dimension >= d {
            return Err(Error::Usage(format!("a subspace of dimension {dimension} leaves nothing of {d} features")));
        }
        let origin = origin(weights, intercepts)?;
        let centered = features.mapv(f64::from) - &origin;
        // Least variance first.
        let (_, vectors) = eigen(&(centered.t().dot(&centered) / n as f64))?;
        let rest = vectors.slice(s![.., ..d - dimension]).to_owned();
        let mean = |lengths: Vec<f64>| lengths.iter().sum::<f64>() / n as f64;
        let (outside, whole) = (mean(lengths(&centered.dot(&rest))), mean(lengths(&centered)));
        if outside <= RESIDUE * whole {
            return Err(Error::Data(format!(
                "all {n} rows lie in their principal subspace of dimension {dimension}: give more rows or a smaller one"
            )));
        }
        let greatest = |row: ArrayView1<f32>| f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let greatest = mean(logits.rows().into_iter().map(greatest).collect());
        if greatest <= 0.0 {
            return Err(Error::Data(format!(
                "the greatest logit of a row is {greatest:.3} on average: virtual-logit matching needs logits above 0"
            )));
        }
        Ok(Self { origin, rest, alpha: greatest / outside })
    }

    /// The d of the origin, the d×(d − subspace) basis of what is outside the subspace, and the scale.
    pub(crate) fn parts(&self) -> (ArrayView1<'_, f64>, ArrayView2<'_, f64>, f64) {
        (self.origin.view(), self.rest.view(), self.alpha)
    }

    /// Of each row, the scaled length outside the subspace.
    pub(super) fn virtual_logits(&self, features: ArrayView2<f32>) -> Vec<f64> {
        let outside = (features.mapv(f64::from) - &self.origin).dot(&self.rest);
        lengths(&outside).into_iter().map(|length| self.alpha * length).collect()
    }
}

/// `−(Wᵀ)⁺·b` of the d×K weights W, by the eigenvectors of WᵀW.
fn origin(weights: ArrayView2<f32>, intercepts: ArrayView1<f32>) -> Result<Array1<f64>> {
    let (weights, intercepts) = (weights.mapv(f64::from), intercepts.mapv(f64::from));
    let (values, vectors) = eigen(&weights.t().dot(&weights))?;
    let least = values.fold(0.0, |a: f64, &b| a.max(b)) * ROUNDING * ROUNDING;
    let inverse = values.mapv(|value| if value > least { 1.0 / value } else { 0.0 });
    Ok(-weights.dot(&vectors.dot(&(inverse * vectors.t().dot(&intercepts)))))
}

fn lengths(rows: &Array2<f64>) -> Vec<f64> {
    rows.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect()
}
