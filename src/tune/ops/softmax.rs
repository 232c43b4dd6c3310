//! `Softmax` and `LogSoftmax`.

use rayon::prelude::*;

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::Array;
use crate::tune::broadcast::{PIECE, sum};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axis, first};
use crate::tune::scalar::Scalar;
use crate::tune::strided::{View, collect};

pub(super) fn build<T: Scalar>(node: Attributes, opset: Opset) -> Found<T> {
    let over = || {
        Ok::<_, String>(match opset {
            Opset(..13) => Over::From(node.int("axis", 1)?),
            _ => Over::Axis(node.int("axis", -1)?),
        })
    };
    match name(node) {
        ("", "Softmax") => boxed(Softmax { over: over()?, scale: Scale::Shares }),
        ("", "LogSoftmax") => boxed(Softmax { over: over()?, scale: Scale::Logarithms }),
        _ => Ok(None),
    }
}

#[derive(Debug)]
struct Softmax {
    over: Over,
    scale: Scale,
}

/// Which values are shares of one whole.
#[derive(Debug, Clone, Copy)]
enum Over {
    /// Those along an axis.
    Axis(i64),
    /// Those of all axes from this one on, as before version 13.
    From(i64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Shares,
    Logarithms,
}

/// Axis `axis` changes places with the last one: its own inverse.
fn swapped<T: Scalar>(array: &Array<T>, axis: usize) -> Result<Array<T>, String> {
    let last = array.rank() - 1;
    if axis == last {
        return Ok(array.clone());
    }
    let mut order: Vec<usize> = (0..array.rank()).collect();
    order.swap(axis, last);
    let view = View::whole(array.dims()).permuted(&order);
    Array::new(view.dims.clone(), collect(array.values(), &view))
}

impl Softmax {
    /// Calls `f` with the rows of `arrays` that are one whole, and gives back the first.
    fn in_rows<T: Scalar>(
        &self,
        target: &Array<T>,
        other: &Array<T>,
        f: impl Fn(&mut [T], &[T]) + Sync,
    ) -> Result<Array<T>, String> {
        let run = |target: &mut Array<T>, other: &Array<T>, length: usize| {
            let rows = target.values_mut().par_chunks_mut(length.max(1)).zip(other.values().par_chunks(length.max(1)));
            rows.with_min_len((PIECE / length.max(1)).max(1)).for_each(|(row, other)| {
                pulp::Arch::new().dispatch(|| f(row, other));
            });
        };
        match self.over {
            Over::From(start) => {
                let length = target.dims()[axis(start, target.rank())?..].iter().product();
                let mut out = target.clone();
                run(&mut out, other, length);
                Ok(out)
            }
            Over::Axis(along) => {
                let along = axis(along, target.rank())?;
                let (mut out, other) = (swapped(target, along)?, swapped(other, along)?);
                run(&mut out, &other, target.dims()[along]);
                swapped(&out, along)
            }
        }
    }
}

impl<T: Scalar> Operator<T> for Softmax {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let x = inputs.real(0)?;
        let out = self.in_rows(x, x, |row, _| {
            let greatest = row.iter().fold(T::neg_infinity(), |m, x| if *x > m { *x } else { m });
            match self.scale {
                Scale::Shares => {
                    row.iter_mut().for_each(|x| *x = (*x - greatest).exp_nonpositive());
                    let inverse = T::one() / sum(row);
                    row.iter_mut().for_each(|x| *x *= inverse);
                }
                Scale::Logarithms => {
                    let all = row.iter().map(|x| (*x - greatest).exp_nonpositive()).sum::<T>().ln() + greatest;
                    row.iter_mut().for_each(|x| *x -= all);
                }
            }
        });
        Ok(out?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let out = self.in_rows(first(gradients)?, call.output(0)?, |g, y| match self.scale {
            Scale::Shares => {
                let mean = super::norm::dot(g, y);
                g.iter_mut().zip(y).for_each(|(g, y)| *g = (*g - mean) * *y);
            }
            Scale::Logarithms => {
                let all = sum(g);
                g.iter_mut().zip(y).for_each(|(g, y)| *g -= y.exp() * all);
            }
        });
        Ok(vec![Some(out?)])
    }
}
