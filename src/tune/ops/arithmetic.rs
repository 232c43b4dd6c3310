//! Sums, differences, products, quotients and powers of two arrays, and sums, means and extremes of several.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value};
use crate::tune::broadcast::{map, sum_to, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    match name(node) {
        ("", "Add") => boxed(Pair::Add),
        ("", "Sub") => boxed(Pair::Sub),
        ("", "Mul") => boxed(Pair::Mul),
        ("", "Div") => boxed(Pair::Div),
        ("", "Pow") => boxed(Power),
        ("", "Sum") => boxed(Several::Sum),
        ("", "Mean") => boxed(Several::Mean),
        ("", "Max") => boxed(Several::Max),
        ("", "Min") => boxed(Several::Min),
        _ => Ok(None),
    }
}

/// Of two arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pair {
    Add,
    Sub,
    Mul,
    Div,
}

impl Pair {
    fn of_ints(self, a: &Array<i64>, b: &Array<i64>) -> Result<Array<i64>, String> {
        if self == Self::Div && b.values().contains(&0) {
            return Err("an integer is divided by zero".into());
        }
        zip(a, b, |x: i64, y: i64| match self {
            Self::Add => x.wrapping_add(y),
            Self::Sub => x.wrapping_sub(y),
            Self::Mul => x.wrapping_mul(y),
            Self::Div => x.wrapping_div(y),
        })
    }
}

impl<T: Scalar> Operator<T> for Pair {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        if let (Value::Int(a), Value::Int(b)) = (inputs.value(0)?, inputs.value(1)?) {
            return Ok(Value::Int(self.of_ints(a, b)?).into());
        }
        let (a, b) = (inputs.real(0)?, inputs.real(1)?);
        let out = match self {
            Self::Add => zip(a, b, |x, y| x + y),
            Self::Sub => zip(a, b, |x, y| x - y),
            Self::Mul => zip(a, b, |x, y| x * y),
            Self::Div => zip(a, b, |x, y| x / y),
        };
        Ok(out?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (a, b) = (call.inputs().real(0)?, call.inputs().real(1)?);
        let gradient = first(gradients)?;
        let by_a = || {
            let by_a = match self {
                Self::Add | Self::Sub => gradient.clone(),
                Self::Mul => zip(gradient, b, |g, y| g * y)?,
                Self::Div => zip(gradient, b, |g, y| g / y)?,
            };
            Ok(sum_to(by_a, a.dims()))
        };
        let by_b = || {
            let by_b = match self {
                Self::Add => gradient.clone(),
                Self::Sub => map(gradient, |g| -g),
                Self::Mul => zip(gradient, a, |g, x| g * x)?,
                Self::Div => zip(&zip(gradient, call.output(0)?, |g, q| -g * q)?, b, |g, y| g / y)?,
            };
            Ok(sum_to(by_b, b.dims()))
        };
        Ok(vec![wanted.then(0, by_a)?, wanted.then(1, by_b)?])
    }
}

/// `x^y`; the exponents may be integers.
#[derive(Debug)]
struct Power;

impl Power {
    /// `x^y` without the general power where the exponent is one number that needs none.
    fn raised<T: Scalar>(base: &Array<T>, exponent: &Array<T>) -> Result<Array<T>, String> {
        let of = T::of;
        match exponent.single() {
            Ok(y) if exponent.rank() == 0 && y == of(1.0) => Ok(base.clone()),
            Ok(y) if exponent.rank() <= base.rank() && y == of(2.0) => Ok(map(base, |x| x * x)),
            Ok(y) if exponent.rank() <= base.rank() && y == of(3.0) => Ok(map(base, |x| x * x * x)),
            Ok(y) if exponent.rank() <= base.rank() && y == of(0.5) => Ok(map(base, |x: T| x.sqrt())),
            _ => zip(base, exponent, |x: T, y: T| x.powf(y)),
        }
    }

    fn exponent<T: Scalar>(inputs: Inputs<T>) -> Result<Array<T>, String> {
        match inputs.value(1)? {
            Value::Int(y) => Ok(map(y, |y| T::of(y as f64))),
            other => Ok(other.real()?.clone()),
        }
    }
}

impl<T: Scalar> Operator<T> for Power {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        Ok(Self::raised(inputs.real(0)?, &Self::exponent(inputs)?)?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (x, y) = (call.inputs().real(0)?, Self::exponent(call.inputs())?);
        let gradient = first(gradients)?;
        let by_x = || {
            let slope = zip(&Self::raised(x, &map(&y, |y| y - T::one()))?, &y, |p, y| p * y)?;
            Ok(sum_to(zip(gradient, &slope, |g, s| g * s)?, x.dims()))
        };
        let by_y = || {
            let slope = zip(call.output(0)?, x, |z, x: T| if z == T::zero() { z } else { z * x.ln() })?;
            Ok(sum_to(zip(gradient, &slope, |g, s| g * s)?, y.dims()))
        };
        Ok(vec![wanted.then(0, by_x)?, wanted.then(1, by_y)?])
    }
}

/// Of any number of arrays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Several {
    Sum,
    Mean,
    Max,
    Min,
}

impl<T: Scalar> Operator<T> for Several {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        if let Value::Int(start) = inputs.value(0)? {
            let mut all = start.clone();
            for i in 1..inputs.len() {
                all = zip(&all, inputs.value(i)?.int()?, |x: i64, y: i64| match self {
                    Self::Max => x.max(y),
                    Self::Min => x.min(y),
                    Self::Sum | Self::Mean => x.wrapping_add(y),
                })?;
            }
            return if *self == Self::Mean { Err("a mean of integers".into()) } else { Ok(Value::Int(all).into()) };
        }
        let mut all = inputs.real(0)?.clone();
        for i in 1..inputs.len() {
            let next = inputs.real(i)?;
            all = match self {
                Self::Sum | Self::Mean => zip(&all, next, |x, y| x + y),
                // What is not a number stays so.
                Self::Max => zip(&all, next, |x: T, y: T| if x >= y || x.is_nan() { x } else { y }),
                Self::Min => zip(&all, next, |x: T, y: T| if x <= y || x.is_nan() { x } else { y }),
            }?;
        }
        if *self == Self::Mean {
            let n = T::of(inputs.len() as f64);
            all = map(&all, |x| x / n);
        }
        Ok(all.into())
    }

    /// Where several are the extreme, each gets its share.
    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (inputs, gradient) = (call.inputs(), first(gradients)?);
        let share = match self {
            Self::Sum => gradient.clone(),
            Self::Mean => {
                let n = T::of(inputs.len() as f64);
                map(gradient, |g| g / n)
            }
            Self::Max | Self::Min => {
                let mut ties = Array::filled(gradient.dims(), T::zero());
                for i in 0..inputs.len() {
                    let equal =
                        zip(call.output(0)?, inputs.real(i)?, |y, x| if x == y { T::one() } else { T::zero() })?;
                    ties = zip(&ties, &equal, |n, one| n + one)?;
                }
                zip(gradient, &ties, |g, n| g / n)?
            }
        };
        let by = |i: usize| {
            let x = inputs.real(i)?;
            let part = match self {
                Self::Sum | Self::Mean => share.clone(),
                Self::Max | Self::Min => {
                    let equal = zip(call.output(0)?, x, |y, x| if x == y { T::one() } else { T::zero() })?;
                    zip(&share, &equal, |g, one| g * one)?
                }
            };
            Ok(sum_to(part, x.dims()))
        };
        (0..inputs.len()).map(|i| wanted.then(i, || by(i))).collect()
    }
}
