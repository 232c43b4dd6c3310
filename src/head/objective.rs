//! The penalised multinomial likelihood and its gradient, block by block.
//!
//! `J(θ) = Σ_i w_i·CE_i + (alpha/2)·‖W‖²`, with `θ = [W; b]` of (d+1)×m, row-major, and `b` not penalised. Three and more
//! classes have one logit each (m = K). Two classes have one logit `z` for the second class (m = 1): this is
//! scikit-learn's objective in both cases, with `alpha = 1/C`. As two logits it is written `[−z/2, z/2]`. Labels of which a
//! row may have any number have one logit each, and CE_i is the sum of their binary cross-entropies: J is then the sum of
//! the objectives of m binary fits, which share the passes over the features.

use std::sync::{Condvar, Mutex, PoisonError};

use ndarray::{Array2, ArrayView2, Axis, s};

use super::real::Real;
use super::residuals::Residuals;
use super::standardize::Scaler;
use crate::product::product;

/// Rows of a block: its features and logits stay in the second-level cache between the two products.
const BLOCK: usize = 512;

/// What is known of each row.
#[derive(Clone, Copy)]
pub(crate) enum Targets<'a> {
    /// Its class, below the number of classes: the link is the softmax, of two classes the sigmoid of the one logit.
    Classes(&'a [usize]),
    /// Which of the m labels it has, n×m: the link is a sigmoid for each.
    Labels(ArrayView2<'a, bool>),
}

impl Targets<'_> {
    /// The probability of each of `columns` classes or labels at zero weights.
    pub(crate) fn at_zero(&self, columns: usize) -> f64 {
        match self {
            Targets::Classes(_) => 1.0 / columns as f64,
            Targets::Labels(_) => 0.5,
        }
    }
}

/// The data of one fit, checked by the caller.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a> {
    pub(crate) x: ArrayView2<'a, f32>,
    pub(crate) targets: Targets<'a>,
    /// What each row's loss is multiplied by; 1 where there are none.
    pub(crate) weights: Option<&'a [f64]>,
    pub(crate) scaler: &'a Scaler,
    /// Number of logits: 1 for two classes.
    pub(crate) outputs: usize,
    pub(crate) alpha: f64,
    pub(crate) threads: usize,
}

/// What an evaluation finds besides the value and the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Besides {
    /// The curvature along the intercepts.
    Curvature,
    /// The centres as well, for half as much time again.
    Centres,
}

/// How curved the objective is at a point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Curvature {
    /// `h_k = Σ_i w_i p_ik (1 − p_ik)` of each logit: the curvature along its intercept.
    pub(crate) intercepts: Vec<f64>,
    /// `Σ_i w_i p_ik (1 − p_ik) x_i / h_k`, d×m: the mean of the scaled rows that curve logit k, as they count for it.
    pub(crate) centres: Option<Array2<f64>>,
}

/// Blocks are added in the order of the rows, whichever thread computed them: the sum is the same, bit for bit, for
/// every number of threads.
struct Sum<'a> {
    next_block: usize,
    loss: f64,
    gradient: &'a mut [f64],
    curvature: Vec<f64>,
    /// `Σ_i w_i p_ik (1 − p_ik) (x_i, 1)`, as θ is laid out; empty where it is not asked for.
    moments: Vec<f64>,
}

impl Problem<'_> {
    /// Length of θ.
    pub(crate) fn parameters(&self) -> usize {
        (self.x.ncols() + 1) * self.outputs
    }

    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Of all rows; their number where there are no weights.
    pub(crate) fn total_weight(&self) -> f64 {
        self.weights.map_or(self.x.nrows() as f64, |weights| weights.iter().sum())
    }

    /// `J(θ)` and its curvature. The gradient goes into `gradient`. Products and residuals are in `F`, sums over blocks in f64.
    pub(crate) fn evaluate<F: Real>(&self, theta: &[f64], gradient: &mut [f64], besides: Besides) -> (f64, Curvature) {
        let weights = theta.len() - self.outputs;
        gradient.fill(0.0);
        let typed: Vec<F> = theta.iter().map(|&v| F::of(v)).collect();
        let moments = if besides == Besides::Centres { vec![0.0; theta.len()] } else { Vec::new() };
        let blocks = self.x.nrows().div_ceil(BLOCK);
        let threads = self.threads.clamp(1, blocks.max(1));
        let sum = Mutex::new(Sum { next_block: 0, loss: 0.0, gradient, curvature: vec![0.0; self.outputs], moments });
        let turn = Condvar::new();
        std::thread::scope(|scope| {
            for first in 1..threads {
                let (typed, sum, turn) = (&typed, &sum, &turn);
                scope.spawn(move || self.add_blocks(typed, (first..blocks).step_by(threads), besides, sum, turn));
            }
            self.add_blocks(&typed, (0..blocks).step_by(threads), besides, &sum, &turn);
        });
        let sum = sum.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut penalty = 0.0;
        for (g, &w) in sum.gradient.iter_mut().zip(&theta[..weights]) {
            *g += self.alpha * w;
            penalty += w * w;
        }
        let centres = Array2::from_shape_vec((self.x.ncols() + 1, self.outputs), sum.moments).ok().map(|moments| {
            let (moments, curvature) = moments.view().split_at(Axis(0), self.x.ncols());
            &moments / &curvature.mapv(|h| h.max(f64::MIN_POSITIVE))
        });
        (sum.loss + 0.5 * self.alpha * penalty, Curvature { intercepts: sum.curvature, centres })
    }

    fn add_blocks<F: Real>(
        &self,
        theta: &[F],
        blocks: impl Iterator<Item = usize>,
        besides: Besides,
        sum: &Mutex<Sum>,
        turn: &Condvar,
    ) {
        let (d, m) = (self.x.ncols(), self.outputs);
        let Ok(theta) = ArrayView2::from_shape((d + 1, m), theta) else { return };
        // The last column stays 1: the intercept is one more weight.
        let mut features = Array2::from_elem((BLOCK.min(self.x.nrows()), d + 1), F::one());
        let mut logits = Array2::from_elem((features.nrows(), m), F::zero());
        let mut curvature = vec![F::zero(); m];
        let mut partial = Array2::from_elem((d + 1, m), F::zero());
        let centres = if besides == Besides::Centres { features.nrows() } else { 0 };
        let mut variances = Array2::from_elem((centres, m), F::zero());
        let mut moments = Array2::from_elem((d + 1, if centres > 0 { m } else { 0 }), F::zero());
        let arch = pulp::Arch::new();
        for block in blocks {
            let rows = block * BLOCK..((block + 1) * BLOCK).min(self.x.nrows());
            let count = rows.len();
            self.scaler.apply(self.x.slice(s![rows.clone(), ..]), features.slice_mut(s![..count, ..d]));
            let features = features.slice(s![..count, ..]);
            let mut logits = logits.slice_mut(s![..count, ..]);
            product(features, theta, logits.view_mut());
            curvature.fill(F::zero());
            let mut variances = variances.slice_mut(s![..count.min(centres), ..]);
            let loss = arch.dispatch(Residuals {
                problem: self,
                rows,
                logits: logits.view_mut(),
                curvature: &mut curvature,
                variances: variances.view_mut(),
            });
            product(features.t(), logits.view(), partial.view_mut());
            if centres > 0 {
                product(features.t(), variances.view(), moments.view_mut());
            }

            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            while sum.next_block != block {
                sum = turn.wait(sum).unwrap_or_else(PoisonError::into_inner);
            }
            sum.loss += loss;
            for (total, &value) in sum.gradient.iter_mut().zip(&partial) {
                *total += value.into();
            }
            for (total, &value) in sum.curvature.iter_mut().zip(&curvature) {
                *total += value.into();
            }
            for (total, &value) in sum.moments.iter_mut().zip(&moments) {
                *total += value.into();
            }
            sum.next_block += 1;
            drop(sum);
            turn.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::standardize::Scaling;
    use super::*;
    use crate::close::{Tolerance, assert_close};

    fn data(n: usize, d: usize, classes: usize) -> (Array2<f32>, Vec<usize>) {
        let mut rng = fastrand::Rng::with_seed(1);
        let x = Array2::from_shape_fn((n, d), |_| rng.f32() * 4.0 - 2.0);
        let labels = (0..n).map(|_| rng.usize(..classes)).collect();
        (x, labels)
    }

    fn theta(length: usize) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(2);
        (0..length).map(|_| rng.f64() - 0.5).collect()
    }

    #[test]
    fn gradient_is_the_finite_difference() {
        let sets = Array2::from_shape_fn((700, 3), |(i, j)| (i * (j + 2)) % 5 < 2);
        for (classes, outputs) in [(2, 1), (4, 4), (0, 3)] {
            let (x, labels) = data(700, 5, classes.max(1));
            for scaling in [Scaling::Standardize, Scaling::L2, Scaling::None] {
                let targets = if classes == 0 { Targets::Labels(sets.view()) } else { Targets::Classes(&labels) };
                let scaler = Scaler::fit(scaling, x.view());
                let problem =
                    Problem { x: x.view(), targets, weights: None, scaler: &scaler, outputs, alpha: 0.7, threads: 2 };
                let at = theta(problem.parameters());
                let mut gradient = vec![0.0; at.len()];
                let mut ignored = vec![0.0; at.len()];
                problem.evaluate::<f64>(&at, &mut gradient, Besides::Curvature);
                let numeric: Vec<f64> = (0..at.len())
                    .map(|i| {
                        let mut value = |step: f64| {
                            let mut moved = at.clone();
                            moved[i] += step;
                            problem.evaluate::<f64>(&moved, &mut ignored, Besides::Curvature).0
                        };
                        (value(1e-5) - value(-1e-5)) / 2e-5
                    })
                    .collect();
                assert_close(gradient, numeric, Tolerance::Within(1e-7));
            }
        }
    }

    #[test]
    fn threads_change_no_bit_and_f32_is_near_f64() {
        let (x, labels) = data(3000, 7, 3);
        let scaler = Scaler::fit(Scaling::Standardize, x.view());
        let problem = |threads| Problem {
            x: x.view(),
            targets: Targets::Classes(&labels),
            weights: None,
            scaler: &scaler,
            outputs: 3,
            alpha: 1.0,
            threads,
        };
        let at = theta(24);
        let mut one = vec![0.0; 24];
        let mut four = vec![0.0; 24];
        let mut double = vec![0.0; 24];
        let single = problem(1).evaluate::<f32>(&at, &mut one, Besides::Centres);
        assert_eq!(single, problem(4).evaluate::<f32>(&at, &mut four, Besides::Centres));
        assert_eq!(one, four);
        let (value, curvature) = problem(2).evaluate::<f64>(&at, &mut double, Besides::Centres);
        assert_close([single.0], [value], Tolerance::Within(1e-6));
        assert_close(single.1.intercepts, curvature.intercepts, Tolerance::Within(1e-6));
        assert_close(single.1.centres.unwrap(), curvature.centres.unwrap(), Tolerance::Within(1e-5));
        assert_close(one, double, Tolerance::Within(1e-5));
    }
}
