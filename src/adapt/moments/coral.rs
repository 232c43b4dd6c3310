//! Correlation alignment.

use super::super::adapted::{Adapted, Serving, Training};
use super::super::affine::Affine;
use super::super::domains::Domains;
use super::shrinkage::{Shrinkage, Spectrum};
use super::statistics::Moments;
use crate::error::Result;
use crate::progress::Progress;

/// CORAL (Sun, Feng & Saenko, "Return of Frustratingly Easy Domain Adaptation", AAAI 2016): source rows are whitened by the source's
/// covariance and coloured by the target's, `(x − m_s)·C_s^(−1/2)·C_t^(1/2) + m_t`. The means are aligned too, as skada does.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Coral {
    /// Of both covariances; by default Ledoit and Wolf's.
    pub shrinkage: Shrinkage,
}

impl Coral {
    pub(in crate::adapt) fn fit(self, domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
        self.shrinkage.check()?;
        domains.two_rows("CORAL")?;
        let source = Moments::new(domains.source, progress)?;
        let target = Moments::new(domains.target, progress)?;
        let (whiten, colour) = rayon::join(
            || Spectrum::new(&source.covariance(self.shrinkage)).and_then(|spectrum| spectrum.inverse_root()),
            || Spectrum::new(&target.covariance(self.shrinkage)).map(|spectrum| spectrum.root()),
        );
        let (whiten, colour) = (whiten?, colour?);
        let mut matrix = ndarray::Array2::zeros(whiten.dim());
        crate::product::product(whiten.view(), colour.view(), matrix.view_mut());
        let map = Affine::between(matrix, &source.mean, &target.mean);
        Ok(Adapted::new(Training::Mapped(map), Serving::AsIs))
    }
}
