//! NCE.

use ndarray::ArrayView2;

use super::check_labels;
use super::leep::check_source;
use crate::error::Result;
use crate::eval::argmax;

/// The negative conditional entropy `−H(label | likeliest source class)` (Tran, Nguyen and Hassner, "Transferability and Hardness of
/// Supervised Classification Tasks", ICCV 2019). In nats, at most 0, the greater the better.
///
/// `source` are n×Z probabilities of the backbone's own classes, each row of sum 1.
///
/// # Errors
/// As [`leep`](super::leep).
pub fn nce(source: ArrayView2<f32>, labels: &[usize], classes: usize) -> Result<f64> {
    check_source(source)?;
    check_labels(labels, source.nrows(), classes)?;
    let mut meet = vec![vec![0.0_f64; classes]; source.ncols()];
    for (class, &label) in argmax(source).into_iter().zip(labels) {
        meet[class][label] += 1.0;
    }
    let sum = |counts: Vec<f64>| {
        let all: f64 = counts.iter().sum();
        counts.into_iter().filter(|&n| n > 0.0).map(|n| n * (n / all).ln()).sum::<f64>()
    };
    Ok(meet.into_iter().map(sum).sum::<f64>() / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_formula_by_hand() {
        let source = ndarray::array![[0.75_f32, 0.25], [0.75, 0.25], [0.75, 0.25], [0.0, 1.0]];
        let want = (2.0 * (2.0_f64 / 3.0).ln() + (1.0_f64 / 3.0).ln()) / 4.0;
        assert_close([nce(source.view(), &[0, 0, 1, 1], 2).unwrap()], [want], Tolerance::Close);
        assert_close([nce(Array2::<f32>::eye(2).view(), &[1, 0], 2).unwrap()], [0.0], Tolerance::Exact);
        assert!(nce(source.view(), &[0, 0, 1, 2], 2).unwrap_err().to_string().contains("row 3"));
    }
}
