//! Mixup on features: a row is given a share of another, and its target the same share of the other's.

use serde::{Deserialize, Serialize};

use super::array::Array;
use super::product::{Into, Matrix, Threads, multiply};

/// Mixing of the rows of a step (mixup, Zhang et al. 2018; of features as in Verma et al. 2019). The program's last input is the
/// matrix that the features are multiplied with: see [`Tail::with_mixing`](super::Tail::with_mixing).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mixup {
    /// Both parameters of the Beta distribution that shares are drawn from: the smaller, the less is mixed.
    pub alpha: f64,
}

impl Mixup {
    /// For each of `rows` rows its share λ of itself, and 1 − λ of another that no third row is mixed with; of one row, the row.
    pub(super) fn matrix(self, rows: usize, rng: &mut fastrand::Rng) -> Array<f32> {
        let mut others: Vec<usize> = (0..rows).collect();
        rng.shuffle(&mut others);
        let mut matrix = Array::filled(&[rows, rows], 0.0);
        for (row, (shares, other)) in matrix.values_mut().chunks_exact_mut(rows.max(1)).zip(others).enumerate() {
            let share = self.share(rng) as f32;
            shares[row] += share;
            shares[other] += 1.0 - share;
        }
        matrix
    }

    /// One draw from Beta(α, α), by Jöhnk's method (1964): `x/(x + y)` where `x = u^(1/α)` and `y = v^(1/α)` sum to 1 at most. Powers are
    /// taken as logarithms, which a small α does not bring to zero.
    fn share(self, rng: &mut fastrand::Rng) -> f64 {
        loop {
            let mut logarithm = || (1.0 - rng.f64()).ln() / self.alpha;
            let (x, y) = (logarithm(), logarithm());
            if x.exp() + y.exp() <= 1.0 {
                return 1.0 / (1.0 + (y - x).exp());
            }
        }
    }
}

/// The matrix that leaves rows as they are.
pub(super) fn identity(rows: usize) -> Array<f32> {
    let mut matrix = Array::filled(&[rows, rows], 0.0);
    matrix.values_mut().iter_mut().step_by(rows + 1).for_each(|share| *share = 1.0);
    matrix
}

/// `matrix · shares`: what the targets of mixed rows are.
pub(super) fn mixed(matrix: &Array<f32>, shares: &Array<f32>) -> Array<f32> {
    let (rows, classes) = (matrix.dims()[0], shares.dims()[1]);
    let mut targets = Array::filled(shares.dims(), 0.0);
    let (a, b) = (Matrix::new(matrix.values(), rows, rows), Matrix::new(shares.values(), rows, classes));
    multiply(targets.values_mut(), a, b, Into::Replace, Threads::One);
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn shares_are_those_of_the_distribution() {
        let mut rng = fastrand::Rng::with_seed(1);
        for alpha in [0.05, 0.4, 1.0, 2.0] {
            let draws: Vec<f64> = (0..20_000).map(|_| Mixup { alpha }.share(&mut rng)).collect();
            let mean = draws.iter().sum::<f64>() / draws.len() as f64;
            let variance = draws.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / draws.len() as f64;
            // Beta(α, α) has mean 1/2 and variance 1/(4(2α + 1)); the deviation of the mean is at most 0.5/√20000.
            assert!((mean - 0.5).abs() < 0.015 && draws.iter().all(|d| (0.0..=1.0).contains(d)), "{alpha}: {mean}");
            let want = 0.25 / (2.0 * alpha + 1.0);
            assert!((variance / want - 1.0).abs() < 0.03, "{alpha}: {variance}, not {want}");
        }
    }

    #[test]
    fn rows_and_targets_are_mixed_alike() {
        let mut rng = fastrand::Rng::with_seed(2);
        let matrix = Mixup { alpha: 1.0 }.matrix(5, &mut rng);
        for row in matrix.values().chunks_exact(5) {
            assert!(row.iter().filter(|share| **share != 0.0).count() <= 2);
            assert_close([row.iter().sum::<f32>()], [1.0], Tolerance::Within(1e-6));
        }
        let columns: Vec<f32> =
            (0..5).map(|j| (0..5).filter(|i| matrix.values()[i * 5 + j] != 0.0).count() as f32).collect();
        assert!(columns.iter().all(|&n| n <= 2.0), "{columns:?}");
        let targets = Array::new(vec![2, 3], vec![1.0, 0.0, 0.0, 0.0, 0.2, 0.8]).unwrap();
        assert_eq!(mixed(&identity(2), &targets), targets);
        let half = Array::new(vec![2, 2], vec![0.25, 0.75, 1.0, 0.0]).unwrap();
        assert_close(
            mixed(&half, &targets).values().to_vec(),
            [0.25_f32, 0.15, 0.6, 1.0, 0.0, 0.0],
            Tolerance::Within(1e-6),
        );
        assert_eq!(Mixup { alpha: 0.4 }.matrix(1, &mut rng).values(), [1.0]);
    }
}
