//! Joint distribution optimal transport.

use ndarray::{Array1, Array2, Axis};

use super::super::adapted::{Adapted, Serving, Training};
use super::super::domains::Domains;
use super::super::linear::{Learn, Lesson};
use super::coupling::{Stop, couple};
use super::kernel::{Kernel, mean_cost};
use super::positive;
use crate::error::{Error, Result};
use crate::progress::Progress;

/// Probabilities are taken for at least this where their logarithm is a cost.
const LEAST: f64 = 1e-16;

/// JDOT (Courty et al., NIPS 2017): in turn a plan that carries source rows to target rows near to them and of which the head says what
/// their label is, and a head that learns from the target rows with the labels that are carried to them. The cost of a pair is
/// `(1 − α)·‖x − y‖²/mean + α·(−ln p(label|y))`, as skada has it; the plan has an entropy, which makes it possible for many rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointTransport {
    /// α, between 0 and 1; 0.5.
    pub alpha: f64,
    /// Of the entropy, above 0; 0.02.
    pub reg: f64,
    /// Rounds at most; 10.
    pub rounds: usize,
    /// The mean change of a target row's label shares at which they end; 0.001.
    pub change: f64,
    /// Label shares below this share of the greatest are left out; 0.01.
    pub least: f64,
    /// Scalings of one round at most; 1000.
    pub iterations: usize,
    /// Of the length of the error of the target's shares; 1e-9.
    pub tolerance: f64,
}

impl Default for JointTransport {
    fn default() -> Self {
        Self { alpha: 0.5, reg: 0.02, rounds: 10, change: 1e-3, least: 0.01, iterations: 1000, tolerance: 1e-9 }
    }
}

impl JointTransport {
    pub(in crate::adapt) fn fit(self, domains: &Domains, learn: &Learn, progress: &dyn Progress) -> Result<Adapted> {
        positive("the entropy's share", self.reg)?;
        positive("the tolerance", self.tolerance)?;
        if !(self.alpha > 0.0 && self.alpha < 1.0 && (0.0..1.0).contains(&self.least)) {
            return Err(Error::Usage(
                "a joint transport needs an alpha between 0 and 1, and a least share of 0 up to below 1".into(),
            ));
        }
        if self.rounds == 0 || self.iterations == 0 {
            return Err(Error::Usage("a joint transport needs a round and an iteration".into()));
        }
        let unit = mean_cost(domains);
        if unit == 0.0 {
            return Err(Error::Data("all rows of both domains are alike: there is nothing to carry".into()));
        }
        let kernel = Kernel::new(domains, self.reg * unit / (1.0 - self.alpha), progress)?;
        let stop = Stop { iterations: self.iterations, tolerance: self.tolerance };
        let m = domains.target.nrows();
        let (mut factors, mut v) = (Array2::ones((domains.classes, m)), Array1::ones(m));
        let mut shares = Array2::<f64>::zeros((m, domains.classes));
        let (mut rounds, mut error) = (0, 0.0);
        let rows = loop {
            let coupling = couple(&kernel, &factors, &mut v, stop, progress)?;
            let next = (coupling.classes * m as f64).reversed_axes();
            let change = (&next - &shares).mapv(f64::abs).sum() / m as f64;
            (shares, error) = (next, coupling.error.max(error));
            let rows = self.expanded(domains, &shares);
            rounds += 1;
            if rounds == self.rounds || change < self.change {
                break rows;
            }
            let head = learn(Lesson { x: rows.0.view(), labels: &rows.1, weights: Some(&rows.2) })?;
            let said = head.probabilities(domains.target).reversed_axes();
            factors = said.mapv(|p| (self.alpha / self.reg * p.max(LEAST).ln()).exp());
            // Only the ratios within a column matter: the greatest is 1.
            for mut column in factors.columns_mut() {
                let greatest = column.iter().copied().fold(0.0, f64::max);
                column.mapv_inplace(|f| f / greatest);
            }
        };
        let (x, labels, weights) = rows;
        let mut adapted = Adapted::new(Training::Rows { x, labels, weights }, Serving::AsIs);
        adapted.figures = vec![("rounds", rounds as f64), ("marginal_error", error)];
        adapted.labelled = Some(shares);
        Ok(adapted)
    }

    /// Each target row once for each label that enough of is carried to it, counting by how much.
    fn expanded(self, domains: &Domains, shares: &Array2<f64>) -> (Array2<f32>, Vec<usize>, Vec<f64>) {
        let least = self.least * shares.iter().copied().fold(0.0, f64::max);
        let (mut rows, mut labels, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        // A class of which little is carried anywhere must not vanish from the head.
        let most = shares.map_axis(Axis(0), |of_class| of_class.iter().copied().fold(0.0, f64::max));
        for ((row, class), &share) in shares.indexed_iter() {
            if share > least || share == most[class] {
                rows.push(row);
                labels.push(class);
                weights.push(share);
            }
        }
        (domains.target.select(Axis(0), &rows), labels, weights)
    }
}
