//! Entropic transport whose cost has a part that depends on the class alone.

use ndarray::{Array1, Array2, Axis};

use super::kernel::{Kernel, too_small};
use crate::error::Result;
use crate::progress::Progress;

/// How the fixed point is sought.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stop {
    pub(super) iterations: usize,
    /// Of the Euclidean length of what the target's shares are off by.
    pub(super) tolerance: f64,
}

/// The plan γ of the least `⟨γ, cost⟩ + reg·Σ γ·ln γ` that carries equal shares to equal shares (Cuturi, NIPS 2013), by its scaling
/// of the target rows: `γ_ij = u_i·G_ij·e_cj·v_j`, where e is what costs of the class c add to the kernel G.
pub(super) struct Coupling {
    /// `e_cj·v_j`, K×m.
    pub(super) weights: Array2<f64>,
    /// How much of the class c is carried to the target row j, K×m; their sum is 1.
    pub(super) classes: Array2<f64>,
    pub(super) iterations: usize,
    /// What is left of the tolerance's length.
    pub(super) error: f64,
}

/// Scales until the target's shares are right, from the scaling `v` of m target rows, which is left at the found one.
///
/// # Errors
/// [`crate::Error::Data`] when the regularisation is too small; [`crate::Error::Interrupted`].
pub(super) fn couple(
    kernel: &Kernel,
    factors: &Array2<f64>,
    v: &mut Array1<f64>,
    stop: Stop,
    progress: &dyn Progress,
) -> Result<Coupling> {
    let share = 1.0 / kernel.dim().1 as f64;
    let mut iterations = 0;
    loop {
        let weights = factors * &v.view().insert_axis(Axis(0));
        let carried = kernel.carry(weights.view(), progress)?;
        let classes = &carried * &weights;
        let shares = classes.sum_axis(Axis(0));
        let error = shares.iter().map(|s| (s - share).powi(2)).sum::<f64>().sqrt();
        iterations += 1;
        if error < stop.tolerance || iterations >= stop.iterations {
            return Ok(Coupling { weights, classes, iterations, error });
        }
        v.zip_mut_with(&shares, |v, s| *v *= share / s);
        if !v.iter().all(|v| v.is_finite()) {
            return Err(too_small());
        }
    }
}
