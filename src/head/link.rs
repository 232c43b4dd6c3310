//! From logits to probabilities.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// How a head's logits become probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// A row is of one of K classes: the softmax of its logits (the default).
    #[default]
    Softmax,
    /// A row has any number of K labels: the sigmoid of each logit.
    Sigmoid,
}

/// A row is predicted to have the labels of at least this probability, where it may have any number.
pub const THRESHOLD: f32 = 0.5;

/// `1/(1 + e^−z)` of each logit.
pub fn sigmoid(mut logits: Array2<f32>) -> Array2<f32> {
    logits.mapv_inplace(|z| 1.0 / (1.0 + (-z).exp()));
    logits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn sigmoid_holds_for_large_logits() {
        let p = sigmoid(ndarray::array![[1000.0_f32, -1000.0, 0.0, 3.0_f32.ln()]]);
        assert_close(p, [1.0, 0.0, 0.5, 0.75], Tolerance::Within(1e-7));
    }
}
