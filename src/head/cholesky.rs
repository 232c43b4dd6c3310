//! Positive definite systems by Cholesky's method, in f64 and on one thread.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{MatMut, MatRef, Par};
use ndarray::{Array2, ArrayViewMut2};

/// `L·Lᵀ`, by its lower triangle L, whose columns are the rows here; what else is in the array means nothing.
pub(crate) struct Cholesky(Array2<f64>);

impl Cholesky {
    /// Factors a symmetric n×n matrix whose pivots are at least `least`, above 0: smaller ones come from rounding, and are
    /// lifted to it. `None` when an entry is not finite.
    pub(crate) fn new(matrix: Array2<f64>, least: f64) -> Option<Self> {
        let mut factor = matrix.as_standard_layout().into_owned();
        let n = factor.nrows();
        let regularization =
            LltRegularization { dynamic_regularization_delta: least, dynamic_regularization_epsilon: least };
        let scratch = cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default());
        let columns = MatMut::from_column_major_slice_mut(factor.as_slice_mut()?, n, n);
        let mut memory = MemBuffer::new(scratch);
        cholesky_in_place(columns, regularization, Par::Seq, MemStack::new(&mut memory), Default::default()).ok()?;
        factor.diag().iter().all(|pivot| pivot.is_finite()).then_some(Self(factor))
    }

    /// Solves `L·Lᵀ·new = old` in place, column by column of an n×m matrix.
    ///
    /// # Panics
    /// When the matrix has another number of rows.
    pub(crate) fn solve(&self, vectors: &mut ArrayViewMut2<f64>) {
        let n = self.0.nrows();
        assert_eq!(vectors.nrows(), n, "the rows of a system of equations");
        let Some(factor) = self.0.as_slice() else { return };
        let (columns, strides) = (vectors.ncols(), [vectors.strides()[0], vectors.strides()[1]]);
        // SAFETY: pointer, shape and strides are those of a view that nobody else may use while it is borrowed here.
        let vectors = unsafe { MatMut::from_raw_parts_mut(vectors.as_mut_ptr(), n, columns, strides[0], strides[1]) };
        let factor = MatRef::from_column_major_slice(factor, n, n);
        solve_in_place(factor, vectors, Par::Seq, MemStack::new(&mut MemBuffer::new(Default::default())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn solves_what_the_factor_stands_for() {
        let mut rng = fastrand::Rng::with_seed(4);
        for n in [1, 5, 64, 65, 185] {
            let features = Array2::from_shape_fn((2 * n, n), |_| rng.f64() - 0.5);
            let matrix = features.t().dot(&features) + 0.1 * Array2::<f64>::eye(n);
            let want = Array2::from_shape_fn((n, 3), |_| rng.f64() - 0.5);
            let mut vectors = matrix.dot(&want);
            Cholesky::new(matrix, 0.1).unwrap().solve(&mut vectors.view_mut());
            assert_close(vectors, want, Tolerance::Within(1e-10));
        }
    }

    #[test]
    fn pivots_lost_in_rounding_are_lifted_and_what_is_not_finite_is_refused() {
        // Of rank 1: the second pivot is 0, or a little below.
        let flat = Array2::from_shape_fn((2, 2), |(i, j)| [0.1, 0.3][i] * [0.1, 0.3][j]);
        let mut vector = Array2::ones((2, 1));
        Cholesky::new(flat, 1e-3).unwrap().solve(&mut vector.view_mut());
        assert!(vector.iter().all(|v| v.is_finite() && v.abs() < 1e6), "{vector}");
        assert!(Cholesky::new(Array2::from_elem((3, 3), f64::NAN), 1e-3).is_none());
    }
}
