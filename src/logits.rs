//! What rows of logits, probabilities or scores say.

use ndarray::{Array2, ArrayView1, NdFloat};

/// The softmax of each of n rows of logits.
pub fn softmax<F: NdFloat>(mut logits: Array2<F>) -> Array2<F> {
    for mut row in logits.rows_mut() {
        let max = row.fold(F::neg_infinity(), |a, &b| a.max(b));
        row.mapv_inplace(|z| (z - max).exp());
        let sum = row.sum();
        row /= sum;
    }
    logits
}

/// Index of the greatest value, the first among equals.
pub(crate) fn first_maximum<F: Copy + PartialOrd>(row: ArrayView1<F>) -> usize {
    row.iter().enumerate().fold(0, |best, (index, value)| if *value > row[best] { index } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn softmax_holds_for_large_logits() {
        let p = softmax(ndarray::array![[1000.0_f32, 1000.0 + 3.0_f32.ln()], [-2000.0, 0.0]]);
        assert_close(p, [0.25, 0.75, 0.0, 1.0], Tolerance::Within(1e-4));
    }
}
