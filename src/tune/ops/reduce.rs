//! Reductions: means, sums, extremes and norms along axes; global pooling is one of them.

use rayon::prelude::*;

use super::norm::dot;
use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value};
use crate::tune::broadcast::{PIECE, sum};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axes, first};
use crate::tune::scalar::Scalar;
use crate::tune::strided::{View, collect};

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    let ("", op) = name(node) else { return Ok(None) };
    let kind = match op {
        "ReduceMean" | "GlobalAveragePool" => Kind::Mean,
        "ReduceSum" => Kind::Sum,
        "ReduceMax" | "GlobalMaxPool" => Kind::Max,
        "ReduceMin" => Kind::Min,
        "ReduceProd" => Kind::Product,
        "ReduceL1" => Kind::L1,
        "ReduceL2" => Kind::L2,
        "ReduceSumSquare" => Kind::SumSquare,
        "ReduceLogSumExp" => Kind::LogSumExp,
        _ => return Ok(None),
    };
    let along = match node.ints("axes")? {
        _ if op.starts_with("Global") => Along::Places,
        Some(axes) => Along::Fixed(axes.to_vec()),
        None if node.int("noop_with_empty_axes", 0)? != 0 => Along::InputOrNothing,
        None => Along::InputOrAll,
    };
    let rank = if node.int("keepdims", 1)? == 0 { Rank::Falls } else { Rank::Stays };
    boxed(Reduce { kind, along, rank })
}

#[derive(Debug)]
struct Reduce {
    kind: Kind,
    along: Along,
    rank: Rank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Mean,
    Sum,
    Max,
    Min,
    Product,
    L1,
    L2,
    SumSquare,
    LogSumExp,
}

#[derive(Debug)]
enum Along {
    Fixed(Vec<i64>),
    InputOrAll,
    InputOrNothing,
    /// All axes behind that of the channels.
    Places,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rank {
    Stays,
    Falls,
}

/// An array of given sizes, and what becomes of it.
struct Plan {
    /// The array with the axes that go as its last ones.
    view: View,
    order: Vec<usize>,
    /// How many values become one.
    length: usize,
    out: Vec<usize>,
}

impl Reduce {
    fn plan<T: Scalar>(&self, inputs: Inputs<T>) -> Result<Plan, String> {
        let dims = inputs.value(0)?.dims();
        let all = || (0..dims.len()).collect::<Vec<usize>>();
        let given = match &self.along {
            Along::Fixed(fixed) if fixed.is_empty() => all(),
            Along::Fixed(fixed) => axes(fixed, dims.len())?,
            Along::Places => (2..dims.len()).collect(),
            Along::InputOrAll | Along::InputOrNothing => match inputs.ints_if_any(1)? {
                Some(given) if !given.is_empty() => axes(given, dims.len())?,
                _ if matches!(self.along, Along::InputOrAll) => all(),
                _ => Vec::new(),
            },
        };
        let goes = |axis: &usize| given.contains(axis);
        let mut order: Vec<usize> = (0..dims.len()).filter(|axis| !goes(axis)).collect();
        order.extend((0..dims.len()).filter(goes));
        let length = dims.iter().enumerate().filter(|(axis, _)| goes(axis)).map(|(_, size)| size).product();
        let out = dims.iter().enumerate().filter_map(|(axis, &size)| match (goes(&axis), self.rank) {
            (false, _) => Some(size),
            (true, Rank::Stays) => Some(1),
            (true, Rank::Falls) => None,
        });
        Ok(Plan { view: View::whole(dims).permuted(&order), length, out: out.collect(), order })
    }

    fn row<T: Scalar>(&self, row: &[T]) -> T {
        let of = |f: fn(T, T) -> T, start| row.iter().fold(start, |a, x| f(a, *x));
        match self.kind {
            Kind::Mean => sum(row) / T::of(row.len() as f64),
            Kind::Sum => sum(row),
            Kind::Max => of(|a, x| if x > a || x.is_nan() { x } else { a }, T::neg_infinity()),
            Kind::Min => of(|a, x| if x < a || x.is_nan() { x } else { a }, T::infinity()),
            Kind::Product => of(|a, x| a * x, T::one()),
            Kind::L1 => of(|a, x| a + x.abs(), T::zero()),
            Kind::L2 => dot(row, row).sqrt(),
            Kind::SumSquare => dot(row, row),
            Kind::LogSumExp => {
                let greatest = of(|a, x| a.max(x), T::neg_infinity());
                row.iter().map(|x| (*x - greatest).exp_nonpositive()).sum::<T>().ln() + greatest
            }
        }
    }

    /// Turns a row into the gradient by it, from that by what it became, `y`.
    fn row_back<T: Scalar>(&self, row: &mut [T], y: T, g: T) {
        let n = T::of(row.len() as f64);
        match self.kind {
            Kind::Mean => row.fill(g / n),
            Kind::Sum => row.fill(g),
            // Where several are the extreme, each gets its share.
            Kind::Max | Kind::Min => {
                let share = g / T::of(row.iter().filter(|x| **x == y).count() as f64);
                row.iter_mut().for_each(|x| *x = if *x == y { share } else { T::zero() });
            }
            // The product of the others, one by one: the whole by one of them fails at zero.
            Kind::Product => {
                let all = row.to_vec();
                let others = |i: usize| all.iter().enumerate().filter(|(j, _)| *j != i).fold(g, |p, (_, x)| p * *x);
                row.iter_mut().enumerate().for_each(|(i, x)| *x = others(i));
            }
            Kind::L1 => row.iter_mut().for_each(|x| *x = if *x == T::zero() { *x } else { g * x.signum() }),
            Kind::L2 => row.iter_mut().for_each(|x| *x = if y == T::zero() { y } else { g * *x / y }),
            Kind::SumSquare => row.iter_mut().for_each(|x| *x = g * (*x + *x)),
            Kind::LogSumExp => row.iter_mut().for_each(|x| *x = g * (*x - y).exp()),
        }
    }

    fn ints(&self, row: &[i64]) -> Result<i64, String> {
        let some = |value: Option<i64>| value.ok_or_else(|| "an extreme of no values".to_owned());
        match self.kind {
            Kind::Sum => Ok(row.iter().fold(0, |s: i64, x| s.wrapping_add(*x))),
            Kind::Product => Ok(row.iter().fold(1, |p: i64, x| p.wrapping_mul(*x))),
            Kind::Max => some(row.iter().max().copied()),
            Kind::Min => some(row.iter().min().copied()),
            _ => Err("this reduction of integers".into()),
        }
    }
}

impl<T: Scalar> Operator<T> for Reduce {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let plan = self.plan(inputs)?;
        let count: usize = plan.out.iter().product();
        if let Value::Int(x) = inputs.value(0)? {
            let rows = collect(x.values(), &plan.view);
            let row = |i: usize| self.ints(&rows[i * plan.length..(i + 1) * plan.length]);
            let out = (0..count).map(row).collect::<Result<Vec<i64>, String>>()?;
            return Ok(Value::Int(Array::new(plan.out, out)?).into());
        }
        let rows = collect(inputs.real(0)?.values(), &plan.view);
        let row = |i: usize| pulp::Arch::new().dispatch(|| self.row(&rows[i * plan.length..(i + 1) * plan.length]));
        let least = (PIECE / plan.length.max(1)).max(1);
        let out = (0..count).into_par_iter().with_min_len(least).map(row).collect();
        Ok(Array::new(plan.out, out)?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (plan, gradient) = (self.plan(call.inputs())?, first(gradients)?);
        let by_x = || {
            let x = call.inputs().real(0)?;
            let mut rows = collect(x.values(), &plan.view);
            let each = rows.chunks_exact_mut(plan.length.max(1)).zip(call.output(0)?.values()).zip(gradient.values());
            each.for_each(|((row, y), g)| self.row_back(row, *y, *g));
            let mut back = vec![0; plan.order.len()];
            plan.order.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
            let view = View::whole(&plan.view.dims).permuted(&back);
            Array::new(x.dims().to_vec(), collect(&rows, &view))
        };
        Ok(vec![wanted.then(0, by_x)?])
    }
}
