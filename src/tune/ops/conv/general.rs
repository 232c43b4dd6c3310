//! Groups of several channels: what a window sees becomes a column, and the convolution a product of matrices.

use rayon::prelude::*;

use super::Plan;
use crate::tune::product::{Into, Matrix, Threads, multiply};
use crate::tune::scalar::Scalar;

/// Images are summed in so many parts, however many threads there are: the result does not depend on the machine.
const PARTS: usize = 4;

impl Plan {
    /// A window is one place, so that columns are the input itself.
    fn is_pointwise(&self) -> bool {
        self.height.is_plain() && self.width.is_plain()
    }

    /// Calls `f` with stretches of a column matrix and of the input: where each begins, their length, and the step in the input.
    fn columns(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let (places, plane) = (self.places(), self.height.input * self.width.input);
        let mut row = 0;
        for channel in 0..self.channels {
            for ky in 0..self.height.kernel {
                for kx in 0..self.width.kernel {
                    let (rows, mut y) = self.height.inside(ky);
                    let (columns, x) = self.width.inside(kx);
                    for oy in rows {
                        let column = row * places + oy * self.width.output + columns.start;
                        if !columns.is_empty() {
                            let input = channel * plane + y * self.width.input + x;
                            f(column, input, columns.len(), self.width.stride());
                        }
                        y += self.height.stride();
                    }
                    row += 1;
                }
            }
        }
    }

    /// The columns of one group of one image; `columns` is zero where windows reach into the padding.
    fn gather<T: Scalar>(&self, x: &[T], columns: &mut [T]) {
        self.columns(|column, input, n, step| {
            let out = &mut columns[column..column + n];
            match step {
                1 => out.copy_from_slice(&x[input..input + n]),
                _ => out.iter_mut().zip(x[input..].iter().step_by(step)).for_each(|(o, x)| *o = *x),
            }
        });
    }

    /// The way back of [`gather`](Self::gather).
    fn scatter<T: Scalar>(&self, columns: &[T], x: &mut [T]) {
        self.columns(|column, input, n, step| {
            let values = &columns[column..column + n];
            x[input..].iter_mut().step_by(step).zip(values).for_each(|(x, v)| *x += *v);
        });
    }

    fn weight<'a, T: Scalar>(&self, w: &'a [T], group: usize) -> Matrix<'a, T> {
        let size = self.filters * self.filter();
        Matrix::new(&w[group * size..][..size], self.filters, self.filter())
    }

    fn scratch<T: Scalar>(&self) -> Vec<T> {
        vec![T::zero(); if self.is_pointwise() { 0 } else { self.filter() * self.places() }]
    }

    /// Values of one group of one image that are given.
    fn output(&self) -> usize {
        self.filters * self.places()
    }
}

pub(super) fn forward<T: Scalar>(plan: &Plan, x: &[T], w: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); plan.images * plan.groups * plan.output()];
    out.par_chunks_mut(plan.output().max(1)).enumerate().for_each_init(
        || plan.scratch(),
        |columns, (i, out)| {
            let x = &x[i * plan.input()..][..plan.input()];
            let seen = if plan.is_pointwise() {
                x
            } else {
                plan.gather(x, columns);
                columns
            };
            let seen = Matrix::new(seen, plan.filter(), plan.places());
            multiply(out, plan.weight(w, i % plan.groups), seen, Into::Replace, Threads::One);
        },
    );
    out
}

pub(super) fn by_input<T: Scalar>(plan: &Plan, w: &[T], gradient: &[T]) -> Vec<T> {
    let mut out = vec![T::zero(); plan.images * plan.groups * plan.input()];
    out.par_chunks_mut(plan.input().max(1)).enumerate().for_each_init(
        || plan.scratch(),
        |columns, (i, out)| {
            let gradient = Matrix::new(&gradient[i * plan.output()..][..plan.output()], plan.filters, plan.places());
            let weight = plan.weight(w, i % plan.groups).turned();
            if plan.is_pointwise() {
                multiply(out, weight, gradient, Into::Replace, Threads::One);
            } else {
                multiply(columns, weight, gradient, Into::Replace, Threads::One);
                plan.scatter(columns, out);
            }
        },
    );
    out
}

pub(super) fn by_weight<T: Scalar>(plan: &Plan, x: &[T], gradient: &[T]) -> Vec<T> {
    let size = plan.filters * plan.filter();
    let part = |part: usize| {
        let mut sums = vec![T::zero(); plan.groups * size];
        let mut columns = plan.scratch();
        for image in (part..plan.images).step_by(PARTS) {
            for (group, sums) in sums.chunks_exact_mut(size.max(1)).enumerate() {
                let i = image * plan.groups + group;
                let gradient = &gradient[i * plan.output()..][..plan.output()];
                let x = &x[i * plan.input()..][..plan.input()];
                let seen = if plan.is_pointwise() {
                    x
                } else {
                    plan.gather(x, &mut columns);
                    &columns
                };
                let seen = Matrix::new(seen, plan.filter(), plan.places()).turned();
                multiply(sums, Matrix::new(gradient, plan.filters, plan.places()), seen, Into::Add, Threads::One);
            }
        }
        sums
    };
    let parts: Vec<Vec<T>> = (0..PARTS.min(plan.images)).into_par_iter().map(part).collect();
    let mut sums = vec![T::zero(); plan.groups * size];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sums
}
