//! Normalisations: over the last axes, over groups of channels, and with the frozen statistics of a batch.

mod batch;
mod standard;

pub(super) use self::standard::dot;
use self::standard::{standardised, way_back};
use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::Array;
use crate::tune::broadcast::{sum_to, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axis, first};
use crate::tune::scalar::Scalar;
use crate::tune::strided::{View, collect};

pub(super) fn build<T: Scalar>(node: Attributes, opset: Opset) -> Found<T> {
    let epsilon = || node.float("epsilon", 1e-5);
    match name(node) {
        ("", "LayerNormalization") => {
            boxed(Norm { over: Over::Last { axis: node.int("axis", -1)? }, epsilon: epsilon()? })
        }
        ("", "InstanceNormalization") => boxed(Norm { over: Over::Channels, epsilon: epsilon()? }),
        ("", "GroupNormalization") => {
            let groups = node.int("num_groups", 0)?;
            let groups = usize::try_from(groups).ok().filter(|&g| g > 0).ok_or("num_groups is not positive")?;
            let affine = if opset < Opset(21) { Affine::Groups } else { Affine::Channels };
            boxed(Norm { over: Over::Groups { groups, affine }, epsilon: epsilon()? })
        }
        ("", "BatchNormalization") => batch::build(node),
        _ => Ok(None),
    }
}

/// `scale · (x − mean) / √(variance + ε) + bias`, where mean and variance are those of a part of x itself.
#[derive(Debug)]
struct Norm {
    over: Over,
    epsilon: f64,
}

/// The parts that have a mean and a variance each.
#[derive(Debug, Clone, Copy)]
enum Over {
    /// All axes from this one on.
    Last { axis: i64 },
    /// Each channel.
    Channels,
    /// As many groups of neighbouring channels.
    Groups { groups: usize, affine: Affine },
}

/// What has a scale and a bias of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affine {
    Groups,
    Channels,
}

impl Norm {
    /// How many values a part has.
    fn length(&self, dims: &[usize]) -> Result<usize, String> {
        let channels = dims.get(1).copied().unwrap_or(0);
        match self.over {
            Over::Last { axis: first } => Ok(dims[axis(first, dims.len())?..].iter().product()),
            Over::Channels => Ok(dims.iter().skip(2).product()),
            Over::Groups { groups, .. } if channels % groups == 0 && channels > 0 => {
                Ok(channels / groups * dims.iter().skip(2).product::<usize>())
            }
            Over::Groups { groups, .. } => Err(format!("{channels} channels are no {groups} groups")),
        }
    }

    /// Scale or bias, with sizes that stretch to those of x.
    fn affine<T: Scalar>(&self, values: &Array<T>, dims: &[usize]) -> Result<Array<T>, String> {
        let channels = dims.get(1).copied().unwrap_or(0);
        let mut by_channel = vec![1; dims.len().saturating_sub(1)];
        if let Some(first) = by_channel.first_mut() {
            *first = channels;
        }
        match self.over {
            Over::Last { .. } => Ok(values.clone()),
            Over::Groups { groups, affine: Affine::Groups } => {
                let view = View::whole(&[groups, 1]).stretched(&[groups, channels / groups]);
                let own = values.reshaped(&[groups, 1])?;
                Array::new(by_channel, collect(own.values(), &view))
            }
            Over::Channels | Over::Groups { .. } => values.reshaped(&by_channel),
        }
    }

    /// The gradient of scale or bias from that of each value.
    fn affine_back<T: Scalar>(&self, gradient: Array<T>, like: &Array<T>) -> Result<Array<T>, String> {
        let dims = gradient.dims().to_vec();
        match self.over {
            Over::Last { .. } => Ok(sum_to(gradient, like.dims())),
            Over::Groups { groups, affine: Affine::Groups } => {
                let n = dims.first().copied().unwrap_or(0);
                let rest = gradient.values().len() / (n * groups).max(1);
                let sums = sum_to(gradient.reshaped(&[n, groups, rest])?, &[1, groups, 1]);
                sums.reshaped(like.dims())
            }
            Over::Channels | Over::Groups { .. } => {
                let mut by_channel = vec![1; dims.len()];
                by_channel[1] = dims[1];
                sum_to(gradient, &by_channel).reshaped(like.dims())
            }
        }
    }
}

impl<T: Scalar> Operator<T> for Norm {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let (x, scale) = (inputs.real(0)?, inputs.real(1)?);
        let (normal, inverse) = standardised(x.values(), self.length(x.dims())?, T::of(self.epsilon));
        let normal = Array::new(x.dims().to_vec(), normal)?;
        let mut out = zip(&normal, &self.affine(scale, x.dims())?, |x, s| x * s)?;
        if let Some(bias) = inputs.real_if_any(2)? {
            out = zip(&out, &self.affine(bias, x.dims())?, |x, b| x + b)?;
        }
        if out.dims() != x.dims() {
            return Err(format!("a scale of {:?} does not stretch to {:?}", scale.dims(), x.dims()));
        }
        Ok(Output { values: vec![out.into()], saved: vec![normal, Array::list(inverse)] })
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (scale, normal, inverse) = (call.inputs().real(1)?, call.saved(0)?, call.saved(1)?);
        let gradient = first(gradients)?;
        let by_x = || {
            let mut by_x = zip(gradient, &self.affine(scale, normal.dims())?, |g, s| g * s)?;
            let length = self.length(normal.dims())?;
            way_back(by_x.values_mut(), normal.values(), inverse.values(), length);
            Ok(by_x)
        };
        let by_scale = || self.affine_back(zip(gradient, normal, |g, x| g * x)?, scale);
        let by_bias = || self.affine_back(gradient.clone(), call.inputs().real(2)?);
        Ok(vec![wanted.then(0, by_x)?, wanted.then(1, by_scale)?, wanted.then(2, by_bias)?])
    }
}
