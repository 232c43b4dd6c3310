//! An approximate Newton direction, so that the solver needs a third of the iterations on correlated embeddings.
//!
//! The Hessian's block of class k is `Σ_i w_i p_ik (1 − p_ik) x_i x_iᵀ + alpha·I`. With one weight for all rows and classes, the
//! mean curvature h, it is `h·G + alpha·I`, G being the mean of `x xᵀ`: one Cholesky factor serves all classes. h falls by
//! orders of magnitude while a fit grows certain, and the factor is then renewed.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayViewMut2, Axis, s};

use super::objective::Problem;

/// Wider features get the diagonal of G alone: the factor would cost more than the iterations it saves.
const WIDEST: usize = 2048;
/// G is summed over about so many rows, or twice as many as it has columns.
const SAMPLE: usize = 4096;
/// Columns that are factored at a time; the rest is matrix products.
const PANEL: usize = 64;

/// Divides by the approximate Hessian.
pub(crate) struct Preconditioner {
    moments: Moments,
    alpha: f64,
    outputs: usize,
    /// The curvature h that the factor was made for; 0 before the first.
    curvature: f64,
    /// A thousandth of the curvature at the start: smaller ones make directions that overshoot in most iterations.
    least_curvature: f64,
    factor: Array2<f64>,
}

/// Second moments of the scaled features.
enum Moments {
    Full(Array2<f64>),
    Diagonal(Array1<f64>),
}

impl Preconditioner {
    /// `squares` are the mean squares of the scaled columns.
    pub(crate) fn new(problem: &Problem, squares: Array1<f64>) -> Self {
        let (n, d) = problem.x.dim();
        let moments =
            if d <= WIDEST && n >= 2 * d { Moments::Full(gram(problem, &squares)) } else { Moments::Diagonal(squares) };
        // p(1 − p) at zero weights; one logit stands for two classes.
        let p = problem.targets.at_zero(problem.outputs.max(2));
        let start = p * (1.0 - p);
        Self {
            moments,
            alpha: problem.alpha,
            outputs: problem.outputs,
            curvature: 0.0,
            least_curvature: 1e-3 * start * problem.total_weight(),
            factor: Array2::zeros((0, 0)),
        }
    }

    /// Goes on with another penalty.
    pub(crate) fn set_alpha(&mut self, alpha: f64) {
        if self.alpha != alpha {
            self.alpha = alpha;
            self.curvature = 0.0;
        }
    }

    /// Solves `(h·G + alpha·I)·new = old` for the weights in `vector`, a θ, and divides its intercepts by h, the mean of
    /// `curvature`.
    pub(crate) fn apply(&mut self, vector: &mut [f64], curvature: &[f64]) {
        let mean = (curvature.iter().sum::<f64>() / curvature.len() as f64).max(self.least_curvature);
        let renew = !(0.25..=4.0).contains(&(self.curvature / mean));
        if renew {
            self.curvature = mean;
        }
        let Ok(mut vector) = ArrayViewMut2::from_shape((vector.len() / self.outputs, self.outputs), vector) else {
            return;
        };
        let d = vector.nrows() - 1;
        vector.row_mut(d).mapv_inplace(|v| v / self.curvature);
        let mut weights = vector.slice_mut(s![..d, ..]);
        match &self.moments {
            Moments::Full(gram) => {
                if renew {
                    self.factor = cholesky(gram * mean, self.alpha);
                }
                solve(&self.factor, &mut weights);
            }
            Moments::Diagonal(squares) => {
                for (mut row, square) in weights.rows_mut().into_iter().zip(squares) {
                    row /= self.curvature * square + self.alpha;
                }
            }
        }
    }
}

/// G from a sample of the rows, 2d at least. A column that is rare in the sample would seem flat: its diagonal is lifted to
/// the mean square over all rows.
fn gram(problem: &Problem, squares: &Array1<f64>) -> Array2<f64> {
    let (n, d) = problem.x.dim();
    let step = (n / SAMPLE.max(2 * d)).max(1);
    let rows = problem.x.slice(s![..;step as isize, ..]);
    let mut features = Array2::<f32>::zeros(rows.dim());
    problem.scaler.apply(rows, features.view_mut());
    let count = features.nrows() as f64;
    let mut gram = features.t().dot(&features).mapv(|v| f64::from(v) / count);
    gram.diag_mut().zip_mut_with(squares, |g, &square| *g = g.max(square));
    gram
}

/// The lower triangular L with `L·Lᵀ = matrix + alpha·I`; above its diagonal stands what was there. Pivots below alpha can
/// only come from rounding, since `matrix` is a Gram matrix.
fn cholesky(mut matrix: Array2<f64>, alpha: f64) -> Array2<f64> {
    let d = matrix.nrows();
    matrix.diag_mut().mapv_inplace(|v| v + alpha);
    for start in (0..d).step_by(PANEL) {
        let width = PANEL.min(d - start);
        let (done, mut panel) = matrix.slice_mut(s![start.., ..start + width]).split_at(Axis(1), start);
        general_mat_mul(-1.0, &done, &done.slice(s![..width, ..]).t(), 1.0, &mut panel);
        for i in 0..d - start {
            for j in 0..width.min(i + 1) {
                let rest = panel[[i, j]] - panel.slice(s![i, ..j]).dot(&panel.slice(s![j, ..j]));
                panel[[i, j]] = if i == j { rest.max(alpha).sqrt() } else { rest / panel[[j, j]] };
            }
        }
    }
    matrix
}

/// Solves `L·Lᵀ·new = old` in place.
fn solve(factor: &Array2<f64>, vector: &mut ArrayViewMut2<f64>) {
    let d = factor.nrows();
    let panels = || (0..d).step_by(PANEL).map(|start| (start, (start + PANEL).min(d)));
    for (start, end) in panels() {
        let (before, mut rest) = vector.view_mut().split_at(Axis(0), start);
        let mut panel = rest.slice_mut(s![..end - start, ..]);
        general_mat_mul(-1.0, &factor.slice(s![start..end, ..start]), &before, 1.0, &mut panel);
        for i in 0..end - start {
            let (before, mut rest) = panel.view_mut().split_at(Axis(0), i);
            let mut row = rest.row_mut(0);
            for (j, other) in before.rows().into_iter().enumerate() {
                row.scaled_add(-factor[[start + i, start + j]], &other);
            }
            row /= factor[[start + i, start + i]];
        }
    }
    for (start, end) in panels().collect::<Vec<_>>().into_iter().rev() {
        let (mut before, after) = vector.view_mut().split_at(Axis(0), end);
        let mut panel = before.slice_mut(s![start.., ..]);
        general_mat_mul(-1.0, &factor.slice(s![end.., start..end]).t(), &after, 1.0, &mut panel);
        for i in (0..end - start).rev() {
            let (mut before, after) = panel.view_mut().split_at(Axis(0), i + 1);
            let mut row = before.row_mut(i);
            for (j, other) in after.rows().into_iter().enumerate() {
                row.scaled_add(-factor[[start + i + 1 + j, start + i]], &other);
            }
            row /= factor[[start + i, start + i]];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn solves_what_the_factor_stands_for() {
        let mut rng = fastrand::Rng::with_seed(4);
        for d in [1, 5, PANEL, PANEL + 1, 3 * PANEL - 7] {
            let features = Array2::from_shape_fn((2 * d, d), |_| rng.f64() - 0.5);
            let gram = features.t().dot(&features);
            let want = Array2::from_shape_fn((d, 3), |_| rng.f64() - 0.5);
            let mut vector = gram.dot(&want) + 0.1 * &want;
            solve(&cholesky(gram, 0.1), &mut vector.view_mut());
            assert_close(vector, want, Tolerance::Within(1e-10));
        }
    }
}
