//! Functions of one number: activations and the rest.

use std::fmt::Debug;

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value};
use crate::tune::broadcast::{map, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    match name(node) {
        ("", "Relu") => boxed(Each(Relu)),
        ("", "Sigmoid") => boxed(Each(Sigmoid)),
        ("", "Tanh") => boxed(Each(Tanh)),
        ("", "Erf") => boxed(Each(Erf)),
        ("", "Exp") => boxed(Each(Exp)),
        ("", "Log") => boxed(Each(Log)),
        ("", "Sqrt") => boxed(Each(Sqrt)),
        ("", "Neg") => boxed(Each(Neg)),
        ("", "Abs") => boxed(Each(Abs)),
        ("", "Reciprocal") => boxed(Each(Reciprocal)),
        ("", "Sin") => boxed(Each(Sin)),
        ("", "Cos") => boxed(Each(Cos)),
        ("", "Softplus") => boxed(Each(Softplus)),
        ("", "Softsign") => boxed(Each(Softsign)),
        ("", "Mish") => boxed(Each(Mish)),
        ("", "HardSwish") => boxed(Each(HardSwish)),
        ("", "HardSigmoid") => {
            boxed(Each(HardSigmoid { slope: node.float("alpha", 0.2)?, middle: node.float("beta", 0.5)? }))
        }
        ("", "Elu") => boxed(Each(Elu { alpha: node.float("alpha", 1.0)? })),
        ("", "Selu") => {
            let (alpha, gamma) = (node.float("alpha", 1.673_263_2)?, node.float("gamma", 1.050_701)?);
            boxed(Each(Selu { alpha, gamma }))
        }
        ("", "Celu") => boxed(Each(Celu { alpha: node.float("alpha", 1.0)? })),
        ("", "LeakyRelu") => boxed(Each(LeakyRelu { alpha: node.float("alpha", 0.01)? })),
        ("", "Gelu") => match node.text("approximate", "none")? {
            "none" => boxed(Each(Gelu)),
            "tanh" => boxed(Each(TanhGelu)),
            other => Err(format!("a Gelu with the approximation {other:?}")),
        },
        ("com.microsoft", "Gelu") => boxed(Each(Gelu)),
        ("com.microsoft", "FastGelu") if node.0.inputs.len() == 1 => boxed(Each(TanhGelu)),
        ("com.microsoft", "QuickGelu") => boxed(Each(Swish { alpha: node.float("alpha", 1.702)? })),
        ("", "Swish") => boxed(Each(Swish { alpha: node.float("alpha", 1.0)? })),
        _ => Ok(None),
    }
}

/// A function of one number.
trait Curve<T>: Debug + Send + Sync {
    fn value(&self, x: T) -> T;
    /// The derivative at `x`, where the value is `y`.
    fn slope(&self, x: T, y: T) -> T;
}

/// A curve, of each value: a type for each, so that it is compiled into the loop.
#[derive(Debug)]
struct Each<C>(C);

impl<T: Scalar, C: Curve<T>> Operator<T> for Each<C> {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        if let Value::Int(x) = inputs.value(0)? {
            // Of integers that are exact as floats; only `Neg` and `Abs` are defined for them.
            let value = |x: i64| self.0.value(T::of(x as f64)).into() as i64;
            return Ok(Value::Int(map(x, value)).into());
        }
        Ok(map(inputs.real(0)?, |x| self.0.value(x)).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let slope = zip(call.inputs().real(0)?, call.output(0)?, |x, y| self.0.slope(x, y))?;
        Ok(vec![Some(zip(first(gradients)?, &slope, |g, s| g * s)?)])
    }
}

/// Defines a curve: its name and parameters, then value and derivative.
macro_rules! curve {
    ($name:ident { $($parameter:ident),* }, |$x:ident| $value:expr, |$a:ident, $b:ident| $slope:expr) => {
        #[derive(Debug)]
        struct $name { $($parameter: f64),* }
        curve!(@ $name { $($parameter),* }, |$x| $value, |$a, $b| $slope);
    };
    ($name:ident, |$x:ident| $value:expr, |$a:ident, $b:ident| $slope:expr) => {
        #[derive(Debug)]
        struct $name;
        curve!(@ $name {}, |$x| $value, |$a, $b| $slope);
    };
    (@ $name:ident { $($parameter:ident),* }, |$x:ident| $value:expr, |$a:ident, $b:ident| $slope:expr) => {
        impl<T: Scalar> Curve<T> for $name {
            #[inline(always)]
            fn value(&self, $x: T) -> T {
                $(let $parameter = T::of(self.$parameter);)*
                $value
            }
            #[inline(always)]
            fn slope(&self, $a: T, $b: T) -> T {
                $(let $parameter = T::of(self.$parameter);)*
                $slope
            }
        }
    };
}

fn zero<T: Scalar>() -> T {
    T::zero()
}

fn one<T: Scalar>() -> T {
    T::one()
}

/// `1 / (1 + e^−x)`, without overflow.
#[inline(always)]
pub(super) fn sigmoid<T: Scalar>(x: T) -> T {
    let e = (-x.abs()).exp_nonpositive();
    let p = T::one() / (T::one() + e);
    if x < T::zero() { e * p } else { p }
}

/// `ln(1 + e^x)`, without overflow.
fn softplus<T: Scalar>(x: T) -> T {
    x.max(T::zero()) + (-x.abs()).exp_nonpositive().ln_1p()
}

curve!(Relu, |x| if x > zero() || x.is_nan() { x } else { zero() }, |x, _y| if x > zero() { one() } else { zero() });
curve!(Sigmoid, |x| sigmoid(x), |_x, y| y * (one::<T>() - y));
curve!(Tanh, |x| x.tanh(), |_x, y| one::<T>() - y * y);
curve!(Erf, |x| Scalar::erf(x), |x, _y| T::of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp_nonpositive());
curve!(Exp, |x| x.exp(), |_x, y| y);
curve!(Log, |x| x.ln(), |x, _y| one::<T>() / x);
curve!(Sqrt, |x| x.sqrt(), |_x, y| T::of(0.5) / y);
curve!(Neg, |x| -x, |_x, _y| -one::<T>());
curve!(Abs, |x| x.abs(), |x, _y| if x > zero() {
    one()
} else if x < zero() {
    -one::<T>()
} else {
    zero()
});
curve!(Reciprocal, |x| one::<T>() / x, |_x, y| -y * y);
curve!(Sin, |x| x.sin(), |x, _y| x.cos());
curve!(Cos, |x| x.cos(), |x, _y| -x.sin());
curve!(Softplus, |x| softplus(x), |x, _y| sigmoid(x));
curve!(Softsign, |x| x / (one::<T>() + x.abs()), |x, _y| {
    let d = one::<T>() + x.abs();
    one::<T>() / (d * d)
});
curve!(Mish, |x| x * softplus(x).tanh(), |x, _y| {
    let t = softplus(x).tanh();
    t + x * (one::<T>() - t * t) * sigmoid(x)
});
curve!(HardSwish, |x| x * (x / T::of(6.0) + T::of(0.5)).max(zero()).min(one()), |x, _y| {
    let three = T::of(3.0);
    if x <= -three {
        zero()
    } else if x >= three {
        one()
    } else {
        x / three + T::of(0.5)
    }
});
curve!(HardSigmoid { slope, middle }, |x| (slope * x + middle).max(zero()).min(one()), |x, _y| {
    let y = slope * x + middle;
    if y > zero() && y < one() { slope } else { zero() }
});
curve!(Elu { alpha }, |x| if x > zero() { x } else { alpha * x.exp_m1() }, |x, y| if x > zero() {
    one()
} else {
    y + alpha
});
curve!(Selu { alpha, gamma }, |x| gamma * if x > zero() { x } else { alpha * x.exp_m1() }, |x, y| {
    if x > zero() { gamma } else { y + gamma * alpha }
});
curve!(Celu { alpha }, |x| if x > zero() { x } else { alpha * (x / alpha).exp_m1() }, |x, y| if x > zero() {
    one()
} else {
    y / alpha + one::<T>()
});
curve!(LeakyRelu { alpha }, |x| if x >= zero() { x } else { alpha * x }, |x, _y| if x >= zero() {
    one()
} else {
    alpha
});
// Hendrycks & Gimpel 2016: x Φ(x), and its approximation by a tangent.
curve!(Gelu, |x| T::of(0.5) * x * (one::<T>() + Scalar::erf(x * T::of(std::f64::consts::FRAC_1_SQRT_2))), |x, _y| {
    let cumulative = T::of(0.5) * (one::<T>() + Scalar::erf(x * T::of(std::f64::consts::FRAC_1_SQRT_2)));
    // 1/√(2π)
    cumulative + x * T::of(0.398_942_280_401_432_7) * (-T::of(0.5) * x * x).exp_nonpositive()
});
curve!(TanhGelu, |x| T::of(0.5) * x * (one::<T>() + tanh_argument(x).tanh()), |x, _y| {
    let t = tanh_argument(x).tanh();
    let inner = T::of(SQRT_2_BY_PI) * (one::<T>() + T::of(3.0 * CUBIC) * x * x);
    T::of(0.5) * (one::<T>() + t) + T::of(0.5) * x * (one::<T>() - t * t) * inner
});
curve!(Swish { alpha }, |x| x * sigmoid(alpha * x), |x, y| {
    let s = sigmoid(alpha * x);
    s + alpha * y * (one::<T>() - s)
});

const SQRT_2_BY_PI: f64 = 0.797_884_560_802_865_4;
const CUBIC: f64 = 0.044_715;

#[inline(always)]
fn tanh_argument<T: Scalar>(x: T) -> T {
    T::of(SQRT_2_BY_PI) * (x + T::of(CUBIC) * x * x * x)
}
