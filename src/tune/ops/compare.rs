//! Comparisons and logic: truth values, which have no gradients.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value};
use crate::tune::broadcast::{map, zip};
use crate::tune::operator::{Call, Flow, Gradients, Inputs, Operator, Output, Wanted};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    let ("", op) = name(node) else { return Ok(None) };
    boxed(match op {
        "Equal" => Test::Compare(Order::Equal),
        "Greater" => Test::Compare(Order::Greater),
        "GreaterOrEqual" => Test::Compare(Order::GreaterOrEqual),
        "Less" => Test::Compare(Order::Less),
        "LessOrEqual" => Test::Compare(Order::LessOrEqual),
        "And" => Test::Join(|x, y| x && y),
        "Or" => Test::Join(|x, y| x || y),
        "Xor" => Test::Join(|x, y| x != y),
        "Not" => Test::Not,
        "IsNaN" => Test::IsNan,
        "IsInf" => {
            let (below, above) = (node.int("detect_negative", 1)?, node.int("detect_positive", 1)?);
            Test::IsInfinite { below: below != 0, above: above != 0 }
        }
        _ => return Ok(None),
    })
}

#[derive(Debug)]
enum Test {
    Compare(Order),
    Join(fn(bool, bool) -> bool),
    Not,
    IsNan,
    IsInfinite { below: bool, above: bool },
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Order {
    fn holds<E: PartialOrd>(self, x: E, y: E) -> bool {
        match self {
            Self::Equal => x == y,
            Self::Greater => x > y,
            Self::GreaterOrEqual => x >= y,
            Self::Less => x < y,
            Self::LessOrEqual => x <= y,
        }
    }
}

impl<T: Scalar> Operator<T> for Test {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let out = match self {
            Self::Compare(order) => match (inputs.value(0)?, inputs.value(1)?) {
                (Value::Int(a), Value::Int(b)) => zip(a, b, |x, y| order.holds(x, y))?,
                (Value::Bool(a), Value::Bool(b)) => zip(a, b, |x, y| order.holds(x, y))?,
                (a, b) => zip(a.real()?, b.real()?, |x, y| order.holds(x, y))?,
            },
            Self::Join(join) => zip(inputs.value(0)?.bool()?, inputs.value(1)?.bool()?, join)?,
            Self::Not => map(inputs.value(0)?.bool()?, |x: bool| !x),
            Self::IsNan => map(inputs.real(0)?, |x: T| x.is_nan()),
            Self::IsInfinite { below, above } => {
                map(inputs.real(0)?, |x: T| x.is_infinite() && if x > T::zero() { *above } else { *below })
            }
        };
        Ok(Value::Bool(out).into())
    }

    fn backward(&self, _: &Call<T>, _: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        Ok(Vec::new())
    }

    fn flow(&self) -> Flow {
        Flow::Ends
    }
}
