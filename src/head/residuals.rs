//! From logits to residuals and losses.

use std::ops::Range;

use ndarray::ArrayViewMut2;
use pulp::NullaryFnOnce;

use super::objective::{Problem, Targets};
use super::real::Real;

/// Turns the logits of these rows into weighted residuals, and returns their loss. A type of its own, so that it is compiled for
/// the vector units that the machine turns out to have.
pub(crate) struct Residuals<'a, 'p, F> {
    pub(crate) problem: &'a Problem<'p>,
    pub(crate) rows: Range<usize>,
    /// Of these rows, n×m.
    pub(crate) logits: ArrayViewMut2<'a, F>,
    /// Gets the sums of `w p (1 − p)`.
    pub(crate) curvature: &'a mut [F],
    /// Gets `w p (1 − p)` of each logit, where it has rows.
    pub(crate) variances: ArrayViewMut2<'a, F>,
}

impl<F: Real> NullaryFnOnce for Residuals<'_, '_, F> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { problem, rows, mut logits, curvature, mut variances } = self;
        let mut loss = 0.0;
        let mut variances = variances.rows_mut().into_iter();
        for (mut residual, row) in logits.rows_mut().into_iter().zip(rows) {
            let weight = problem.weight(row);
            let Some(residual) = residual.as_slice_mut() else { continue };
            loss += weight * to_residual(&problem.targets, row, residual);
            let weight = F::of(weight);
            // The residual is p or p − 1, and p(1 − p) is |r|(1 − |r|) for both.
            let variance = |r: F| {
                let size = if r < F::zero() { F::zero() - r } else { r };
                weight * size * (F::one() - size)
            };
            if let Some(mut variances) = variances.next() {
                variances.iter_mut().zip(residual.iter()).for_each(|(v, r)| *v = variance(*r));
            }
            for (sum, r) in curvature.iter_mut().zip(residual) {
                *sum += variance(*r);
                *r = weight * *r;
            }
        }
        loss
    }
}

/// Turns a row's logits into probabilities less the targets and returns the cross-entropy.
#[inline(always)]
fn to_residual<F: Real>(targets: &Targets, row: usize, logits: &mut [F]) -> f64 {
    match (targets, logits) {
        (Targets::Classes(classes), [logit]) => binary_residual(logit, classes[row] == 1),
        (Targets::Classes(classes), logits) => softmax_residual(logits, classes[row]),
        (Targets::Labels(labels), logits) => {
            logits.iter_mut().zip(labels.row(row)).map(|(logit, &has)| binary_residual(logit, has)).sum()
        }
    }
}

/// Turns a row of logits into softmax − one-hot and returns its cross-entropy.
///
/// Only the other classes are summed: neither a loss near 0 nor the label's residual `−Σ_{k≠y} p_k` is then a
/// difference of two numbers near 1, which in f32 would have no digits left.
#[inline(always)]
fn softmax_residual<F: Real>(row: &mut [F], label: usize) -> f64 {
    let max = fold(row, row[0], |max, z| if z > max { z } else { max });
    let below_max: f64 = (max - row[label]).into();
    for z in row.iter_mut() {
        *z = (*z - max).exp_nonpositive();
    }
    let own: f64 = row[label].into();
    row[label] = F::zero();
    let others: f64 = fold(row, F::zero(), |a, b| a + b).into();
    let inverse = F::of(1.0 / (own + others));
    for p in row.iter_mut() {
        *p *= inverse;
    }
    row[label] = F::of(-others / (own + others));
    if below_max == 0.0 { others.ln_1p() } else { below_max + (own + others).ln() }
}

/// Turns a logit into its residual `p − y` and returns the cross-entropy.
fn binary_residual<F: Real>(logit: &mut F, positive: bool) -> f64 {
    let z: f64 = (*logit).into();
    let sign = if positive { 1.0 } else { -1.0 };
    let small = (-z.abs()).exp();
    let margin = sign * z;
    // p(other class) = 1 / (1 + e^margin), without overflow.
    let other = if margin > 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) };
    *logit = F::of(-sign * other);
    (-margin).max(0.0) + small.ln_1p()
}

/// `combine` over eight running results, so that the compiler may use vectors.
#[inline(always)]
fn fold<F: Real>(values: &[F], start: F, combine: impl Fn(F, F) -> F + Copy) -> F {
    let mut results = [start; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (result, &v) in results.iter_mut().zip(chunk) {
            *result = combine(*result, v);
        }
    }
    results.into_iter().chain(rest.iter().copied()).reduce(combine).unwrap_or(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::{Tolerance, assert_close};

    #[test]
    fn certain_rows_keep_their_digits() {
        let mut row = [0.0_f32, 30.0, 5.0];
        let loss = softmax_residual(&mut row, 1);
        let others = (-30.0_f64).exp() + (-25.0_f64).exp();
        assert_close([loss / others], [1.0], Tolerance::Approximate);
        assert_close([f64::from(row[1]) / others], [-1.0], Tolerance::Approximate);
        assert_close([binary_residual(&mut 80.0_f32, true) / (-80.0_f64).exp()], [1.0], Tolerance::Approximate);
        assert_close([binary_residual(&mut 1000.0_f32, false)], [1000.0], Tolerance::Exact);
    }
}
