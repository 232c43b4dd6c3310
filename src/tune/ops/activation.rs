//! Activations that read more than one tensor: `Clip` and `PRelu`.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value};
use crate::tune::broadcast::{map, sum_to, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, opset: Opset) -> Found<T> {
    match name(node) {
        ("", "Clip") if opset >= Opset(11) => boxed(Clip { bounds: Bounds::Inputs }),
        ("", "Clip") => {
            let (least, greatest) = (node.float("min", f32::MIN)?, node.float("max", f32::MAX)?);
            boxed(Clip { bounds: Bounds::Fixed(least, greatest) })
        }
        ("", "PRelu") => boxed(PRelu),
        _ => Ok(None),
    }
}

/// Values outside of the bounds become the nearer bound. The bounds themselves get no gradient.
#[derive(Debug)]
struct Clip {
    bounds: Bounds,
}

#[derive(Debug)]
enum Bounds {
    Inputs,
    Fixed(f64, f64),
}

impl Clip {
    fn bounds<T: Scalar>(&self, inputs: Inputs<T>) -> Result<(T, T), String> {
        let bound = |i, default: T| inputs.real_if_any(i)?.map_or(Ok(default), Array::single);
        match self.bounds {
            Bounds::Inputs => Ok((bound(1, T::neg_infinity())?, bound(2, T::infinity())?)),
            Bounds::Fixed(least, greatest) => Ok((T::of(least), T::of(greatest))),
        }
    }
}

impl<T: Scalar> Operator<T> for Clip {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        if let Value::Int(x) = inputs.value(0)? {
            let bound = |i, default| inputs.get(i).map_or(Ok(default), |bound| bound.int()?.single());
            let (least, greatest) = (bound(1, i64::MIN)?, bound(2, i64::MAX)?);
            return Ok(Value::Int(map(x, |x: i64| x.max(least).min(greatest))).into());
        }
        let (least, greatest) = self.bounds(inputs)?;
        let clip = |x: T| if x < least { least } else { x };
        Ok(map(inputs.real(0)?, |x| if clip(x) > greatest { greatest } else { clip(x) }).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (least, greatest) = self.bounds(call.inputs())?;
        let inside = |g, x| if x < least || x > greatest { T::zero() } else { g };
        Ok(vec![wanted.then(0, || zip(first(gradients)?, call.inputs().real(0)?, inside))?])
    }
}

/// `x` where it is positive, else `slope · x`; the slopes stretch to `x`.
#[derive(Debug)]
struct PRelu;

impl<T: Scalar> Operator<T> for PRelu {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        Ok(zip(inputs.real(0)?, inputs.real(1)?, |x, s| if x < T::zero() { s * x } else { x })?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (x, slope, gradient) = (call.inputs().real(0)?, call.inputs().real(1)?, first(gradients)?);
        let by_x = || {
            let factor = zip(x, slope, |x, s| if x < T::zero() { s } else { T::one() })?;
            zip(gradient, &factor, |g, f| g * f)
        };
        let by_slope = || {
            let part = zip(gradient, x, |g, x| if x < T::zero() { g * x } else { T::zero() })?;
            Ok(sum_to(part, slope.dims()))
        };
        Ok(vec![wanted.then(0, by_x)?, wanted.then(1, by_slope)?])
    }
}
