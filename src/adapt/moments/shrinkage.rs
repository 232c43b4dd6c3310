//! How a covariance is made invertible.

use ndarray::{Array1, Array2};

use crate::eigen::eigen;
use crate::error::{Error, Result};

/// Eigenvalues below this share of the greatest are rounding.
const RANK: f64 = 1e-12;

/// What is added to a covariance, whose directions without variance could not be undone otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Shrinkage {
    /// Nothing: needs more rows than columns.
    None,
    /// The share of the mean variance that Ledoit & Wolf (J. Multivariate Analysis 88, 2004) find best for the standardised columns;
    /// the default.
    #[default]
    LedoitWolf,
    /// `(1 − s)·C + s·mean(diag C)·I`, s from 0 to 1.
    Share(f64),
    /// `C + r·I`, r of the features' squared unit, 0 or more.
    Ridge(f64),
}

impl Shrinkage {
    pub(super) fn check(self) -> Result<()> {
        match self {
            Shrinkage::Share(share) if !(0.0..=1.0).contains(&share) => {
                Err(Error::Usage(format!("a share of shrinkage is from 0 to 1, got {share}")))
            }
            Shrinkage::Ridge(ridge) if !(ridge.is_finite() && ridge >= 0.0) => {
                Err(Error::Usage(format!("a ridge is 0 or more, got {ridge}")))
            }
            _ => Ok(()),
        }
    }
}

/// A positive semidefinite matrix by its eigenvalues and eigenvectors.
pub(super) struct Spectrum {
    values: Array1<f64>,
    vectors: Array2<f64>,
}

impl Spectrum {
    pub(super) fn new(matrix: &Array2<f64>) -> Result<Self> {
        let (values, vectors) = eigen(matrix)?;
        Ok(Self { values: values.mapv(|v| v.max(0.0)), vectors })
    }

    /// `V·diag(√λ)·Vᵀ`.
    pub(super) fn root(&self) -> Array2<f64> {
        self.with(self.values.mapv(f64::sqrt))
    }

    /// `V·diag(1/√λ)·Vᵀ`.
    ///
    /// # Errors
    /// [`Error::Data`] when the matrix is singular, as far as rounding shows.
    pub(super) fn inverse_root(&self) -> Result<Array2<f64>> {
        let greatest = self.values.last().copied().unwrap_or(0.0);
        if self.values.iter().any(|&v| v <= RANK * greatest) {
            return Err(Error::Data(
                "the source features have directions without variance (constant columns, or fewer rows than columns): \
                 they can be adapted with shrinkage"
                    .into(),
            ));
        }
        Ok(self.with(self.values.mapv(|v| 1.0 / v.sqrt())))
    }

    fn with(&self, values: Array1<f64>) -> Array2<f64> {
        let mut product = Array2::zeros(self.vectors.dim());
        crate::product::product((&self.vectors * &values).view(), self.vectors.t(), product.view_mut());
        product
    }
}
