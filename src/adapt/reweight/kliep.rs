//! The Kullback-Leibler importance estimation procedure.

use ndarray::{Array1, Array2, Axis};

use super::super::adapted::Adapted;
use super::super::domains::Domains;
use super::super::kernel::{Centred, Gaussian, origin};
use super::nonnegative::likeliest_mixture;
use super::weights::weighted;
use crate::error::{Error, Result};
use crate::eval::Folds;
use crate::progress::Progress;

/// The widths that are tried, in multiples of the γ of the median distance.
const WIDTHS: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// Kernel values below this are 0: a target row so far from every centre says nothing.
const NOTHING: f64 = 1e-300;

/// Weights `w(x) = Σ_l α_l·exp(−γ‖x − c_l‖²)`, centred at target rows, under which the weighted source is nearest to the target:
/// the greatest mean `ln w` of the target rows with a mean weight of 1 of the source rows (Sugiyama et al., NIPS 2007). The problem is
/// convex and is solved to its optimum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kliep {
    /// γ; by default that of five multiples of the median distance's which makes held-out target rows likeliest, in five folds.
    pub gamma: Option<f64>,
    /// Target rows that are centres, at most; 100.
    pub centres: usize,
    /// The greatest weight, in multiples of the mean; 10.
    pub most: f64,
    /// Draws the centres and the folds; 0.
    pub seed: u64,
}

impl Default for Kliep {
    fn default() -> Self {
        Self { gamma: None, centres: 100, most: 10.0, seed: 0 }
    }
}

impl Kliep {
    pub(in crate::adapt) fn fit(self, domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
        if self.centres == 0 || self.gamma.is_some_and(|gamma| !(gamma.is_finite() && gamma > 0.0)) {
            return Err(Error::Usage("KLIEP needs a centre and more, and a gamma above 0".into()));
        }
        let m = domains.target.nrows();
        let mut rng = fastrand::Rng::with_seed(self.seed);
        let mut centres: Vec<usize> = match m > self.centres {
            true => rng.choose_multiple(0..m, self.centres),
            false => (0..m).collect(),
        };
        centres.sort_unstable();
        let origin = origin(domains.source, domains.target);
        let source = Centred::new(domains.source, &origin);
        let target = Centred::new(domains.target, &origin);
        let centres = Centred::new(domains.target.select(Axis(0), &centres).view(), &origin);
        let values = |gamma: f64| -> Result<_> {
            let kernel = Gaussian { gamma };
            Ok((kernel.matrix(&source, &centres, progress)?, kernel.matrix(&target, &centres, progress)?))
        };
        let gamma = match self.gamma {
            Some(gamma) => gamma,
            None => {
                let middle = Gaussian::median(domains.source, domains.target, self.seed).gamma;
                let mut best = (f64::NEG_INFINITY, middle);
                for gamma in WIDTHS.map(|width| width * middle) {
                    let (near_source, near_target) = values(gamma)?;
                    let likelihood = self.held_out(&near_source, &near_target);
                    // A width for which the source has no row near the target is none to choose.
                    if let Ok(likelihood) = likelihood
                        && likelihood > best.0
                    {
                        best = (likelihood, gamma);
                    }
                }
                best.1
            }
        };
        let (near_source, near_target) = values(gamma)?;
        let rows: Vec<usize> = (0..m).collect();
        let (alpha, gap) = mixture(&near_source, &near_target, &rows)?;
        let mut adapted = weighted(near_source.dot(&alpha).to_vec(), self.most)?;
        adapted.figures.extend([("gamma", gamma), ("gap", gap)]);
        Ok(adapted)
    }

    /// The mean logarithm of held-out target rows' weights.
    fn held_out(self, near_source: &Array2<f64>, near_target: &Array2<f64>) -> Result<f64> {
        let m = near_target.nrows();
        if m < 2 {
            return Ok(0.0);
        }
        let mut sum = 0.0;
        for fold in Folds::stratified(&vec![0; m], m.min(5), self.seed)?.iter() {
            let (alpha, _) = mixture(near_source, near_target, &fold.train)?;
            sum += fold.test.iter().map(|&row| near_target.row(row).dot(&alpha).max(f64::EPSILON).ln()).sum::<f64>();
        }
        Ok(sum / m as f64)
    }
}

/// The α of some target rows, 0 for centres that no source row is near, and what bounds the distance to the optimum.
fn mixture(near_source: &Array2<f64>, near_target: &Array2<f64>, rows: &[usize]) -> Result<(Array1<f64>, f64)> {
    let means = near_source.sum_axis(Axis(0)) / near_source.nrows() as f64;
    let used: Vec<usize> = (0..means.len()).filter(|&centre| means[centre] > NOTHING).collect();
    let near = near_target.select(Axis(0), rows).select(Axis(1), &used);
    let told: Vec<usize> = (0..near.nrows()).filter(|&row| near.row(row).iter().any(|v| *v > NOTHING)).collect();
    if told.is_empty() {
        return Err(Error::Data("no source row is near a target row: the domains have nothing in common".into()));
    }
    let (some, gap) = likeliest_mixture(near.select(Axis(0), &told).view(), &means.select(Axis(0), &used))?;
    let mut alpha = Array1::zeros(means.len());
    used.iter().zip(&some).for_each(|(&centre, &value)| alpha[centre] = value);
    Ok((alpha, gap))
}
