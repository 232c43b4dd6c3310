//! An approximate Newton direction, so that the solver needs a third of the iterations.
//!
//! The Hessian's block of class k is `Σ_i w_i p_ik (1 − p_ik) x̃_i x̃_iᵀ + alpha·I` with `x̃ = (x, 1)` and no penalty on the intercept.
//! Two things about it are kept. The rows that count for a class lie around a centre m_k of their own, which ties the class'
//! weights to its intercept: in terms of the intercept at that centre, `b_k + m_k·w_k`, the tie is gone. And the scatter
//! around the centre is about that of all rows: with one mean curvature h for all classes it is `h·G + alpha·I`, G being the
//! mean of `x xᵀ`, and one Cholesky factor serves all classes. h falls by orders of magnitude while a fit grows certain, and
//! the factor is then renewed.

use ndarray::{Array1, Array2, ArrayViewMut2, Axis, s};

use super::objective::{Curvature, Problem, Targets};
use super::stretches::in_stretches;
use crate::cholesky::Cholesky;
use crate::product::product;

/// Wider features get the diagonal of G alone: the factor would cost more than the iterations it saves.
const WIDEST: usize = 2048;
/// G is summed over about so many rows, or twice as many as it has columns.
const SAMPLE: usize = 4096;
/// Rows of the sample that are scaled at a time.
const BLOCK: usize = 512;

/// Divides by the approximate Hessian.
pub(crate) struct Preconditioner {
    moments: Moments,
    alpha: f64,
    outputs: usize,
    /// What a direction common to all logits does.
    common: Common,
    /// The curvature h that the factor was made for; 0 before the first.
    curvature: f64,
    /// A thousandth of the curvature at the start: smaller ones make directions that overshoot in most iterations.
    least_curvature: f64,
    factor: Option<Cholesky>,
    /// m_k of each logit, d×m; none before they are found.
    centres: Option<Array2<f64>>,
}

/// What it does to move all logits of a row alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Common {
    /// Nothing to the probabilities of a softmax: the penalty alone curves it.
    Flat,
    /// As much as to move each alone: they are sigmoids.
    Curved,
}

/// Second moments of the scaled features.
enum Moments {
    /// In single precision: nothing but a direction hangs on it, and in double it would be the most of a fit's memory.
    Full(Array2<f32>),
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
        let common = match problem.targets {
            Targets::Classes(_) if problem.outputs > 1 => Common::Flat,
            Targets::Classes(_) | Targets::Labels(_) => Common::Curved,
        };
        Self {
            moments,
            common,
            alpha: problem.alpha,
            outputs: problem.outputs,
            curvature: 0.0,
            least_curvature: 1e-3 * start * problem.total_weight(),
            factor: None,
            centres: None,
        }
    }

    /// Whether it holds how columns go together, not the diagonal alone.
    pub(crate) fn knows_all_directions(&self) -> bool {
        matches!(self.moments, Moments::Full(_))
    }

    /// Goes on with another penalty.
    pub(crate) fn set_alpha(&mut self, alpha: f64) {
        if self.alpha != alpha {
            self.alpha = alpha;
            self.curvature = 0.0;
        }
    }

    /// Divides `vector`, a θ, by the Hessian of this curvature, the one at the iterate.
    pub(crate) fn apply(&mut self, vector: &mut [f64], at: &Curvature) {
        self.renew(at);
        let Ok(mut vector) = ArrayViewMut2::from_shape((vector.len() / self.outputs, self.outputs), vector) else {
            return;
        };
        let shared = self.common.take(&mut vector);
        let d = vector.nrows() - 1;
        let (mut weights, mut intercepts) = vector.multi_slice_mut((s![..d, ..], s![d, ..]));
        if let Some(centres) = &self.centres {
            weights -= &(centres * &intercepts);
        }
        intercepts /= self.curvature;
        match (&self.moments, &self.factor) {
            (_, Some(factor)) => factor.solve(&mut weights),
            (Moments::Diagonal(squares), None) => {
                for (mut row, square) in weights.rows_mut().into_iter().zip(squares) {
                    row /= self.curvature * square + self.alpha;
                }
            }
            (Moments::Full(_), None) => weights /= self.curvature + self.alpha,
        }
        if let Some(centres) = &self.centres {
            for (centre, weights) in centres.rows().into_iter().zip(weights.rows()) {
                intercepts -= &(&centre * &weights);
            }
        }
        if let Some(shared) = shared {
            self.common.take(&mut vector);
            let mut weights = vector.slice_mut(s![..d, ..]);
            weights += &(shared.slice(s![..d]).insert_axis(Axis(1)).mapv(|v| v / self.alpha));
        }
    }

    fn renew(&mut self, at: &Curvature) {
        if at.centres.is_some() {
            self.centres.clone_from(&at.centres);
        }
        let mean = at.intercepts.iter().sum::<f64>() / at.intercepts.len() as f64;
        let mean = mean.max(self.least_curvature);
        if (0.5..=2.0).contains(&(self.curvature / mean)) {
            return;
        }
        self.curvature = mean;
        if let Moments::Full(gram) = &self.moments {
            self.factor = None;
            let mut matrix = gram.mapv(|g| f64::from(g) * mean);
            // A Gram matrix may be singular up to its rounding, which is to stay below what is added.
            let least = f64::EPSILON * matrix.diag().sum();
            matrix.diag_mut().mapv_inplace(|v| v + self.alpha.max(least));
            self.factor = Cholesky::new(matrix);
        }
    }
}

impl Common {
    /// Takes what is flat out of a θ: from each row its mean over the classes, which it returns.
    fn take(self, vector: &mut ArrayViewMut2<f64>) -> Option<Array1<f64>> {
        if self == Self::Curved {
            return None;
        }
        let shared = vector.mean_axis(Axis(1))?;
        *vector -= &shared.view().insert_axis(Axis(1));
        Some(shared)
    }
}

/// G from a sample of the rows, 2d at least. A column that is rare in the sample would seem flat: its diagonal is lifted to
/// the mean square over all rows.
fn gram(problem: &Problem, squares: &Array1<f64>) -> Array2<f32> {
    let (n, d) = problem.x.dim();
    let step = (n / SAMPLE.max(2 * d)).max(1);
    let sample = problem.x.slice(s![..;step as isize, ..]);
    let sums = in_stretches(sample.nrows(), problem.threads, |rows| {
        let mut sum = Array2::<f32>::zeros((d, d));
        let mut features = Array2::<f32>::zeros((BLOCK, d));
        let mut part = Array2::<f32>::zeros((d, d));
        for rows in sample.slice(s![rows, ..]).axis_chunks_iter(Axis(0), BLOCK) {
            let mut features = features.slice_mut(s![..rows.nrows(), ..]);
            problem.scaler.apply(rows, features.view_mut());
            product(features.t(), features.view(), part.view_mut());
            sum += &part;
        }
        sum
    });
    let mut gram = Array2::<f32>::zeros((d, d));
    for sum in sums {
        gram.scaled_add(1.0 / sample.nrows() as f32, &sum);
    }
    gram.diag_mut().zip_mut_with(squares, |g, &square| *g = g.max(square as f32));
    gram
}

#[cfg(test)]
mod tests {
    use super::super::standardize::{Scaler, Scaling};
    use super::*;
    use crate::close::{Tolerance, assert_close};

    /// The block of one logit of the Hessian that `apply` divides by, written out: `[[h·G + alpha·I + h·m·mᵀ, h·m], [h·mᵀ, h]]`.
    #[test]
    fn divides_by_the_hessian_around_the_centres() {
        let mut rng = fastrand::Rng::with_seed(8);
        let (n, d, outputs, alpha) = (60, 4, 1, 0.7);
        let x = Array2::from_shape_simple_fn((n, d), || rng.f32() - 0.5);
        let labels: Vec<usize> = (0..n).map(|row| row % 2).collect();
        let scaler = Scaler::fit(Scaling::Standardize, x.view());
        let targets = Targets::Classes(&labels);
        let problem = Problem { x: x.view(), targets, weights: None, scaler: &scaler, outputs, alpha, threads: 2 };
        let mut preconditioner = Preconditioner::new(&problem, scaler.sizes(1, x.view()).1);
        let centres = Array2::from_shape_simple_fn((d, outputs), || rng.f64() - 0.5);
        let at = Curvature { intercepts: vec![9.0; outputs], centres: Some(centres.clone()) };
        let want = Array2::from_shape_simple_fn((d + 1, outputs), || rng.f64() - 0.5);
        let scaled = scaler.scaled(x.view());
        let gram = scaled.t().dot(&scaled) / n as f64;
        let mut vector = Array2::<f64>::zeros(want.dim());
        for k in 0..outputs {
            let (w, b, m) = (want.slice(s![..d, k]), want[[d, k]], centres.column(k));
            let tie = m.dot(&w) + b;
            vector.slice_mut(s![..d, k]).assign(&(9.0 * gram.dot(&w) + alpha * &w + 9.0 * tie * &m));
            vector[[d, k]] = 9.0 * tie;
        }
        let mut vector: Vec<f64> = vector.into_iter().collect();
        preconditioner.apply(&mut vector, &at);
        assert_close(vector, want, Tolerance::Within(1e-5));
    }

    #[test]
    fn what_all_classes_share_is_divided_by_the_penalty() {
        let x = Array2::from_shape_fn((9, 2), |(row, column)| ((row * 5 + column * 3) % 7) as f32);
        let labels: Vec<usize> = (0..9).map(|row| row % 3).collect();
        let scaler = Scaler::fit(Scaling::Standardize, x.view());
        let problem = Problem {
            x: x.view(),
            targets: Targets::Classes(&labels),
            weights: None,
            scaler: &scaler,
            outputs: 3,
            alpha: 0.5,
            threads: 1,
        };
        let mut preconditioner = Preconditioner::new(&problem, scaler.sizes(1, x.view()).1);
        let centres = Array2::from_shape_fn((2, 3), |(row, class)| (row + 2 * class) as f64 - 1.0);
        let at = Curvature { intercepts: vec![2.0; 3], centres: Some(centres) };
        let mut vector = [1.0, 1.0, 1.0, -2.0, -2.0, -2.0, 0.0, 0.0, 0.0];
        preconditioner.apply(&mut vector, &at);
        assert_close(vector, [2.0, 2.0, 2.0, -4.0, -4.0, -4.0, 0.0, 0.0, 0.0], Tolerance::Close);
        let mut apart = [1.0, 2.0, -3.0, 0.5, 0.5, -1.0, 0.2, 0.1, -0.3];
        preconditioner.apply(&mut apart, &at);
        for shares in apart.chunks(3) {
            assert_close([shares.iter().sum::<f64>()], [0.0], Tolerance::Close);
        }
    }
}
