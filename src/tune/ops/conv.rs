//! `Conv` in one or two dimensions: with groups, strides, dilations and padding.

mod depthwise;
mod general;

use super::window::{Axis, Window};
use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::Array;
use crate::tune::broadcast::{sum, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    match name(node) {
        ("", "Conv") => {
            let groups = node.int("group", 1)?;
            let groups = usize::try_from(groups).ok().filter(|&g| g > 0);
            let groups = groups.ok_or("attribute group is not positive")?;
            boxed(Conv { groups, window: Window::read(node)? })
        }
        _ => Ok(None),
    }
}

#[derive(Debug)]
struct Conv {
    groups: usize,
    window: Window,
}

/// How many times as many values as those of a plane and of its result may be computed for them.
const SPARE: usize = 4;

/// The sizes of one convolution.
#[derive(Debug, Clone, Copy)]
struct Plan {
    images: usize,
    groups: usize,
    /// Channels of one group that are read, and filters of one group.
    channels: usize,
    filters: usize,
    height: Axis,
    width: Axis,
}

impl Plan {
    /// Values of one group of one image that are read.
    fn input(&self) -> usize {
        self.channels * self.height.input * self.width.input
    }

    /// Places of the result.
    fn places(&self) -> usize {
        self.height.output * self.width.output
    }

    /// Groups of one channel, in which neither padding nor strides leave much out of what is computed.
    fn is_depthwise(&self) -> bool {
        let padded = self.height.padded().saturating_mul(self.width.padded());
        self.channels == 1 && self.groups > 1 && padded <= SPARE * (self.input() + self.places())
    }

    /// Values of one filter.
    fn filter(&self) -> usize {
        self.channels * self.height.kernel * self.width.kernel
    }
}

impl Conv {
    fn plan(&self, x: &[usize], w: &[usize]) -> Result<Plan, String> {
        let (&[images, channels, ..], &[filters, own, ref kernel @ ..]) = (x, w) else {
            return Err(format!("{x:?} and {w:?} are no images and filters"));
        };
        let [height, width] = self.window.axes(x, Some(kernel))?;
        if own * self.groups != channels || filters % self.groups != 0 {
            return Err(format!("{x:?} and {w:?} are no images and filters of {} groups", self.groups));
        }
        Ok(Plan { images, groups: self.groups, channels: own, filters: filters / self.groups, height, width })
    }
}

impl<T: Scalar> Operator<T> for Conv {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let (x, w) = (inputs.real(0)?, inputs.real(1)?);
        let plan = self.plan(x.dims(), w.dims())?;
        let out = match plan.is_depthwise() {
            true => depthwise::forward(&plan, x.values(), w.values()),
            false => general::forward(&plan, x.values(), w.values()),
        };
        let mut dims = vec![plan.images, plan.groups * plan.filters];
        dims.extend((x.rank() == 4).then_some(plan.height.output));
        dims.push(plan.width.output);
        let out = Array::new(dims, out)?;
        let Some(bias) = inputs.real_if_any(2)? else { return Ok(out.into()) };
        let mut by_channel = vec![1; x.rank() - 1];
        by_channel[0] = plan.groups * plan.filters;
        Ok(zip(&out, &bias.reshaped(&by_channel)?, |y, b| y + b)?.into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (x, w) = (call.inputs().real(0)?, call.inputs().real(1)?);
        let plan = self.plan(x.dims(), w.dims())?;
        let gradient = first(gradients)?.values();
        let by_x = || {
            let out = match plan.is_depthwise() {
                true => depthwise::by_input(&plan, w.values(), gradient),
                false => general::by_input(&plan, w.values(), gradient),
            };
            Array::new(x.dims().to_vec(), out)
        };
        let by_w = || {
            let out = match plan.is_depthwise() {
                true => depthwise::by_weight(&plan, x.values(), gradient),
                false => general::by_weight(&plan, x.values(), gradient),
            };
            Array::new(w.dims().to_vec(), out)
        };
        let by_bias = || {
            let mut sums = vec![T::zero(); plan.groups * plan.filters];
            for image in gradient.chunks_exact((plan.places() * sums.len()).max(1)) {
                sums.iter_mut().zip(image.chunks_exact(plan.places())).for_each(|(s, plane)| *s += sum(plane));
            }
            Ok(Array::list(sums))
        };
        Ok(vec![wanted.then(0, by_x)?, wanted.then(1, by_w)?, wanted.then(2, by_bias)?])
    }
}
