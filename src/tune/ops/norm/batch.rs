//! `BatchNormalization` as it predicts: mean and variance are constants, and stay what they are.

use super::super::{Attributes, Found, boxed};
use super::standard::dot;
use crate::tune::array::Array;
use crate::tune::broadcast::sum;
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes) -> Found<T> {
    if node.int("training_mode", 0)? != 0 || node.0.outputs.iter().skip(1).any(|output| !output.is_empty()) {
        return Err("a BatchNormalization in training mode: export the model for inference".into());
    }
    boxed(BatchNorm { epsilon: node.float("epsilon", 1e-5)? })
}

/// `scale · (x − mean) / √(variance + ε) + bias`, by channel.
#[derive(Debug)]
struct BatchNorm {
    epsilon: f64,
}

impl BatchNorm {
    /// How many values a plane of one channel has, and `1/√(variance + ε)` of each channel.
    fn plan<T: Scalar>(&self, inputs: Inputs<T>) -> Result<(usize, Vec<T>), String> {
        let x = inputs.real(0)?.dims();
        let channels = x.get(1).copied().ok_or_else(|| format!("{x:?} has no channels"))?;
        for i in 1..5 {
            let dims = inputs.real(i)?.dims();
            if dims != [channels] {
                return Err(format!("input {i} is {dims:?} where there are {channels} channels"));
            }
        }
        let inverse = |v: &T| T::one() / (*v + T::of(self.epsilon)).sqrt();
        Ok((x.iter().skip(2).product(), inputs.real(4)?.values().iter().map(inverse).collect()))
    }
}

/// The planes of an array, each with its channel.
fn planes<T>(values: &[T], size: usize, channels: usize) -> impl Iterator<Item = (usize, &[T])> {
    values.chunks_exact(size.max(1)).enumerate().map(move |(i, plane)| (i % channels, plane))
}

impl<T: Scalar> Operator<T> for BatchNorm {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let (size, inverse) = self.plan(inputs)?;
        let (scale, bias, mean) = (inputs.real(1)?.values(), inputs.real(2)?.values(), inputs.real(3)?.values());
        let mut out = inputs.real(0)?.clone();
        for (i, plane) in out.values_mut().chunks_exact_mut(size.max(1)).enumerate() {
            let c = i % inverse.len();
            let (factor, mean, bias) = (scale[c] * inverse[c], mean[c], bias[c]);
            plane.iter_mut().for_each(|x| *x = (*x - mean) * factor + bias);
        }
        Ok(out.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        if wanted.is(3) || wanted.is(4) {
            return Err("the statistics of a BatchNormalization are frozen".into());
        }
        let inputs = call.inputs();
        let ((size, inverse), gradient) = (self.plan(inputs)?, first(gradients)?);
        let (scale, mean) = (inputs.real(1)?.values(), inputs.real(3)?.values());
        let channels = inverse.len();
        let by_x = || {
            let mut out = gradient.clone();
            for (i, plane) in out.values_mut().chunks_exact_mut(size.max(1)).enumerate() {
                let factor = scale[i % channels] * inverse[i % channels];
                plane.iter_mut().for_each(|g| *g *= factor);
            }
            Ok(out)
        };
        let by_scale = || {
            let mut sums = vec![T::zero(); channels];
            let x = planes(inputs.real(0)?.values(), size, channels);
            for ((c, g), (_, x)) in planes(gradient.values(), size, channels).zip(x) {
                sums[c] += (dot(g, x) - mean[c] * sum(g)) * inverse[c];
            }
            Ok(Array::list(sums))
        };
        let by_bias = || {
            let mut sums = vec![T::zero(); channels];
            planes(gradient.values(), size, channels).for_each(|(c, g)| sums[c] += sum(g));
            Ok(Array::list(sums))
        };
        Ok(vec![wanted.then(0, by_x)?, wanted.then(1, by_scale)?, wanted.then(2, by_bias)?])
    }
}
