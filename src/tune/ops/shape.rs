//! The same values in another shape or order, or repeated.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value, each};
use crate::tune::broadcast::{stretched, sum_to};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axes, axis, first};
use crate::tune::scalar::Scalar;
use crate::tune::strided::{View, collect};

pub(super) fn build<T: Scalar>(node: Attributes, opset: Opset) -> Found<T> {
    let axes = || {
        Ok::<_, String>(match node.ints("axes")? {
            Some(axes) => Axes::Fixed(axes.to_vec()),
            None => Axes::Input,
        })
    };
    match name(node) {
        ("", "Identity") => boxed(Reshape::AsItIs),
        ("", "Dropout") => {
            if opset < Opset(7) && node.int("is_test", 0)? == 0 {
                return Err("a Dropout in training mode: export the model for inference".into());
            }
            boxed(Reshape::Dropout)
        }
        ("", "Reshape") => {
            boxed(Reshape::To { zero: if node.int("allowzero", 0)? == 0 { Zero::Copies } else { Zero::Holds } })
        }
        ("", "Flatten") => boxed(Reshape::Flatten { axis: node.int("axis", 1)? }),
        ("", "Squeeze") => boxed(Reshape::Squeeze(axes()?)),
        ("", "Unsqueeze") => boxed(Reshape::Unsqueeze(axes()?)),
        ("", "Transpose") => boxed(Transpose { order: node.ints("perm")?.map(<[i64]>::to_vec) }),
        ("", "Expand") => boxed(Expand),
        ("", "Tile") => boxed(Tile),
        _ => Ok(None),
    }
}

/// The same values under other sizes.
#[derive(Debug)]
enum Reshape {
    AsItIs,
    /// As it is: dropout is over when a model predicts.
    Dropout,
    To {
        zero: Zero,
    },
    Flatten {
        axis: i64,
    },
    Squeeze(Axes),
    Unsqueeze(Axes),
}

/// What a wanted size of 0 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zero {
    /// As many as there were.
    Copies,
    /// None.
    Holds,
}

#[derive(Debug)]
enum Axes {
    Fixed(Vec<i64>),
    /// The second input, if there is one.
    Input,
}

impl Axes {
    fn read<'a, T: Clone>(&'a self, inputs: Inputs<'a, T>) -> Result<Option<&'a [i64]>, String> {
        match self {
            Self::Fixed(axes) => Ok(Some(axes)),
            Self::Input => inputs.ints_if_any(1),
        }
    }
}

impl Reshape {
    fn dims<T: Scalar>(&self, inputs: Inputs<T>) -> Result<Vec<usize>, String> {
        let dims = inputs.value(0)?.dims();
        Ok(match self {
            Self::AsItIs => dims.to_vec(),
            Self::Dropout => match inputs.get(2) {
                Some(mode) if mode.bool()?.single()? => return Err("a Dropout in training mode".into()),
                _ => dims.to_vec(),
            },
            Self::To { zero } => wanted(dims, inputs.ints(1)?, *zero)?,
            Self::Flatten { axis: at } => {
                let at = if *at == dims.len() as i64 { dims.len() } else { axis(*at, dims.len())? };
                vec![dims[..at].iter().product(), dims[at..].iter().product()]
            }
            Self::Squeeze(at) => {
                let at = at.read(inputs)?.map(|at| axes(at, dims.len())).transpose()?;
                if let Some(wrong) = at.iter().flatten().find(|&&axis| dims[axis] != 1) {
                    return Err(format!("axis {wrong} of {dims:?} is not 1"));
                }
                let goes = |axis: usize| at.as_ref().map_or(dims[axis] == 1, |at| at.contains(&axis));
                (0..dims.len()).filter(|&axis| !goes(axis)).map(|axis| dims[axis]).collect()
            }
            Self::Unsqueeze(at) => {
                let at = at.read(inputs)?.ok_or("it has no axes")?;
                let rank = dims.len() + at.len();
                let at = axes(at, rank)?;
                let mut rest = dims.iter().copied();
                (0..rank).map(|axis| if at.contains(&axis) { 1 } else { rest.next().unwrap_or(1) }).collect()
            }
        })
    }
}

/// The sizes that a `Reshape` asks for: −1 is whatever is left.
fn wanted(dims: &[usize], target: &[i64], zero: Zero) -> Result<Vec<usize>, String> {
    let fail = || format!("{dims:?} cannot be seen as {target:?}");
    let mut sizes = Vec::with_capacity(target.len());
    let mut open = None;
    for (i, &size) in target.iter().enumerate() {
        sizes.push(match size {
            -1 if open.replace(i).is_none() => 1,
            0 if zero == Zero::Copies => *dims.get(i).ok_or_else(fail)?,
            size => usize::try_from(size).map_err(|_| fail())?,
        });
    }
    if let Some(open) = open {
        let known = crate::tune::array::count(&sizes).filter(|&n| n > 0).ok_or_else(fail)?;
        sizes[open] = dims.iter().product::<usize>() / known;
    }
    Ok(sizes)
}

impl<T: Scalar> Operator<T> for Reshape {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let dims = self.dims(inputs)?;
        let value = each!(inputs.value(0)?, array => array.reshaped(&dims)?);
        match self {
            // The mask that some exports name, and nothing reads.
            Self::Dropout => {
                let mask = Value::Bool(Array::filled(&dims, true));
                Ok(Output { values: vec![value, mask], saved: Vec::new() })
            }
            _ => Ok(value.into()),
        }
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        Ok(vec![Some(first(gradients)?.reshaped(call.inputs().value(0)?.dims())?)])
    }
}

/// The axes in another order; without one, turned about.
#[derive(Debug)]
struct Transpose {
    order: Option<Vec<i64>>,
}

impl Transpose {
    fn order(&self, rank: usize) -> Result<Vec<usize>, String> {
        let Some(order) = &self.order else { return Ok((0..rank).rev().collect()) };
        let known = axes(order, rank)?;
        match (0..rank).all(|axis| known.contains(&axis)) && known.len() == rank {
            true => Ok(known),
            false => Err(format!("attribute perm {order:?} does not order {rank} axes")),
        }
    }
}

fn turned<E: Copy + Default + Send + Sync>(array: &Array<E>, order: &[usize]) -> Result<Array<E>, String> {
    let view = View::whole(array.dims()).permuted(order);
    let values = collect(array.values(), &view);
    Array::new(view.dims, values)
}

impl<T: Scalar> Operator<T> for Transpose {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let x = inputs.value(0)?;
        let order = self.order(x.dims().len())?;
        Ok(each!(x, array => turned(array, &order)?).into())
    }

    fn backward(&self, _: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let gradient = first(gradients)?;
        let order = self.order(gradient.rank())?;
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
        Ok(vec![Some(turned(gradient, &back)?)])
    }
}

/// Stretched to the sizes of the second input, and what stretches to it.
#[derive(Debug)]
struct Expand;

fn repeated<E: Copy + Default + Send + Sync>(array: &Array<E>, dims: &[usize]) -> Result<Array<E>, String> {
    let view = View::whole(array.dims()).stretched(dims);
    let values = collect(array.values(), &view);
    Array::new(view.dims, values)
}

impl<T: Scalar> Operator<T> for Expand {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let x = inputs.value(0)?;
        let target = sizes(inputs.ints(1)?)?;
        let dims = stretched(x.dims(), &target)?;
        Ok(each!(x, array => repeated(array, &dims)?).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        Ok(vec![Some(sum_to(first(gradients)?.clone(), call.inputs().value(0)?.dims()))])
    }
}

/// The whole, so many times along each axis.
#[derive(Debug)]
struct Tile;

/// Each axis becomes two: the repeats, of which there is one, and the axis itself.
fn pairs(dims: &[usize], repeats: &[usize]) -> Vec<usize> {
    repeats.iter().zip(dims).flat_map(|(&n, &d)| [n, d]).collect()
}

impl<T: Scalar> Operator<T> for Tile {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let (x, repeats) = (inputs.value(0)?, sizes(inputs.ints(1)?)?);
        let dims = x.dims();
        if repeats.len() != dims.len() {
            return Err(format!("{} repeats of {} axes", repeats.len(), dims.len()));
        }
        let (single, many) = (pairs(dims, &vec![1; dims.len()]), pairs(dims, &repeats));
        let out: Vec<usize> = dims.iter().zip(&repeats).map(|(d, n)| d * n).collect();
        Ok(each!(x, array => repeated(&array.reshaped(&single)?, &many)?.reshaped(&out)?).into())
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], _: Wanted) -> Result<Gradients<T>, String> {
        let (dims, repeats) = (call.inputs().value(0)?.dims(), sizes(call.inputs().ints(1)?)?);
        let (single, many) = (pairs(dims, &vec![1; dims.len()]), pairs(dims, &repeats));
        Ok(vec![Some(sum_to(first(gradients)?.reshaped(&many)?, &single).reshaped(dims)?)])
    }
}

/// Sizes that an input says.
pub(super) fn sizes(values: &[i64]) -> Result<Vec<usize>, String> {
    values.iter().map(|&v| usize::try_from(v).map_err(|_| format!("a size of {v}"))).collect()
}
