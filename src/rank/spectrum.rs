//! The one decomposition that the scores of a feature set share.

use ndarray::{Array2, ArrayView2, Axis};

use crate::eigen::eigen;
use crate::error::{Error, Result};

/// Squared singular values below this share of the greatest are rounding.
const RANK: f64 = 1e-12;

/// The singular value decomposition `X = U·diag(s)·Vᵀ` of n×d features, without V.
///
/// It is had from the eigenvectors of `XᵀX` or `XXᵀ`, whichever is smaller, in f64 on one thread: `min(n, d)²·max(n, d)` operations.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// n×k, orthonormal columns.
    pub(super) left: Array2<f64>,
    /// The k squared singular values, greatest first; k is the rank.
    pub(super) squares: Vec<f64>,
    columns: usize,
}

impl Spectrum {
    /// Decomposes n×d features.
    ///
    /// # Errors
    /// [`Error::Data`] when there are no rows or columns, a value is not finite, all are 0, or the decomposition fails.
    pub fn new(x: ArrayView2<f32>) -> Result<Self> {
        if x.is_empty() {
            return Err(Error::Data(format!("there are no features: {} rows of {} values", x.nrows(), x.ncols())));
        }
        if let Some(row) = x.outer_iter().position(|row| !row.iter().all(|v| v.is_finite())) {
            return Err(Error::Data(format!("row {row} has a value that is not finite")));
        }
        let x = x.mapv(f64::from);
        let tall = x.nrows() > x.ncols();
        let gram = if tall { x.t().dot(&x) } else { x.dot(&x.t()) };
        let (values, vectors) = eigen(&gram)?;
        let greatest = values.last().copied().unwrap_or(0.0);
        // The least come first; the greatest are wanted first.
        let kept: Vec<usize> = (0..values.len()).rev().take_while(|&i| values[i] > RANK * greatest).collect();
        if kept.is_empty() {
            return Err(Error::Data("every value of the features is 0".into()));
        }
        let squares: Vec<f64> = kept.iter().map(|&i| values[i]).collect();
        let kept = vectors.select(Axis(1), &kept);
        let left = match tall {
            true => {
                let mut left = x.dot(&kept);
                for (mut column, square) in left.axis_iter_mut(Axis(1)).zip(&squares) {
                    column /= square.sqrt();
                }
                left
            }
            false => kept,
        };
        Ok(Self { left, squares, columns: x.ncols() })
    }

    /// n.
    pub fn rows(&self) -> usize {
        self.left.nrows()
    }

    /// d.
    pub fn columns(&self) -> usize {
        self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    fn random(n: usize, d: usize) -> Array2<f32> {
        let mut rng = fastrand::Rng::with_seed(7);
        Array2::from_shape_fn((n, d), |_| rng.f32() - 0.3)
    }

    #[test]
    fn the_left_vectors_are_orthonormal_and_span_the_features() {
        for (n, d) in [(40, 7), (7, 40), (12, 12), (1, 3), (5, 1)] {
            let x = random(n, d);
            let spectrum = Spectrum::new(x.view()).unwrap();
            let k = n.min(d);
            assert_eq!((spectrum.rows(), spectrum.columns(), spectrum.squares.len()), (n, d, k));
            let u = &spectrum.left;
            assert_close(u.t().dot(u), Array2::<f64>::eye(k), Tolerance::Within(1e-9));
            let x = x.mapv(f64::from);
            assert_close(u.dot(&u.t()).dot(&x), x.iter().copied(), Tolerance::Within(1e-9));
            assert_close([spectrum.squares.iter().sum::<f64>()], [x.mapv(|v| v * v).sum()], Tolerance::Within(1e-9));
        }
    }

    #[test]
    fn copies_of_columns_do_not_count() {
        let x = random(30, 4);
        let twice = ndarray::concatenate![Axis(1), x, x, Array2::zeros((30, 2))];
        let (one, two) = (Spectrum::new(x.view()).unwrap(), Spectrum::new(twice.view()).unwrap());
        assert_eq!(two.squares.len(), 4);
        assert_close(two.squares, one.squares.iter().map(|s| 2.0 * s), Tolerance::Within(1e-9));
    }

    #[test]
    fn what_has_no_spectrum_is_refused() {
        for (n, d) in [(0, 3), (3, 0), (3, 3)] {
            assert!(matches!(Spectrum::new(Array2::zeros((n, d)).view()), Err(Error::Data(_))));
        }
        let mut x = random(4, 2);
        x[[2, 1]] = f32::NAN;
        assert!(Spectrum::new(x.view()).unwrap_err().to_string().contains("row 2"));
    }
}
