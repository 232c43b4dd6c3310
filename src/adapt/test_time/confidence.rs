//! The scale of logits that have none of their own.

use ndarray::{Array2, ArrayView2};

use super::super::linear::Linear;
use crate::logits::softmax;

/// Scales are searched between e^−20 and e^20 times what they are.
const REACH: f64 = 20.0;
const HALVINGS: usize = 60;

/// Multiplies a head by one number, so that the mean probability of its predictions on the rows `x` is that of `reference`: cosines and
/// distances are no logarithms of odds. No prediction changes.
pub(super) fn as_confident(head: Linear, reference: &Linear, x: ArrayView2<f32>) -> Linear {
    let wanted = confidence(reference.logits(x).mapv(f64::from));
    let logits = head.logits(x).mapv(f64::from);
    let (mut low, mut high) = (-REACH, REACH);
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if confidence(&logits * middle.exp()) < wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    let scale = low.exp();
    let scaled = |v: f32| (f64::from(v) * scale) as f32;
    Linear { weights: head.weights.mapv(scaled), intercepts: head.intercepts.mapv(scaled) }
}

fn confidence(logits: Array2<f64>) -> f64 {
    let n = logits.nrows() as f64;
    softmax(logits).rows().into_iter().map(|row| row.iter().copied().fold(0.0, f64::max)).sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_scale_of_a_scaled_head_is_found_again() {
        let reference =
            Linear { weights: array![[1.0, -1.0, 0.5], [0.2, 0.4, -0.3]], intercepts: array![0.1, 0.0, -0.1] };
        let head = Linear { weights: &reference.weights * 0.01, intercepts: &reference.intercepts * 0.01 };
        let x = array![[1.0, 2.0], [-3.0, 0.5], [0.3, 0.1]];
        let found = as_confident(head, &reference, x.view());
        assert_close(found.weights, reference.weights, Tolerance::Approximate);
        assert_close(found.intercepts, reference.intercepts, Tolerance::Approximate);
    }
}
