//! Values at given places: `Gather`, `GatherElements`, `GatherND`.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, each};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axis, first};
use crate::tune::scalar::Scalar;

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    match name(node) {
        ("", "Gather") => boxed(Gather::Along { axis: node.int("axis", 0)? }),
        ("", "GatherElements") => boxed(Gather::Elements { axis: node.int("axis", 0)? }),
        ("", "GatherND") => match node.int("batch_dims", 0)? {
            0 => boxed(Gather::Points),
            other => Err(format!("a GatherND with batch_dims {other}")),
        },
        _ => Ok(None),
    }
}

#[derive(Debug)]
enum Gather {
    /// Whole slices along an axis.
    Along { axis: i64 },
    /// For each index, the value there on an axis, elsewhere where the index itself stands.
    Elements { axis: i64 },
    /// Slices at points, whose coordinates are the last axis of the indices.
    Points,
}

/// Where the runs of neighbouring values that were read begin, how long they are, and the sizes of the result.
struct Plan {
    starts: Vec<usize>,
    length: usize,
    out: Vec<usize>,
}

/// A place, counted from the end where it is negative.
fn place(index: i64, size: usize) -> Result<usize, String> {
    let from_front = if index < 0 { index + size as i64 } else { index };
    usize::try_from(from_front).ok().filter(|&i| i < size).ok_or_else(|| format!("index {index} is not among {size}"))
}

impl Gather {
    fn plan<T: Scalar>(&self, inputs: Inputs<T>) -> Result<Plan, String> {
        let (dims, at) = (inputs.value(0)?.dims(), inputs.value(1)?);
        let (index_dims, indices) = (at.dims(), at.int()?.values());
        match self {
            Self::Along { axis: along } => {
                let along = axis(*along, dims.len())?;
                let length: usize = dims[along + 1..].iter().product();
                let outer: usize = dims[..along].iter().product();
                let places = indices.iter().map(|&i| place(i, dims[along])).collect::<Result<Vec<usize>, String>>()?;
                let start = |o: usize, p: usize| (o * dims[along] + p) * length;
                let starts = (0..outer).flat_map(|o| places.iter().map(move |&p| start(o, p))).collect();
                let out = [&dims[..along], index_dims, &dims[along + 1..]].concat();
                Ok(Plan { starts, length, out })
            }
            Self::Elements { axis: along } => {
                let along = axis(*along, dims.len())?;
                let fits = |i: usize| i == along || index_dims[i] <= dims[i];
                if index_dims.len() != dims.len() || !(0..dims.len()).all(fits) {
                    return Err(format!("indices of {index_dims:?} into {dims:?}"));
                }
                let start = |(n, &index): (usize, &i64)| {
                    let (mut rest, mut stride, mut start) = (n, 1, 0);
                    for i in (0..dims.len()).rev() {
                        let own = rest % index_dims[i];
                        rest /= index_dims[i];
                        start += stride * if i == along { place(index, dims[i])? } else { own };
                        stride *= dims[i];
                    }
                    Ok(start)
                };
                let starts = indices.iter().enumerate().map(start).collect::<Result<Vec<usize>, String>>()?;
                Ok(Plan { starts, length: 1, out: index_dims.to_vec() })
            }
            Self::Points => {
                let fail = || format!("indices of {index_dims:?} into {dims:?}");
                let (&depth, outer) = index_dims.split_last().ok_or_else(fail)?;
                let rest = dims.get(depth..).filter(|_| depth > 0).ok_or_else(fail)?;
                let length: usize = rest.iter().product();
                let start = |point: &[i64]| {
                    let place = point.iter().zip(dims).try_fold(0, |start, (&i, &d)| Ok(start * d + place(i, d)?));
                    place.map(|place: usize| place * length)
                };
                let starts = indices.chunks_exact(depth).map(start).collect::<Result<Vec<usize>, String>>()?;
                Ok(Plan { starts, length, out: [outer, rest].concat() })
            }
        }
    }
}

impl Plan {
    fn read<E: Clone>(&self, array: &Array<E>) -> Result<Array<E>, String> {
        let run = |&start: &usize| array.values()[start..start + self.length].iter().cloned();
        Array::new(self.out.clone(), self.starts.iter().flat_map(run).collect())
    }
}

impl<T: Scalar> Operator<T> for Gather {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let plan = self.plan(inputs)?;
        Ok(each!(inputs.value(0)?, array => plan.read(array)?).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let (plan, gradient) = (self.plan(call.inputs())?, first(gradients)?);
        let mut out = Array::filled(call.inputs().value(0)?.dims(), T::zero());
        let target = out.values_mut();
        for (&start, values) in plan.starts.iter().zip(gradient.values().chunks_exact(plan.length.max(1))) {
            target[start..start + plan.length].iter_mut().zip(values).for_each(|(t, v)| *t += *v);
        }
        Ok(vec![Some(out)])
    }
}
