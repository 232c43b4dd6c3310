//! Optimal transport with class regularisation.

use ndarray::{Array1, Array2};

use super::super::adapted::{Adapted, Serving, Training};
use super::super::domains::Domains;
use super::coupling::{Coupling, Stop, couple};
use super::kernel::{Kernel, mean_cost};
use super::positive;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// The regularisation's `Σ (S + ε)^p`.
const POWER: f64 = 0.5;
const EPSILON: f64 = 1e-3;

/// Source rows are moved to the mean of the target rows that an optimal plan carries them to (Courty et al., IEEE TPAMI 39, 2017): the plan
/// of the least cost, squared distances, plus an entropy, plus a penalty on target rows that get rows of several classes, `Σ_jc √S_cj`,
/// S_cj being what class c sends to row j, by majorisation as POT's `SinkhornLpl1Transport` has it. The plan itself is never stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SinkhornTransport {
    /// Of the entropy, in multiples of the mean cost, above 0; 0.05.
    pub reg: f64,
    /// Of the classes, in multiples of the mean cost, 0 or more; 0.1.
    pub class_reg: f64,
    /// Majorisations; 10.
    pub rounds: usize,
    /// Scalings of one round at most; 200.
    pub iterations: usize,
    /// Of the length of the error of the target's shares; 1e-9.
    pub tolerance: f64,
}

impl Default for SinkhornTransport {
    fn default() -> Self {
        Self { reg: 0.05, class_reg: 0.1, rounds: 10, iterations: 200, tolerance: 1e-9 }
    }
}

impl SinkhornTransport {
    pub(in crate::adapt) fn fit(self, domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
        positive("the entropy's share", self.reg)?;
        positive("the tolerance", self.tolerance)?;
        if !(self.class_reg.is_finite() && self.class_reg >= 0.0) || self.rounds == 0 || self.iterations == 0 {
            return Err(Error::Usage("a transport needs a round, an iteration, and a class share of 0 or more".into()));
        }
        let unit = mean_cost(domains);
        if unit == 0.0 {
            return Err(Error::Data("all rows of both domains are alike: there is nothing to carry".into()));
        }
        let kernel = Kernel::new(domains, self.reg * unit, progress)?;
        let stop = Stop { iterations: self.iterations, tolerance: self.tolerance };
        let m = kernel.dim().1;
        let (mut factors, mut v) = (Array2::ones((domains.classes, m)), Array1::ones(m));
        let mut coupling = couple(&kernel, &factors, &mut v, stop, progress)?;
        let mut iterations = coupling.iterations;
        if self.class_reg > 0.0 {
            for _ in 1..self.rounds {
                let slopes = coupling.classes.mapv(|s| POWER * (s + EPSILON).powf(POWER - 1.0));
                factors = slopes.mapv(|slope| (-self.class_reg / self.reg * slope).exp());
                // Only the ratios within a column matter: the greatest is 1.
                for mut column in factors.columns_mut() {
                    let greatest = column.iter().copied().fold(0.0, f64::max);
                    column.mapv_inplace(|f| f / greatest);
                }
                coupling = couple(&kernel, &factors, &mut v, stop, progress)?;
                iterations += coupling.iterations;
            }
        }
        let Coupling { weights, classes, error, .. } = coupling;
        let moved = kernel.means(weights.view(), domains.target, progress)?;
        let mut adapted = Adapted::new(Training::Moved(moved), Serving::AsIs);
        adapted.labelled = Some((classes * m as f64).reversed_axes());
        adapted.figures = vec![("iterations", iterations as f64), ("marginal_error", error)];
        Ok(adapted)
    }
}
