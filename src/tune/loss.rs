//! Cross-entropy of logits against shares, and its gradient.

use super::array::Array;
use super::broadcast::sum;
use super::scalar::Scalar;

/// For each class its share `1 − smoothing`, and all classes the same share of the rest: n×`classes`, as PyTorch defines label
/// smoothing (Szegedy et al. 2016). A class beyond the last is given no share of its own.
pub fn smoothed<T: Scalar>(labels: &[usize], classes: usize, smoothing: f64) -> Array<T> {
    let mut shares = Array::filled(&[labels.len(), classes], T::of(smoothing / classes.max(1) as f64));
    for (row, &label) in shares.values_mut().chunks_exact_mut(classes.max(1)).zip(labels) {
        if let Some(share) = row.get_mut(label) {
            *share += T::of(1.0 - smoothing);
        }
    }
    shares
}

/// The mean over rows of the cross-entropy in nats of n×k logits against n×k target shares, which sum to 1; and its gradient by the logits.
///
/// # Errors
/// When the two are not matrices of the same size, or have no rows.
pub fn cross_entropy<T: Scalar>(logits: &Array<T>, shares: &Array<T>) -> Result<(f64, Array<T>), String> {
    let &[rows, classes] = logits.dims() else { return Err(format!("logits of {:?}, not [n, k]", logits.dims())) };
    if shares.dims() != logits.dims() || rows == 0 || classes == 0 {
        return Err(format!("logits of {:?} against shares of {:?}", logits.dims(), shares.dims()));
    }
    let (mut gradient, mut loss) = (logits.clone(), 0.0);
    let n = T::of(rows as f64);
    for (row, shares) in gradient.values_mut().chunks_exact_mut(classes).zip(shares.values().chunks_exact(classes)) {
        let greatest = row.iter().fold(T::neg_infinity(), |m, z| if *z > m { *z } else { m });
        let below: Vec<T> = row.iter().map(|z| *z - greatest).collect();
        row.iter_mut().zip(&below).for_each(|(r, z)| *r = z.exp_nonpositive());
        let total = sum(row);
        let logarithm: f64 = total.ln().into();
        for ((r, z), share) in row.iter_mut().zip(&below).zip(shares) {
            let (own, below): (f64, f64) = ((*share).into(), (*z).into());
            loss += own * (logarithm - below);
            *r = (*r / total - *share) / n;
        }
    }
    Ok((loss / rows as f64, gradient))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let logits = Array::new(vec![2, 3], vec![0.3, -1.2, 2.0, 800.0, 801.0, 799.5]).unwrap();
        let shares = smoothed::<f64>(&[2, 0], 3, 0.1);
        let third = 0.1 / 3.0;
        assert_close(
            shares.values().to_vec(),
            [third, third, 0.9 + third, 0.9 + third, third, third],
            Tolerance::Close,
        );
        let (loss, gradient) = cross_entropy(&logits, &shares).unwrap();
        let by_hand = |z: [f64; 3], t: [f64; 3]| {
            let all = z.map(|v| (v - z[1]).exp()).iter().sum::<f64>().ln() + z[1];
            (0..3).map(|i| t[i] * (all - z[i])).sum::<f64>()
        };
        let want = by_hand([0.3, -1.2, 2.0], [third, third, 0.9 + third])
            + by_hand([0.0, 1.0, -0.5], [0.9 + third, third, third]);
        assert_close([loss], [want / 2.0], Tolerance::Close);
        let slope = |i: usize| {
            let moved = |by: f64| {
                let mut moved = logits.clone();
                moved.values_mut()[i] += by;
                cross_entropy(&moved, &shares).unwrap().0
            };
            (moved(1e-5) - moved(-1e-5)) / 2e-5
        };
        assert_close(gradient.values().to_vec(), (0..6).map(slope), Tolerance::Within(1e-8));
        assert!(cross_entropy(&logits, &smoothed(&[0], 3, 0.0)).unwrap_err().contains("[1, 3]"));
    }
}
