//! One temperature for all classes.

use ndarray::{Array2, ArrayView1, ArrayView2};

/// The logarithm of 1/T is searched between minus and plus this, as scikit-learn does.
const BOUND: f64 = 10.0;
const ITERATIONS: usize = 100;

/// The β = 1/T of the least log loss of softmax(β·z). The loss is convex in β, so its slope has one sign change.
pub(super) fn fit(logits: ArrayView2<f32>, labels: &[usize]) -> f64 {
    let (mut low, mut high) = ((-BOUND).exp(), BOUND.exp());
    let mut beta = 1.0_f64;
    for _ in 0..ITERATIONS {
        let (slope, curvature) = derivatives(beta, logits, labels);
        if slope > 0.0 {
            high = beta
        } else {
            low = beta
        }
        let newton = beta - slope / curvature;
        let next = if low < newton && newton < high { newton } else { (low * high).sqrt() };
        let step = (next - beta).abs();
        beta = next;
        if step <= 1e-14 * beta {
            break;
        }
    }
    beta
}

/// First and second derivative of the log loss: the sums over rows of `E z − z_label` and of `Var z` under the softmax.
fn derivatives(beta: f64, logits: ArrayView2<f32>, labels: &[usize]) -> (f64, f64) {
    let (mut slope, mut curvature) = (0.0, 0.0);
    for (row, &label) in logits.rows().into_iter().zip(labels) {
        let own = f64::from(row[label]);
        let largest = maximum(row);
        let (mut weights, mut first, mut second) = (0.0, 0.0, 0.0);
        for &z in row {
            let z = f64::from(z);
            let weight = (beta * (z - largest)).exp();
            // Against the label's logit: the differences are small where the row is certain.
            let z = z - own;
            weights += weight;
            first += weight * z;
            second += weight * z * z;
        }
        let mean = first / weights;
        slope += mean;
        curvature += second / weights - mean * mean;
    }
    (slope, curvature)
}

pub(super) fn apply(beta: f64, logits: ArrayView2<f32>) -> Array2<f32> {
    let mut probabilities = Array2::zeros(logits.dim());
    for (row, mut out) in logits.rows().into_iter().zip(probabilities.rows_mut()) {
        let largest = maximum(row);
        let weights: Vec<f64> = row.iter().map(|&z| (beta * (f64::from(z) - largest)).exp()).collect();
        let sum: f64 = weights.iter().sum();
        out.iter_mut().zip(weights).for_each(|(p, weight)| *p = (weight / sum) as f32);
    }
    probabilities
}

fn maximum(row: ArrayView1<f32>) -> f64 {
    f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}
