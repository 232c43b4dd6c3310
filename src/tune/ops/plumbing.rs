//! What a graph computes its own shapes with, conversions, and steps without slope.

use super::{Attributes, Found, Opset, boxed, name};
use crate::onnx::{Constant, DataType};
use crate::tune::array::{Array, Value, count};
use crate::tune::broadcast::{map, zip};
use crate::tune::operator::{Call, Flow, Gradients, Inputs, Operator, Output, Wanted, axis, first};
use crate::tune::scalar::Scalar;

/// More values than a graph may ask for out of nothing.
const MAX_VALUES: usize = 1 << 28;

pub(super) fn build<T: Scalar>(node: Attributes, opset: Opset) -> Found<T> {
    match name(node) {
        ("", "Shape") => boxed(Plumbing::Shape { start: node.int("start", 0)?, end: node.int("end", i64::MAX)? }),
        ("", "Size") => boxed(Plumbing::Size),
        ("", "Range") => boxed(Plumbing::Range),
        ("", "ConstantOfShape") => boxed(Plumbing::Filled(match node.tensor("value")? {
            None => Fill::Real(0.0),
            Some(Constant::Float(t) | Constant::OtherFloat(t)) => Fill::Real(f64::from(only(&t.values)?)),
            Some(Constant::Int(t) | Constant::OtherInt(t)) => Fill::Int(only(&t.values)?),
            Some(Constant::Bool(t)) => Fill::Bool(only(&t.values)? != 0),
            Some(Constant::Unreadable(reason)) => return Err(format!("attribute value {reason}")),
        })),
        ("", "ArgMax" | "ArgMin") => boxed(Plumbing::Extreme {
            axis: node.int("axis", 0)?,
            which: match (node.0.op.as_str(), node.int("select_last_index", 0)? != 0) {
                ("ArgMax", last) => Which { greatest: true, last },
                (_, last) => Which { greatest: false, last },
            },
            keep: node.int("keepdims", 1)? != 0,
        }),
        ("", "Mod") => {
            boxed(Plumbing::Mod { sign: if node.int("fmod", 0)? == 0 { Sign::Divisor } else { Sign::Dividend } })
        }
        ("", "Floor") => boxed(Plumbing::Step(|x| x.floor())),
        ("", "Ceil") => boxed(Plumbing::Step(|x| x.ceil())),
        ("", "Round") => boxed(Plumbing::Step(|x| x.round_ties_even())),
        ("", "Sign") => boxed(Plumbing::Step(|x| if x == 0.0 { x } else { x.signum() })),
        ("", "Cast") => {
            let to = node.int_if_any("to")?.ok_or("it has no attribute to")?;
            boxed(Cast { to: kind(to).ok_or_else(|| format!("a Cast to the element type {to}"))? })
        }
        ("", "CastLike") if opset >= Opset(15) => boxed(CastLike),
        _ => Ok(None),
    }
}

fn only<E: Copy>(values: &[E]) -> Result<E, String> {
    match values {
        [value] => Ok(*value),
        _ => Err("attribute value is not a single one".into()),
    }
}

/// Without gradients.
#[derive(Debug)]
enum Plumbing {
    Shape {
        start: i64,
        end: i64,
    },
    Size,
    Range,
    Filled(Fill),
    Extreme {
        axis: i64,
        which: Which,
        keep: bool,
    },
    Mod {
        sign: Sign,
    },
    /// A function that is constant but for steps.
    Step(fn(f64) -> f64),
}

#[derive(Debug, Clone, Copy)]
enum Fill {
    Real(f64),
    Int(i64),
    Bool(bool),
}

/// Which of the extremes: the greatest or the least, the first or the last of those.
#[derive(Debug, Clone, Copy)]
struct Which {
    greatest: bool,
    last: bool,
}

/// Whose sign a remainder has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Divisor,
    Dividend,
}

impl Which {
    fn place<E: PartialOrd>(self, mut values: impl Iterator<Item = E>) -> Option<i64> {
        let mut best = (0, values.next()?);
        for (i, value) in (1..).zip(values) {
            let better = if self.greatest { value > best.1 } else { value < best.1 };
            if better || self.last && value == best.1 {
                best = (i, value);
            }
        }
        Some(best.0)
    }
}

fn extremes<E: PartialOrd + Copy>(
    array: &Array<E>,
    along: i64,
    which: Which,
    keep: bool,
) -> Result<Array<i64>, String> {
    let mut dims = array.dims().to_vec();
    let along = axis(along, dims.len())?;
    let (size, inner) = (dims[along], dims[along + 1..].iter().product::<usize>());
    let outer: usize = dims[..along].iter().product();
    let at = |o: usize, i: usize| array.values().iter().skip(o * size * inner + i).step_by(inner).take(size).copied();
    let places = (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i)));
    let out = places.map(|(o, i)| which.place(at(o, i)).ok_or_else(|| "an extreme of no values".to_owned()));
    let out = out.collect::<Result<Vec<i64>, String>>()?;
    match keep {
        true => dims[along] = 1,
        false => drop(dims.remove(along)),
    }
    Array::new(dims, out)
}

impl Plumbing {
    fn range<T: Scalar>(inputs: Inputs<T>) -> Result<Value<T>, String> {
        let length = |n: f64| {
            if n > MAX_VALUES as f64 { Err(format!("a Range of {n} values")) } else { Ok(n.max(0.0) as usize) }
        };
        if let (Value::Int(start), Value::Int(end), Value::Int(step)) =
            (inputs.value(0)?, inputs.value(1)?, inputs.value(2)?)
        {
            let (start, end, step) = (start.single()?, end.single()?, step.single()?);
            if step == 0 {
                return Err("a Range in steps of 0".into());
            }
            let n = length(((end as f64 - start as f64) / step as f64).ceil())?;
            return Ok(Value::Int(Array::list(
                (0..n as i64).map(|i| start.wrapping_add(i.wrapping_mul(step))).collect(),
            )));
        }
        let (start, end, step) = (inputs.real(0)?.single()?, inputs.real(1)?.single()?, inputs.real(2)?.single()?);
        let n = length(((end - start) / step).ceil().into())?;
        Ok(Array::list((0..n).map(|i| start + T::of(i as f64) * step).collect()).into())
    }
}

impl<T: Scalar> Operator<T> for Plumbing {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        Ok(match self {
            Self::Shape { start, end } => {
                let dims: Vec<i64> = inputs.value(0)?.dims().iter().map(|&d| d as i64).collect();
                let rank = dims.len() as i64;
                let place = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
                let (start, end) = (place(*start), place(*end));
                Value::Int(Array::list(dims[start..end.max(start)].to_vec()))
            }
            Self::Size => Value::Int(Array::scalar(inputs.value(0)?.dims().iter().product::<usize>() as i64)),
            Self::Range => Self::range(inputs)?,
            Self::Filled(fill) => {
                let dims = super::shape::sizes(inputs.ints(0)?)?;
                if count(&dims).is_none_or(|n| n > MAX_VALUES) {
                    return Err(format!("a constant of {dims:?}"));
                }
                match fill {
                    Fill::Real(value) => Array::filled(&dims, T::of(*value)).into(),
                    Fill::Int(value) => Value::Int(Array::filled(&dims, *value)),
                    Fill::Bool(value) => Value::Bool(Array::filled(&dims, *value)),
                }
            }
            Self::Extreme { axis, which, keep } => Value::Int(match inputs.value(0)? {
                Value::Int(x) => extremes(x, *axis, *which, *keep)?,
                other => extremes(other.real()?, *axis, *which, *keep)?,
            }),
            Self::Mod { sign } => {
                let (a, b) = (inputs.value(0)?.int()?, inputs.value(1)?.int()?);
                if b.values().contains(&0) {
                    return Err("an integer is divided by zero".into());
                }
                Value::Int(zip(a, b, |x: i64, y: i64| {
                    let rest = x.wrapping_rem(y);
                    if *sign == Sign::Divisor && rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }
                })?)
            }
            Self::Step(step) => map(inputs.real(0)?, |x: T| T::of(step(x.into()))).into(),
        }
        .into())
    }

    fn backward(&self, _: &Call<T>, _: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        Ok(Vec::new())
    }

    fn flow(&self) -> Flow {
        Flow::Ends
    }
}

/// Floats of all sizes are one here: what was said in 16 bits is computed in 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Real,
    Int,
    Bool,
}

fn kind(element: i64) -> Option<Kind> {
    match i32::try_from(element).ok().and_then(|element| DataType::try_from(element).ok())? {
        DataType::Float | DataType::Float16 | DataType::Bfloat16 | DataType::Double => Some(Kind::Real),
        DataType::Int64 | DataType::Int32 => Some(Kind::Int),
        DataType::Bool => Some(Kind::Bool),
        _ => None,
    }
}

#[derive(Debug)]
struct Cast {
    to: Kind,
}

#[derive(Debug)]
struct CastLike;

fn cast<T: Scalar>(value: &Value<T>, to: Kind) -> Value<T> {
    match (value, to) {
        (Value::Real(_), Kind::Real) | (Value::Int(_), Kind::Int) | (Value::Bool(_), Kind::Bool) => value.clone(),
        (Value::Real(x), Kind::Int) => Value::Int(map(x, |x: T| x.into() as i64)),
        (Value::Real(x), Kind::Bool) => Value::Bool(map(x, |x: T| x != T::zero())),
        (Value::Int(x), Kind::Real) => map(x, |x: i64| T::of(x as f64)).into(),
        (Value::Int(x), Kind::Bool) => Value::Bool(map(x, |x: i64| x != 0)),
        (Value::Bool(x), Kind::Real) => map(x, |x: bool| if x { T::one() } else { T::zero() }).into(),
        (Value::Bool(x), Kind::Int) => Value::Int(map(x, i64::from)),
    }
}

/// Between floats the gradient is what it was; what was no float has none.
fn cast_back<T: Scalar>(call: &Call<T>, gradients: &[Option<Array<T>>]) -> Result<Gradients<T>, String> {
    let gradient = first(gradients)?;
    Ok(vec![call.inputs().value(0)?.real().is_ok().then(|| gradient.clone())])
}

impl<T: Scalar> Operator<T> for Cast {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        Ok(cast(inputs.value(0)?, self.to).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        cast_back(call, gradients)
    }
}

impl<T: Scalar> Operator<T> for CastLike {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let to = match inputs.value(1)? {
            Value::Real(_) => Kind::Real,
            Value::Int(_) => Kind::Int,
            Value::Bool(_) => Kind::Bool,
        };
        Ok(cast(inputs.value(0)?, to).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        cast_back(call, gradients)
    }
}
