//! A mixture of few parts under which rows are likeliest.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::cholesky::Cholesky;
use crate::error::{Error, Result};
use crate::product::add_gram;

const ITERATIONS: usize = 200;
/// The greatest relative violation of the optimality conditions.
const TOLERANCE: f64 = 1e-9;

/// The α ≥ 0 of the greatest `mean_i ln (Aα)_i` with `b·α = 1`, A being m×k and not negative, every row with a value above 0, and b
/// above 0.
///
/// By homogeneity these α minimise `−mean ln(Aα) + b·α` over α ≥ 0 alone: a primal-dual interior point method (Boyd & Vandenberghe,
/// Convex Optimization, section 11.7). The greatest `(Aᵀ(1/Aα))_l/(m·b_l) − 1` bounds what is missing, and is returned besides.
///
/// # Errors
/// [`Error::Data`] when the iterations do not lead there.
pub(super) fn likeliest_mixture(a: ArrayView2<f64>, b: &Array1<f64>) -> Result<(Array1<f64>, f64)> {
    let (m, k) = a.dim();
    let mut alpha = b.mapv(|b| 1.0 / (k as f64 * b));
    // The multipliers of α ≥ 0.
    let mut duals = b.clone();
    for _ in 0..ITERATIONS {
        let mixed = a.dot(&alpha);
        let growth = a.t().dot(&mixed.mapv(|f| 1.0 / (m as f64 * f)));
        let gap = (&growth / b).iter().copied().fold(1.0, f64::max) - 1.0;
        let complementarity = alpha.dot(&duals);
        if gap < TOLERANCE && complementarity < TOLERANCE {
            let sum = b.dot(&alpha);
            return Ok((alpha / sum, gap));
        }
        let centre = 0.1 * complementarity / k as f64;
        let mut hessian = Array2::<f64>::zeros((k, k));
        add_gram((&a / &mixed.mapv(|f| (m as f64).sqrt() * f).insert_axis(Axis(1))).view(), &mut hessian);
        for i in 0..k {
            hessian[[i, i]] += duals[i] / alpha[i];
            for j in 0..i {
                hessian[[j, i]] = hessian[[i, j]];
            }
        }
        let slope = b - &growth;
        let mut step = (alpha.mapv(|v| centre / v) - &slope).insert_axis(Axis(1));
        let Some(factor) = Cholesky::new(hessian) else { break };
        factor.solve(&mut step.view_mut());
        let step = step.remove_axis(Axis(1));
        let dual_step = alpha.mapv(|v| centre / v) - &duals - &duals * &step / &alpha;
        let room = |from: &Array1<f64>, by: &Array1<f64>| {
            from.iter().zip(by).filter(|(_, by)| **by < 0.0).map(|(from, by)| -from / by).fold(f64::INFINITY, f64::min)
        };
        let barrier = |alpha: &Array1<f64>| {
            b.dot(alpha)
                - a.dot(alpha).mapv(f64::ln).mean().unwrap_or(0.0)
                - centre * alpha.iter().map(|v| v.ln()).sum::<f64>()
        };
        let (before, descent) = (barrier(&alpha), step.dot(&(&slope - &alpha.mapv(|v| centre / v))));
        let mut length = (0.995 * room(&alpha, &step)).min(1.0);
        // Rounding of the barrier itself must not stop the last steps.
        let noise = 1e-13 * before.abs();
        while barrier(&(&alpha + &(&step * length))) > before + 1e-4 * length * descent + noise && length > 1e-10 {
            length *= 0.5;
        }
        alpha.scaled_add(length, &step);
        duals.scaled_add((0.995 * room(&duals, &dual_step)).min(1.0), &dual_step);
    }
    Err(Error::Data("the mixture that the target rows are likeliest under was not found".into()))
}
