//! Matrix products by faer: its kernels use the widest vectors that the machine has, and lose nothing on
//! matrices of few columns.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::traits::ComplexField;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, LinalgScalar};

/// `out = a·b` on one thread.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn product<F: LinalgScalar + ComplexField>(a: ArrayView2<F>, b: ArrayView2<F>, mut out: ArrayViewMut2<F>) {
    assert_eq!((out.dim(), a.ncols()), ((a.nrows(), b.ncols()), b.nrows()), "the shapes of a product");
    let (rows, columns) = out.dim();
    let (row_stride, column_stride) = (out.strides()[0], out.strides()[1]);
    // SAFETY: pointer, shape and strides are those of a view that nobody else may use while it is borrowed here.
    let out = unsafe { MatMut::from_raw_parts_mut(out.as_mut_ptr(), rows, columns, row_stride, column_stride) };
    matmul(out, Accum::Replace, matrix(&a), matrix(&b), F::one(), Par::Seq);
}

/// Adds `aᵀ·a` to the lower triangle of `sum`, d×d and row-major, on one thread; the rest of it means nothing.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn add_gram(a: ArrayView2<f64>, sum: &mut Array2<f64>) {
    let d = a.ncols();
    assert_eq!(sum.dim(), (d, d), "the shape of a Gram matrix");
    let strides = [sum.strides()[0], sum.strides()[1]];
    // SAFETY: pointer, shape and strides are those of an array that nobody else may use while it is borrowed here.
    let sum = unsafe { MatMut::from_raw_parts_mut(sum.as_mut_ptr(), d, d, strides[0], strides[1]) };
    let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    let (turned, a) = (a.t(), &a);
    triangular::matmul(sum, lower, Accum::Add, matrix(&turned), whole, matrix(a), whole, 1.0, Par::Seq);
}

fn matrix<'a, F>(view: &'a ArrayView2<F>) -> MatRef<'a, F> {
    let (row_stride, column_stride) = (view.strides()[0], view.strides()[1]);
    // SAFETY: pointer, shape and strides are those of a view that lives as long.
    unsafe { MatRef::from_raw_parts(view.as_ptr(), view.nrows(), view.ncols(), row_stride, column_stride) }
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn gram_matrices_are_ndarrays_in_the_lower_triangle() {
        let mut rng = fastrand::Rng::with_seed(2);
        for (n, d) in [(1, 1), (70, 9), (5, 40)] {
            let a = Array2::from_shape_simple_fn((n, d), || rng.f64() - 0.5);
            let mut sum = Array2::<f64>::eye(d);
            add_gram(a.view(), &mut sum);
            let want = a.t().dot(&a) + Array2::<f64>::eye(d);
            let lower =
                |m: &Array2<f64>| m.indexed_iter().filter(|((i, j), _)| j <= i).map(|(_, v)| *v).collect::<Vec<_>>();
            assert_close(lower(&sum), lower(&want), Tolerance::Within(1e-12));
        }
    }

    #[test]
    fn products_of_all_shapes_and_layouts_are_ndarrays() {
        let mut rng = fastrand::Rng::with_seed(6);
        let mut random = |rows, columns| Array2::from_shape_simple_fn((rows, columns), || rng.f64() - 0.5);
        for (n, d, m) in [(1, 1, 1), (1, 9, 3), (130, 65, 1), (37, 5, 100), (64, 33, 17), (0, 4, 3), (5, 0, 2)] {
            let (wide, b) = (random(n, d + 3), random(d, m));
            let a = wide.slice(s![.., 2..d + 2]);
            let mut out = random(n, m);
            product(a, b.view(), out.view_mut());
            assert_close(out.iter().copied(), a.dot(&b), Tolerance::Within(1e-12));
            let (mut back, rows) = (random(d, m), random(n, m));
            product(a.t(), rows.view(), back.view_mut());
            assert_close(back.iter().copied(), a.t().dot(&rows), Tolerance::Within(1e-12));
        }
    }
}
