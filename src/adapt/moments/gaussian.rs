//! Optimal transport between Gaussian distributions.

use ndarray::Array2;

use super::super::adapted::{Adapted, Serving, Training};
use super::super::affine::Affine;
use super::super::domains::Domains;
use super::shrinkage::{Shrinkage, Spectrum};
use super::statistics::Moments;
use crate::error::Result;
use crate::product::product;
use crate::progress::Progress;

/// The map of least squared movement between the Gaussian distributions of the domains' moments, `(x − m_s)·A + m_t` with
/// `A = C_s^(−1/2)·(C_s^(1/2)·C_t·C_s^(1/2))^(1/2)·C_s^(−1/2)` (Knott & Smith, J. Optimization Theory and Applications 43, 1984; for
/// adaptation Flamary, Lounici & Ferrari, arXiv 1905.10155).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LinearTransport {
    /// Of both covariances; by default Ledoit and Wolf's. POT has `Ridge(1e-6)`.
    pub shrinkage: Shrinkage,
}

impl LinearTransport {
    pub(in crate::adapt) fn fit(self, domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
        self.shrinkage.check()?;
        domains.two_rows("linear transport")?;
        let source = Moments::new(domains.source, progress)?;
        let target = Moments::new(domains.target, progress)?;
        let spectrum = Spectrum::new(&source.covariance(self.shrinkage))?;
        let (root, inverse) = (spectrum.root(), spectrum.inverse_root()?);
        let between = |a: &Array2<f64>, b: &Array2<f64>| {
            let (mut half, mut whole) = (Array2::zeros(a.dim()), Array2::zeros(a.dim()));
            product(a.view(), b.view(), half.view_mut());
            product(half.view(), a.view(), whole.view_mut());
            // Rounding must not make it unsymmetric.
            (&whole + &whole.t()) / 2.0
        };
        let middle = Spectrum::new(&between(&root, &target.covariance(self.shrinkage)))?.root();
        let map = Affine::between(between(&inverse, &middle), &source.mean, &target.mean);
        Ok(Adapted::new(Training::Mapped(map), Serving::AsIs))
    }
}
