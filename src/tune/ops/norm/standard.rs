//! Rows of mean 0 and variance 1, and the way back.

use rayon::prelude::*;

use crate::tune::broadcast::{PIECE, sum};
use crate::tune::scalar::Scalar;

/// Every row of `length` values less its mean, divided by its standard deviation, `√(variance + ε)`; and what that was
/// multiplied with, for each row.
pub(super) fn standardised<T: Scalar>(x: &[T], length: usize, epsilon: T) -> (Vec<T>, Vec<T>) {
    let mut out = x.to_vec();
    if length == 0 {
        return (out, Vec::new());
    }
    let n = T::of(length as f64);
    let row = |row: &mut [T]| {
        pulp::Arch::new().dispatch(|| {
            let mean = sum(row) / n;
            row.iter_mut().for_each(|x| *x -= mean);
            let inverse = T::one() / (dot(row, row) / n + epsilon).sqrt();
            row.iter_mut().for_each(|x| *x *= inverse);
            inverse
        })
    };
    let least = (PIECE / length).max(1);
    let inverse = out.par_chunks_mut(length).with_min_len(least).map(row).collect();
    (out, inverse)
}

/// From the gradient by standardised rows to that by the rows: `(g − mean(g) − x̂ · mean(g · x̂)) / σ`.
pub(super) fn way_back<T: Scalar>(gradient: &mut [T], normal: &[T], inverse: &[T], length: usize) {
    let n = T::of(length as f64);
    let least = (PIECE / length.max(1)).max(1);
    let rows = gradient.par_chunks_mut(length.max(1)).zip(normal.par_chunks(length.max(1))).zip(inverse);
    rows.with_min_len(least).for_each(|((gradient, normal), inverse)| {
        pulp::Arch::new().dispatch(|| {
            let (mean, along) = (sum(gradient) / n, dot(gradient, normal) / n);
            gradient.iter_mut().zip(normal).for_each(|(g, x)| *g = (*g - mean - *x * along) * *inverse);
        });
    });
}

/// The sum of products, in eight lanes.
pub(in crate::tune::ops) fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [T::zero(); 8];
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a).zip(b).for_each(|((lane, x), y)| *lane += *x * *y);
    }
    let rest = a_rest.iter().zip(b_rest).map(|(x, y)| *x * *y);
    lanes.into_iter().chain(rest).fold(T::zero(), |s, v| s + v)
}
