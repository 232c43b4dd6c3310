//! How near ridge weights are to the optimum, computed apart from the decomposition.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::super::certificate::Optimality;
use super::super::standardize::Scaler;

/// One pass in f64 over the data: `weights` d×K and `intercepts` K on the scaled features.
///
/// With the best intercepts, J is strongly convex in W with modulus `2·alpha`, so `J − J* ≤ ‖∇_W J‖²/(4·alpha)`; away from them
/// `∇_W J` may be off by the length R of the longest row times `‖∇_b J‖`, and J by `‖∇_b J‖²/(4·n)`, 2n being the curvature along each intercept.
pub(super) fn optimality(
    x: ArrayView2<f32>,
    labels: &[usize],
    scaler: &Scaler,
    weights: ArrayView2<f64>,
    intercepts: ArrayView1<f64>,
    alpha: f64,
) -> Optimality {
    let (classes, n) = (intercepts.len(), labels.len() as f64);
    let (mut loss, mut longest) = (0.0, 0.0_f64);
    let mut weight_gradient = Array2::<f64>::zeros(weights.dim());
    let mut start_gradient = Array2::<f64>::zeros(weights.dim());
    let mut intercept_gradient = Array1::<f64>::zeros(classes);
    let mut start_intercepts = Array1::<f64>::zeros(classes);
    for (rows, labels) in x.axis_chunks_iter(Axis(0), 256).zip(labels.chunks(256)) {
        let features = scaler.scaled(rows);
        let mut targets = Array2::from_elem((labels.len(), classes), -1.0);
        labels.iter().zip(targets.rows_mut()).for_each(|(&label, mut row)| row[label] = 1.0);
        let residual = features.dot(&weights) + intercepts - &targets;
        loss += residual.iter().map(|r| r * r).sum::<f64>();
        longest = features.rows().into_iter().map(|row| row.dot(&row)).fold(longest, f64::max);
        weight_gradient.scaled_add(2.0, &features.t().dot(&residual));
        start_gradient.scaled_add(2.0, &features.t().dot(&targets));
        intercept_gradient.scaled_add(2.0, &residual.sum_axis(Axis(0)));
        start_intercepts.scaled_add(2.0, &targets.sum_axis(Axis(0)));
    }
    weight_gradient.scaled_add(2.0 * alpha, &weights);
    let objective = loss + alpha * weights.iter().map(|w| w * w).sum::<f64>();
    let of_weights = weight_gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
    let of_intercepts = intercept_gradient.dot(&intercept_gradient).sqrt();
    let start = start_gradient.iter().chain(&start_intercepts).map(|g| g * g).sum::<f64>().sqrt();
    let gap = (of_weights + longest.sqrt() * of_intercepts).powi(2) / (4.0 * alpha) + of_intercepts.powi(2) / (4.0 * n);
    Optimality {
        objective,
        // A zero start gradient (all features equal, balanced classes) means that zero weights are optimal.
        gradient_norm: of_weights.hypot(of_intercepts) / if start > 0.0 { start } else { 1.0 },
        gap: (gap / objective.max(f64::MIN_POSITIVE)).min(f64::MAX),
    }
}
