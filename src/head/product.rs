//! Matrix products of the solver, by faer: its kernels use the widest vectors that the machine has, and lose nothing on
//! matrices of few columns.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::real::Real;

/// `out = a·b` on one thread.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn product<F: Real>(a: ArrayView2<F>, b: ArrayView2<F>, mut out: ArrayViewMut2<F>) {
    assert_eq!((out.dim(), a.ncols()), ((a.nrows(), b.ncols()), b.nrows()), "the shapes of a product");
    let (rows, columns) = out.dim();
    let (row_stride, column_stride) = (out.strides()[0], out.strides()[1]);
    // SAFETY: pointer, shape and strides are those of a view that nobody else may use while it is borrowed here.
    let out = unsafe { MatMut::from_raw_parts_mut(out.as_mut_ptr(), rows, columns, row_stride, column_stride) };
    matmul(out, Accum::Replace, matrix(&a), matrix(&b), F::one(), Par::Seq);
}

fn matrix<'a, F: Real>(view: &'a ArrayView2<F>) -> MatRef<'a, F> {
    let (row_stride, column_stride) = (view.strides()[0], view.strides()[1]);
    // SAFETY: pointer, shape and strides are those of a view that lives as long.
    unsafe { MatRef::from_raw_parts(view.as_ptr(), view.nrows(), view.ncols(), row_stride, column_stride) }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};

    use super::*;
    use crate::close::{Tolerance, assert_close};

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
