//! Parts of a tensor, and a tensor with an edge around it: `Slice`, `Split`, `Pad`.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value, each};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axis, first};
use crate::tune::scalar::Scalar;
use crate::tune::strided::{View, add_at, collect, place};

pub(super) fn build<T: Scalar>(node: Attributes, opset: Opset) -> Found<T> {
    match name(node) {
        ("", "Slice") => {
            let list = |name| Ok::<_, String>(node.ints(name)?.map(<[i64]>::to_vec));
            let fixed = match (list("starts")?, list("ends")?) {
                (Some(starts), Some(ends)) if opset < Opset(10) => Some(Bounds { starts, ends, axes: list("axes")? }),
                _ => None,
            };
            boxed(Slice { fixed })
        }
        ("", "Split") => boxed(Split {
            axis: node.int("axis", 0)?,
            lengths: node.ints("split")?.map(<[i64]>::to_vec),
            parts: node.0.outputs.len(),
        }),
        ("", "Pad") => match node.text("mode", "constant")? {
            "constant" => {
                let before_11 =
                    node.ints("pads")?.map(|pads| Ok::<_, String>((pads.to_vec(), node.float("value", 0.0)?)));
                boxed(Pad { fixed: before_11.transpose()? })
            }
            other => Err(format!("a Pad of mode {other:?}")),
        },
        _ => Ok(None),
    }
}

/// The gradient of an array of which the view was read.
fn spread<T: Scalar>(gradient: &Array<T>, view: &View, dims: &[usize]) -> Array<T> {
    let mut out = Array::filled(dims, T::zero());
    add_at(out.values_mut(), view, gradient.values());
    out
}

fn part<E: Copy + Default + Send + Sync>(array: &Array<E>, view: &View) -> Result<Array<E>, String> {
    Array::new(view.dims.clone(), collect(array.values(), view))
}

/// From start to end along some axes, in steps.
#[derive(Debug)]
struct Slice {
    /// Starts, ends and axes, which are inputs from version 10 on.
    fixed: Option<Bounds>,
}

#[derive(Debug)]
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
}

impl Slice {
    fn view<T: Scalar>(&self, inputs: Inputs<T>) -> Result<View, String> {
        let dims = inputs.value(0)?.dims();
        let (starts, ends, axes, steps) = match &self.fixed {
            Some(Bounds { starts, ends, axes }) => (&starts[..], &ends[..], axes.as_deref(), None),
            None => (inputs.ints(1)?, inputs.ints(2)?, inputs.ints_if_any(3)?, inputs.ints_if_any(4)?),
        };
        if ends.len() != starts.len()
            || axes.is_some_and(|axes| axes.len() != starts.len())
            || steps.is_some_and(|steps| steps.len() != starts.len())
        {
            return Err("its starts, ends, axes and steps are not equally many".into());
        }
        let mut view = View::whole(dims);
        for (i, (&start, &end)) in starts.iter().zip(ends).enumerate() {
            let along = axis(axes.map_or(i as i64, |axes| axes[i]), dims.len())?;
            let step = steps.map_or(1, |steps| steps[i]);
            let (start, length) = stretch(start, end, step, dims[along] as i64)?;
            view = view.sliced(along, start, step as isize, length);
        }
        Ok(view)
    }
}

/// The first place and how many, as Python slices do it.
fn stretch(start: i64, end: i64, step: i64, size: i64) -> Result<(usize, usize), String> {
    let from_front = |place: i64| if place < 0 { place.saturating_add(size) } else { place };
    // Backwards, the end may lie before the first place.
    let (least, greatest) = match step {
        0 => return Err("a step of 0".into()),
        1.. => (0, size),
        _ => (-1, size - 1),
    };
    let start = from_front(start).clamp(least.max(0), greatest.max(0));
    let end = from_front(end).clamp(least, greatest);
    let distance = if step > 0 { end - start } else { start - end };
    let length = if distance > 0 && size > 0 {
        distance.div_euclid(step.abs()) + i64::from(distance % step.abs() > 0)
    } else {
        0
    };
    Ok((start as usize, length as usize))
}

impl<T: Scalar> Operator<T> for Slice {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let view = self.view(inputs)?;
        Ok(each!(inputs.value(0)?, array => part(array, &view)?).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let view = self.view(call.inputs())?;
        Ok(vec![Some(spread(first(gradients)?, &view, call.inputs().value(0)?.dims()))])
    }
}

/// Neighbouring parts along an axis.
#[derive(Debug)]
struct Split {
    axis: i64,
    lengths: Option<Vec<i64>>,
    /// Without lengths: so many that are as equal as may be.
    parts: usize,
}

impl Split {
    fn views<T: Scalar>(&self, inputs: Inputs<T>) -> Result<Vec<View>, String> {
        let dims = inputs.value(0)?.dims();
        let along = axis(self.axis, dims.len())?;
        let lengths = match (&self.lengths, inputs.ints_if_any(1)?) {
            (Some(lengths), _) => super::shape::sizes(lengths)?,
            (None, Some(lengths)) => super::shape::sizes(lengths)?,
            (None, None) => {
                let length = dims[along].div_ceil(self.parts.max(1));
                (0..self.parts).map(|i| length.min(dims[along].saturating_sub(i * length))).collect()
            }
        };
        if lengths.iter().sum::<usize>() != dims[along] {
            return Err(format!("parts of {lengths:?} are not the {} there are", dims[along]));
        }
        let mut start = 0;
        let mut view = |length: usize| {
            start += length;
            View::whole(dims).sliced(along, start - length, 1, length)
        };
        Ok(lengths.into_iter().map(&mut view).collect())
    }
}

impl<T: Scalar> Operator<T> for Split {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let x = inputs.value(0)?;
        let part = |view: &View| Ok(each!(x, array => part(array, view)?));
        let values = self.views(inputs)?.iter().map(part).collect::<Result<Vec<Value<T>>, String>>()?;
        Ok(Output { values, saved: Vec::new() })
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let mut out = Array::filled(call.inputs().value(0)?.dims(), T::zero());
        for (view, gradient) in self.views(call.inputs())?.iter().zip(gradients) {
            if let Some(gradient) = gradient {
                place(out.values_mut(), view, gradient.values());
            }
        }
        Ok(vec![Some(out)])
    }
}

/// A constant edge around a tensor.
#[derive(Debug)]
struct Pad {
    /// How much, before each axis and then behind each, and the value: inputs from version 11 on.
    fixed: Option<(Vec<i64>, f64)>,
}

impl Pad {
    /// The sizes with the edge, and the inner part of them.
    fn view<T: Scalar>(&self, inputs: Inputs<T>) -> Result<(Vec<usize>, View), String> {
        let dims = inputs.value(0)?.dims();
        let pads = match &self.fixed {
            Some((pads, _)) => pads,
            None => inputs.ints(1)?,
        };
        let along: Vec<i64> = match inputs.ints_if_any(3)? {
            Some(axes) if self.fixed.is_none() => axes.to_vec(),
            _ => (0..dims.len() as i64).collect(),
        };
        let along = crate::tune::operator::axes(&along, dims.len())?;
        let pads = super::shape::sizes(pads).map_err(|_| "an edge of negative width".to_owned())?;
        if pads.len() != 2 * along.len() {
            return Err(format!("{} widths of the edges of {} axes", pads.len(), along.len()));
        }
        let mut all = dims.to_vec();
        for (i, &axis) in along.iter().enumerate() {
            all[axis] += pads[i] + pads[i + along.len()];
        }
        let mut view = View::whole(&all);
        for (i, &axis) in along.iter().enumerate() {
            view = view.sliced(axis, pads[i], 1, dims[axis]);
        }
        Ok((all, view))
    }
}

fn framed<E: Copy>(array: &Array<E>, all: &[usize], view: &View, edge: E) -> Array<E> {
    let mut out = Array::filled(all, edge);
    place(out.values_mut(), view, array.values());
    out
}

impl<T: Scalar> Operator<T> for Pad {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let (all, view) = self.view(inputs)?;
        Ok(match (inputs.value(0)?, inputs.get(2), &self.fixed) {
            (Value::Real(x), _, Some((_, edge))) => framed(x, &all, &view, T::of(*edge)).into(),
            (Value::Real(x), edge, None) => {
                let edge = edge.map_or(Ok(T::zero()), |edge| edge.real()?.single())?;
                framed(x, &all, &view, edge).into()
            }
            (Value::Int(x), edge, _) => {
                let edge = edge.map_or(Ok(0), |edge| edge.int()?.single())?;
                Value::Int(framed(x, &all, &view, edge)).into()
            }
            (Value::Bool(x), edge, _) => {
                let edge = edge.map_or(Ok(false), |edge| edge.bool()?.single())?;
                Value::Bool(framed(x, &all, &view, edge)).into()
            }
        })
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        if wanted.is(2) {
            return Err("the value of an edge has no gradient here".into());
        }
        let (_, view) = self.view(call.inputs())?;
        Ok(vec![Some(part(first(gradients)?, &view)?)])
    }
}
