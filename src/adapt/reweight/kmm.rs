//! Kernel mean matching.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::super::adapted::Adapted;
use super::super::domains::Domains;
use super::super::kernel::{Centred, Gaussian, origin};
use super::weights::weighted;
use crate::cholesky::Cholesky;
use crate::error::{Error, Result};
use crate::progress::Progress;

const ITERATIONS: usize = 100;
/// Of the optimality conditions, for kernel values of at most 1.
const TOLERANCE: f64 = 1e-10;

/// Weights 0 ≤ β ≤ B with a mean within `1 ± slack`, under which the mean of the source rows in the kernel's space is nearest to that
/// of the target rows: the least `βᵀKβ/2 − κᵀβ` with `κ_i = n·mean_j k(x_i, y_j)` (Huang et al., NIPS 2006), by a primal-dual interior
/// point method. More source rows than `part` are divided at random, and each part is matched by itself (Miao, Farahat & Kamel, ICDM
/// 2015): time and memory would grow with the cube and the square of their number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanMatching {
    /// γ of the Gaussian kernel; by default of the median distance.
    pub gamma: Option<f64>,
    /// B, above 1; 1000.
    pub bound: f64,
    /// By default `(√n − 1)/√n`, as in the paper.
    pub slack: Option<f64>,
    /// Rows that are matched together, at most; 2000.
    pub part: usize,
    /// The greatest weight that is kept, in multiples of the mean; 10.
    pub most: f64,
    /// Draws the parts; 0.
    pub seed: u64,
}

impl Default for MeanMatching {
    fn default() -> Self {
        Self { gamma: None, bound: 1000.0, slack: None, part: 2000, most: 10.0, seed: 0 }
    }
}

impl MeanMatching {
    pub(in crate::adapt) fn fit(self, domains: &Domains, progress: &dyn Progress) -> Result<Adapted> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        if self.gamma.is_some_and(|gamma| !positive(gamma)) || self.slack.is_some_and(|slack| !positive(slack)) {
            return Err(Error::Usage("kernel mean matching needs a gamma and a slack above 0".into()));
        }
        if !(self.bound.is_finite() && self.bound > 1.0) || self.part < 2 {
            return Err(Error::Usage(
                "kernel mean matching needs a bound above 1 and parts of two rows and more".into(),
            ));
        }
        domains.two_rows("kernel mean matching")?;
        let n = domains.source.nrows();
        let kernel = match self.gamma {
            Some(gamma) => Gaussian { gamma },
            None => Gaussian::median(domains.source, domains.target, self.seed),
        };
        let mut order: Vec<usize> = (0..n).collect();
        let parts = n.div_ceil(self.part);
        if parts > 1 {
            fastrand::Rng::with_seed(self.seed).shuffle(&mut order);
        }
        let origin = origin(domains.source, domains.target);
        let target = Centred::new(domains.target, &origin);
        let (mut weights, mut violation) = (vec![0.0; n], 0.0_f64);
        for part in 0..parts {
            let rows = &order[part * n / parts..(part + 1) * n / parts];
            let source = Centred::new(domains.source.select(Axis(0), rows).view(), &origin);
            let linear = kernel.means(&source, &target, progress)?;
            let quadratic = kernel.matrix(&source, &source, progress)? / rows.len() as f64;
            let root = (rows.len() as f64).sqrt();
            let slack = self.slack.unwrap_or((root - 1.0) / root);
            let matched = Matching { quadratic, linear, bound: self.bound, slack }.solve(progress)?;
            violation = violation.max(matched.1);
            rows.iter().zip(&matched.0).for_each(|(&row, &weight)| weights[row] = weight);
        }
        let mut adapted = weighted(weights, self.most)?;
        adapted.figures.extend([("gamma", kernel.gamma), ("kkt_residual", violation), ("parts", parts as f64)]);
        Ok(adapted)
    }
}

/// The least `βᵀQβ/2 − qᵀβ` with 0 ≤ β ≤ bound and a mean within 1 ± slack.
struct Matching {
    /// K/n.
    quadratic: Array2<f64>,
    /// κ/n.
    linear: Array1<f64>,
    bound: f64,
    slack: f64,
}

impl Matching {
    /// The weights, and the greatest violation of the conditions of their optimality.
    fn solve(&self, progress: &dyn Progress) -> Result<(Array1<f64>, f64)> {
        let n = self.linear.len();
        // Slacks: β, B − β, and what the mean has above its least and below its greatest value.
        let margins = |beta: &Array1<f64>| {
            let mean = beta.sum() / n as f64;
            [mean - (1.0 - self.slack), 1.0 + self.slack - mean]
        };
        let mut beta = Array1::<f64>::ones(n);
        let (mut lower, mut upper) = (Array1::<f64>::from_elem(n, 0.1), Array1::from_elem(n, 0.1 / (self.bound - 1.0)));
        let mut mean_duals = [0.1, 0.1];
        for _ in 0..ITERATIONS {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let gap = self.bound - &beta;
            let margin = margins(&beta);
            let pull = (mean_duals[1] - mean_duals[0]) / n as f64;
            let residual = self.quadratic.dot(&beta) - &self.linear - &lower + &upper + pull;
            let products = beta.dot(&lower) + gap.dot(&upper) + margin[0] * mean_duals[0] + margin[1] * mean_duals[1];
            let centre = products / (2 * n + 2) as f64;
            let violation = residual.iter().fold(centre, |most: f64, r| most.max(r.abs()));
            if violation < TOLERANCE {
                return Ok((beta, violation));
            }
            let centre = 0.1 * centre;
            let mut matrix = self.quadratic.clone();
            matrix += ((mean_duals[0] / margin[0] + mean_duals[1] / margin[1]) / (n * n) as f64).max(0.0);
            matrix.diag_mut().iter_mut().enumerate().for_each(|(i, v)| *v += lower[i] / beta[i] + upper[i] / gap[i]);
            let pulled = (centre / margin[0] - mean_duals[0] - centre / margin[1] + mean_duals[1]) / n as f64;
            let right = Array1::from_shape_fn(n, |i| {
                -residual[i] + centre / beta[i] - lower[i] - centre / gap[i] + upper[i] + pulled
            });
            let mut step = right.insert_axis(Axis(1));
            let failed = || Error::Data("the kernel matrix of the source rows could not be factored".into());
            Cholesky::new(matrix).ok_or_else(failed)?.solve(&mut step.view_mut());
            let step = step.remove_axis(Axis(1));
            let mean_step = step.sum() / n as f64;
            let dual = |slack: &Array1<f64>, dual: &Array1<f64>, sign: f64| {
                Array1::from_shape_fn(n, |i| centre / slack[i] - dual[i] - sign * dual[i] * step[i] / slack[i])
            };
            let (lower_step, upper_step) = (dual(&beta, &lower, 1.0), dual(&gap, &upper, -1.0));
            let mean_steps = [0, 1].map(|i| {
                let sign = if i == 0 { 1.0 } else { -1.0 };
                centre / margin[i] - mean_duals[i] - sign * mean_duals[i] * mean_step / margin[i]
            });
            let primal = room(beta.view(), step.view())
                .min(room(gap.view(), (-&step).view()))
                .min(room(ArrayView1::from(&margin), ArrayView1::from(&[mean_step, -mean_step])));
            let duals = room(lower.view(), lower_step.view())
                .min(room(upper.view(), upper_step.view()))
                .min(room(ArrayView1::from(&mean_duals), ArrayView1::from(&mean_steps)));
            // One length for both: the stationarity of a quadratic objective is then lessened for certain.
            let length = (0.995 * primal.min(duals)).min(1.0);
            beta.scaled_add(length, &step);
            lower.scaled_add(length, &lower_step);
            upper.scaled_add(length, &upper_step);
            (0..2).for_each(|i| mean_duals[i] += length * mean_steps[i]);
        }
        Err(Error::Data("kernel mean matching found no optimum: try another gamma".into()))
    }
}

/// How far one can go before a value is 0.
fn room(from: ArrayView1<f64>, by: ArrayView1<f64>) -> f64 {
    from.iter().zip(by).filter(|(_, by)| **by < 0.0).map(|(from, by)| -from / by).fold(f64::INFINITY, f64::min)
}
