//! Matrix products, by faer.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use super::scalar::Scalar;

/// Multiply-adds below which a product is not divided among threads.
const WORTH: usize = 1 << 20;

/// A row-major matrix that is read, as it lies or turned.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    view: MatRef<'a, T>,
}

impl<'a, T: Scalar> Matrix<'a, T> {
    /// Rows × columns, row-major.
    ///
    /// # Panics
    /// When there are not as many values.
    pub(super) fn new(values: &'a [T], rows: usize, columns: usize) -> Self {
        Self { view: MatRef::from_row_major_slice(values, rows, columns) }
    }

    /// Rows become columns.
    pub(super) fn turned(self) -> Self {
        Self { view: self.view.transpose() }
    }

    /// Turned, if so.
    pub(super) fn turned_if(self, turn: Turn) -> Self {
        if turn == Turn::Turned { self.turned() } else { self }
    }
}

/// How a matrix of an operator is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    AsItLies,
    Turned,
}

/// What becomes of the values that the result had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    Replace,
    Add,
}

/// Whether a product may use several threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    All,
}

/// `out (+)= a·b`, row-major. Every value is summed in the same order however many threads there are.
pub(super) fn multiply<T: Scalar>(out: &mut [T], a: Matrix<T>, b: Matrix<T>, into: Into, threads: Threads) {
    let (rows, columns, depth) = (a.view.nrows(), b.view.ncols(), a.view.ncols());
    if out.is_empty() {
        return;
    }
    if depth == 0 {
        if into == Into::Replace {
            out.fill(T::zero());
        }
        return;
    }
    let accumulate = if into == Into::Add { Accum::Add } else { Accum::Replace };
    let part = |out: &mut [T], first: usize| {
        let n = out.len() / columns;
        let out = MatMut::from_row_major_slice_mut(out, n, columns);
        matmul(out, accumulate, a.view.subrows(first, n), b.view, T::one(), Par::Seq);
    };
    let tasks = match threads {
        Threads::All if rows * columns * depth >= WORTH => rayon::current_num_threads(),
        _ => 1,
    };
    let height = rows.div_ceil(tasks).next_multiple_of(8).min(rows).max(1);
    if height == rows {
        part(out, 0);
    } else {
        out.par_chunks_mut(height * columns).enumerate().for_each(|(i, out)| part(out, i * height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn products_are_sums_of_products() {
        let mut random = fastrand::Rng::with_seed(4);
        for (m, k, n) in [(1, 1, 1), (3, 4, 5), (130, 70, 150), (16, 300, 2), (2, 0, 3)] {
            let mut draw = |n: usize| (0..n).map(|_| random.f64() - 0.5).collect::<Vec<f64>>();
            let (a, b, start) = (draw(m * k), draw(k * n), draw(m * n));
            let want = |i: usize| (0..k).map(|l| a[i / n * k + l] * b[l * n + i % n]).sum::<f64>();
            for into in [Into::Replace, Into::Add] {
                let mut out = start.clone();
                multiply(&mut out, Matrix::new(&a, m, k), Matrix::new(&b, k, n), into, Threads::All);
                let before = |i: usize| if into == Into::Add { start[i] } else { 0.0 };
                assert_close(out, (0..m * n).map(|i| before(i) + want(i)), Tolerance::Close);
            }
            let turned: Vec<f64> = (0..k * n).map(|i| b[i % k * n + i / k]).collect();
            let mut out = vec![0.0; m * n];
            multiply(&mut out, Matrix::new(&a, m, k), Matrix::new(&turned, n, k).turned(), Into::Replace, Threads::One);
            assert_close(out, (0..m * n).map(want), Tolerance::Close);
        }
    }
}
