//! How near weights are to the optimum, computed apart from whatever solver found them.

use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};
use serde::{Deserialize, Serialize};

use super::objective::{Problem, Targets};
use super::stretches::in_stretches;

/// What a fit reports of itself, computed in f64 from the final weights by code that no solver uses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// `J = Σ_i w_i·CE_i + (alpha/2)·‖W‖²` in nats, w being the rows' weights, on the scaled features; scikit-learn's objective with `C = 1/alpha`.
    pub objective: f64,
    /// `‖∇J‖₂` divided by the same norm at zero weights.
    pub gradient_norm: f64,
    /// Bound on `(J − J*)/J`, how far the objective is above the optimum.
    ///
    /// With the best intercepts for W, J is strongly convex in W with modulus alpha, so `J − J* ≤ ‖∇_W J‖²/(2·alpha)`.
    /// Away from the best intercepts `∇_W J` may be off by the longest feature row R times `‖∇_b J‖`, and J by the
    /// Newton decrement along the intercepts, `h_k = Σ_i w_i p_ik (1 − p_ik)` being their curvature. Hence
    /// `(‖∇_W J‖ + R·‖∇_b J‖)²/(2·alpha) + Σ_k (∂J/∂b_k)²/h_k`, divided by J.
    pub gap: f64,
    /// Iterations of the solver.
    pub iterations: usize,
    /// Whether `gap` is at most the tolerance that was asked for.
    pub converged: bool,
    /// Duration of the fit, this check included.
    pub seconds: f64,
}

/// The part of a [`Certificate`] that depends on the weights alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Optimality {
    pub(crate) objective: f64,
    pub(crate) gradient_norm: f64,
    pub(crate) gap: f64,
}

/// [`Certificate::gap`] before the division by J.
pub(crate) fn gap_bound(
    weight_gradient: f64,
    intercept_gradient: impl IntoIterator<Item = f64>,
    curvature: impl IntoIterator<Item = f64>,
    longest_row: f64,
    alpha: f64,
) -> f64 {
    let (mut squares, mut decrement) = (0.0, 0.0);
    for (g, h) in intercept_gradient.into_iter().zip(curvature) {
        squares += g * g;
        decrement += g * g / h.max(f64::MIN_POSITIVE);
    }
    (weight_gradient + longest_row * squares.sqrt()).powi(2) / (2.0 * alpha) + decrement
}

/// Sums over a stretch of rows.
struct Sums {
    loss: f64,
    longest_row: f64,
    /// `Σ_i w_i p_ik (1 − p_ik)`, 1×K.
    curvature: Array2<f64>,
    /// d×K.
    weight_gradient: Array2<f64>,
    /// 1×K.
    intercept_gradient: Array2<f64>,
    /// The rows of each class, K×d.
    class_sums: Array2<f64>,
    /// K×1.
    class_weights: Array2<f64>,
    /// All rows, 1×d.
    row_sum: Array2<f64>,
}

impl Sums {
    fn of(problem: &Problem, weights: ArrayView2<f64>, intercepts: ArrayView1<f64>, rows: Range<usize>) -> Self {
        let classes = intercepts.len();
        let mut sums = Self {
            loss: 0.0,
            longest_row: 0.0,
            curvature: Array2::zeros((1, classes)),
            weight_gradient: Array2::zeros(weights.dim()),
            intercept_gradient: Array2::zeros((1, classes)),
            class_sums: Array2::zeros(weights.t().dim()),
            class_weights: Array2::zeros((classes, 1)),
            row_sum: Array2::zeros((1, weights.nrows())),
        };
        let mut numbers = rows.clone();
        for rows in problem.x.slice(s![rows, ..]).axis_chunks_iter(Axis(0), 128) {
            let features = problem.scaler.scaled(rows);
            let mut residual = features.dot(&weights) + intercepts;
            let rows = residual.rows_mut().into_iter().zip(features.rows());
            for ((mut row, features), number) in rows.zip(numbers.by_ref()) {
                let weight = problem.weight(number);
                sums.loss += weight * problem.targets.cross_entropy(number, row.view_mut());
                sums.curvature.row_mut(0).zip_mut_with(&row, |h, p| *h += weight * p * (1.0 - p));
                for class in (0..classes).filter(|&class| problem.targets.has(number, class)) {
                    row[class] -= 1.0;
                    sums.class_sums.row_mut(class).scaled_add(weight, &features);
                    sums.class_weights[[class, 0]] += weight;
                }
                row *= weight;
                sums.row_sum.row_mut(0).scaled_add(weight, &features);
                sums.longest_row = sums.longest_row.max(features.dot(&features));
            }
            sums.weight_gradient += &features.t().dot(&residual);
            sums.intercept_gradient += &residual.sum_axis(Axis(0));
        }
        sums
    }

    fn and(self, other: Self) -> Self {
        Self {
            loss: self.loss + other.loss,
            longest_row: self.longest_row.max(other.longest_row),
            curvature: self.curvature + other.curvature,
            weight_gradient: self.weight_gradient + other.weight_gradient,
            intercept_gradient: self.intercept_gradient + other.intercept_gradient,
            class_sums: self.class_sums + other.class_sums,
            class_weights: self.class_weights + other.class_weights,
            row_sum: self.row_sum + other.row_sum,
        }
    }
}

/// One pass in f64 over the data: `weights` d×K and `intercepts` K on the scaled features.
///
/// Two classes count as one logit `z = z₁ − z₀` with one weight vector, as scikit-learn does.
pub(crate) fn optimality(problem: &Problem, weights: ArrayView2<f64>, intercepts: ArrayView1<f64>) -> Optimality {
    let alpha = problem.alpha;
    let sums = in_stretches(problem.x.nrows(), problem.threads, |rows| Sums::of(problem, weights, intercepts, rows));
    let first = Sums::of(problem, weights, intercepts, 0..0);
    let sums = sums.into_iter().fold(first, Sums::and);
    let one_logit = |columns: ArrayView2<f64>, scale| match problem.targets {
        Targets::Classes(_) if columns.ncols() == 2 => one_logit(columns, scale),
        Targets::Classes(_) | Targets::Labels(_) => columns.to_owned(),
    };
    let weights = one_logit(weights, 1.0);
    let weight_norm = norm(&(one_logit(sums.weight_gradient.view(), 0.5) + alpha * &weights));
    let intercept_gradient = one_logit(sums.intercept_gradient.view(), 0.5);
    // At zero weights every class has the same probability: the gradient is that of all rows less the rows of the class.
    let at_zero = problem.targets.at_zero(intercepts.len());
    let start_weights = at_zero * &sums.row_sum - &sums.class_sums;
    let start_intercepts = at_zero * problem.total_weight() - &sums.class_weights;
    let start = norm(&one_logit(start_weights.t(), 0.5)).hypot(norm(&one_logit(start_intercepts.t(), 0.5)));
    let objective = sums.loss + 0.5 * alpha * norm(&weights).powi(2);
    let gap =
        gap_bound(weight_norm, intercept_gradient.iter().copied(), sums.curvature, sums.longest_row.sqrt(), alpha);
    Optimality {
        objective,
        // A zero start gradient (all features equal, balanced classes) means that zero weights are optimal.
        gradient_norm: weight_norm.hypot(norm(&intercept_gradient)) / if start > 0.0 { start } else { 1.0 },
        gap: (gap / objective.max(f64::MIN_POSITIVE)).min(f64::MAX),
    }
}

impl Targets<'_> {
    /// Turns a row's logits into probabilities and returns the cross-entropy.
    fn cross_entropy(&self, row: usize, mut logits: ArrayViewMut1<f64>) -> f64 {
        match self {
            Targets::Classes(classes) => {
                let max = logits.fold(f64::NEG_INFINITY, |a, &b| a.max(b));
                let log_sum = max + logits.mapv(|z| (z - max).exp()).sum().ln();
                let loss = log_sum - logits[classes[row]];
                logits.mapv_inplace(|z| (z - log_sum).exp());
                loss
            }
            Targets::Labels(labels) => {
                // −ln p is the softplus of −z, −ln(1 − p) that of z.
                let softplus = |z: f64| z.max(0.0) + (-z.abs()).exp().ln_1p();
                let of = |(&z, &has): (&f64, &bool)| softplus(if has { -z } else { z });
                let loss = logits.iter().zip(labels.row(row)).map(of).sum();
                logits.mapv_inplace(|z| (-softplus(-z)).exp());
                loss
            }
        }
    }

    /// Whether a row is of a class, or has a label.
    fn has(&self, row: usize, class: usize) -> bool {
        match self {
            Targets::Classes(classes) => classes[row] == class,
            Targets::Labels(labels) => labels[[row, class]],
        }
    }
}

/// For two classes the one column that belongs to `z = z₁ − z₀`: `scale · (column₁ − column₀)`. Of weights that is the
/// difference (scale 1); the columns of a gradient are each other's negative, and scale ½ gives the second.
fn one_logit(columns: ArrayView2<f64>, scale: f64) -> Array2<f64> {
    (&columns.column(1) - &columns.column(0)).insert_axis(Axis(1)) * scale
}

fn norm(values: &Array2<f64>) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::super::linear::Input;
    use super::super::standardize::{Scaler, Scaling};
    use super::*;
    use crate::close::{Tolerance, assert_close};

    fn problem<'a>(x: &'a Array2<f32>, labels: &'a [usize], scaler: &'a Scaler, alpha: f64) -> Problem<'a> {
        Problem { x: x.view(), targets: Targets::Classes(labels), weights: None, scaler, outputs: 1, alpha, threads: 1 }
    }

    #[test]
    fn zero_weights_have_objective_n_ln_k_and_gradient_one() {
        let x = array![[1.0_f32, 2.0], [0.0, 1.0], [3.0, -1.0], [2.0, 2.0]];
        for (labels, classes) in [([0, 1, 1, 0], 2), ([0, 1, 2, 0], 3)] {
            let scaler = Scaler::fit(Scaling::Standardize, x.view());
            let zero = Array2::<f64>::zeros((2, classes));
            let got = optimality(&problem(&x, &labels, &scaler, 2.0), zero.view(), Array1::zeros(classes).view());
            assert_close([got.objective], [4.0 * (classes as f64).ln()], Tolerance::Close);
            assert_close([got.gradient_norm], [1.0], Tolerance::Close);
        }
    }

    #[test]
    fn two_classes_are_one_logit() {
        // One row x = 1 of class 1, weights ±w/2: J = ln(1 + e^-w) + alpha/2 w², J' = -1/(1 + e^w) + alpha w.
        let (x, w, alpha) = (array![[1.0_f32]], 0.3_f64, 0.5);
        let scaler = Scaler { input: Input::Raw, mean: array![0.0], inverse: array![1.0] };
        let weights = array![[-w / 2.0, w / 2.0]];
        let got = optimality(&problem(&x, &[1], &scaler, alpha), weights.view(), array![0.0, 0.0].view());
        let residual = -1.0 / (1.0 + w.exp());
        assert_close([got.objective], [(1.0 + (-w).exp()).ln() + alpha / 2.0 * w * w], Tolerance::Close);
        let norm = (residual + alpha * w).hypot(residual) / 0.5_f64.hypot(0.5);
        assert_close([got.gradient_norm], [norm], Tolerance::Close);
    }
}
