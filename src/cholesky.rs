//! Positive definite systems by Cholesky's method, in f64 and on one thread.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{MatMut, MatRef, Par};
use ndarray::{Array2, ArrayViewMut2};

/// `L·Lᵀ`, by its lower triangle L, whose columns are the rows here; what else is in the array means nothing.
pub(crate) struct Cholesky(Array2<f64>);

impl Cholesky {
    /// Factors a symmetric n×n matrix, in either order of its entries. `None` when it is not positive definite, as far as rounding shows.
    pub(crate) fn new(matrix: Array2<f64>) -> Option<Self> {
        let mut factor = if matrix.is_standard_layout() { matrix } else { matrix.reversed_axes() };
        let n = factor.nrows();
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(n, Par::Seq, Default::default()));
        let columns = MatMut::from_column_major_slice_mut(factor.as_slice_mut()?, n, n);
        let stack = MemStack::new(&mut memory);
        cholesky_in_place(columns, LltRegularization::default(), Par::Seq, stack, Default::default()).ok()?;
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
            Cholesky::new(matrix).unwrap().solve(&mut vectors.view_mut());
            assert_close(vectors, want, Tolerance::Within(1e-10));
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_no_factor() {
        assert!(Cholesky::new(Array2::from_diag(&ndarray::array![1.0, -1.0])).is_none());
        assert!(Cholesky::new(Array2::from_elem((3, 3), f64::NAN)).is_none());
    }
}
