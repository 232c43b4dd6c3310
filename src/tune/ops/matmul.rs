//! `MatMul`: of vectors, matrices, and stacks of matrices that stretch to one another.

use rayon::prelude::*;

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::Array;
use crate::tune::broadcast::{Walk, stretched};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::product::{Into, Matrix, Threads, multiply};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    match name(node) {
        ("", "MatMul") => boxed(MatMul),
        _ => Ok(None),
    }
}

#[derive(Debug)]
struct MatMul;

/// The sizes of a product of stacks: `[…, m, k] · […, k, n]`.
struct Plan {
    m: usize,
    k: usize,
    n: usize,
    /// Which matrix of `a` and which of `b` each matrix of the result is the product of.
    pairs: Vec<[usize; 2]>,
    out: Vec<usize>,
}

impl Plan {
    fn new(a: &[usize], b: &[usize]) -> Result<Self, String> {
        let fail = || format!("{a:?} and {b:?} have no product");
        // A vector is a matrix of one row, or of one column.
        let (left, right) = match (a, b) {
            ([], _) | (_, []) => return Err(fail()),
            ([k], b) => ((vec![1, *k]), b.to_vec()),
            (a, b) => (a.to_vec(), b.to_vec()),
        };
        let right = if b.len() == 1 { vec![b[0], 1] } else { right };
        let (Some((stack_a, [m, k])), Some((stack_b, [depth, n]))) =
            (left.split_last_chunk::<2>(), right.split_last_chunk::<2>())
        else {
            return Err(fail());
        };
        if k != depth {
            return Err(fail());
        }
        let stack = stretched(stack_a, stack_b).map_err(|_| fail())?;
        let mut out = stack.clone();
        out.extend((a.len() > 1).then_some(*m));
        out.extend((b.len() > 1).then_some(*n));
        // A matrix for all rows of a stack is one product of all of them.
        let whole = stack_b.iter().all(|&d| d == 1) && stack_a.len() >= stack_b.len();
        if whole {
            let m = m * stack_a.iter().product::<usize>();
            return Ok(Self { m, k: *k, n: *n, pairs: vec![[0, 0]], out });
        }
        let walk = Walk::new(&stack, [stack_a, stack_b]);
        let in_row = |row| {
            let [i, j] = walk.offsets(row);
            (0..walk.inner).map(move |step| (i, j, step))
        };
        let pairs = (0..walk.rows()).flat_map(in_row);
        let pairs = pairs.map(|(i, j, step)| [i + step * walk.steps[0], j + step * walk.steps[1]]).collect();
        Ok(Self { m: *m, k: *k, n: *n, pairs, out })
    }

    fn left<'a, T: Scalar>(&self, values: &'a [T], i: usize) -> Matrix<'a, T> {
        Matrix::new(&values[i * self.m * self.k..][..self.m * self.k], self.m, self.k)
    }

    fn right<'a, T: Scalar>(&self, values: &'a [T], j: usize) -> Matrix<'a, T> {
        Matrix::new(&values[j * self.k * self.n..][..self.k * self.n], self.k, self.n)
    }

    fn result<'a, T: Scalar>(&self, values: &'a [T], pair: usize) -> Matrix<'a, T> {
        Matrix::new(&values[pair * self.m * self.n..][..self.m * self.n], self.m, self.n)
    }

    /// Runs `product` for every pair, on the matrix of `size` values of `out` that `place` says; in parallel where no two
    /// pairs share one.
    fn each<T: Scalar>(
        &self,
        out: &mut [T],
        size: usize,
        place: impl Fn([usize; 2]) -> usize,
        product: impl Fn(&mut [T], usize, Threads) + Sync,
    ) {
        let apart = self.pairs.len() > 1 && self.pairs.iter().enumerate().all(|(i, pair)| place(*pair) == i);
        if size == 0 {
        } else if apart {
            out.par_chunks_mut(size).enumerate().for_each(|(i, out)| product(out, i, Threads::One));
        } else {
            for (i, pair) in self.pairs.iter().enumerate() {
                product(&mut out[place(*pair) * size..][..size], i, Threads::All);
            }
        }
    }
}

impl<T: Scalar> Operator<T> for MatMul {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let (a, b) = (inputs.real(0)?, inputs.real(1)?);
        let plan = Plan::new(a.dims(), b.dims())?;
        let size = plan.m * plan.n;
        let mut out = vec![T::zero(); size * plan.pairs.len()];
        let (a, b) = (a.values(), b.values());
        let product = |out: &mut [T], pair: usize, threads| {
            let [i, j] = plan.pairs[pair];
            multiply(out, plan.left(a, i), plan.right(b, j), Into::Replace, threads);
        };
        match plan.pairs.len() {
            1 => plan.each(&mut out, size, |_| 0, product),
            _ if size > 0 => out.par_chunks_mut(size).enumerate().for_each(|(i, out)| product(out, i, Threads::One)),
            _ => {}
        }
        Ok(Array::new(plan.out, out)?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (a, b) = (call.inputs().real(0)?, call.inputs().real(1)?);
        let plan = Plan::new(a.dims(), b.dims())?;
        let gradient = first(gradients)?.values();
        let by_a = || {
            let mut out = Array::filled(a.dims(), T::zero());
            plan.each(
                out.values_mut(),
                plan.m * plan.k,
                |[i, _]| i,
                |out, pair, threads| {
                    let b = plan.right(b.values(), plan.pairs[pair][1]).turned();
                    multiply(out, plan.result(gradient, pair), b, Into::Add, threads);
                },
            );
            Ok(out)
        };
        let by_b = || {
            let mut out = Array::filled(b.dims(), T::zero());
            plan.each(
                out.values_mut(),
                plan.k * plan.n,
                |[_, j]| j,
                |out, pair, threads| {
                    let a = plan.left(a.values(), plan.pairs[pair][0]).turned();
                    multiply(out, a, plan.result(gradient, pair), Into::Add, threads);
                },
            );
            Ok(out)
        };
        Ok(vec![wanted.then(0, by_a)?, wanted.then(1, by_b)?])
    }
}
