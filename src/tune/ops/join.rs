//! Several tensors become one: `Concat` and `Where`.

use super::{Attributes, Found, Opset, boxed, name};
use crate::tune::array::{Array, Value};
use crate::tune::broadcast::{sum_to, zip};
use crate::tune::operator::{Call, Gradients, Inputs, Operator, Output, Wanted, axis, first};
use crate::tune::scalar::Scalar;
use crate::tune::strided::{View, collect, place};

pub(super) fn build<T: Scalar>(node: Attributes, _: Opset) -> Found<T> {
    match name(node) {
        ("", "Concat") => boxed(Concat { axis: node.int_if_any("axis")?.ok_or("it has no attribute axis")? }),
        ("", "Where") => boxed(Where),
        _ => Ok(None),
    }
}

/// One behind the other along an axis.
#[derive(Debug)]
struct Concat {
    axis: i64,
}

impl Concat {
    /// The sizes of the whole, and each part in it.
    fn views(&self, parts: &[&[usize]]) -> Result<(Vec<usize>, Vec<View>), String> {
        let first = parts.first().ok_or("it has no inputs")?;
        let along = axis(self.axis, first.len())?;
        let fits =
            |dims: &[usize]| dims.len() == first.len() && (0..dims.len()).all(|i| i == along || dims[i] == first[i]);
        if let Some(other) = parts.iter().find(|dims| !fits(dims)) {
            return Err(format!("{first:?} and {other:?} differ along another axis than {along}"));
        }
        let mut dims = first.to_vec();
        dims[along] = parts.iter().map(|part| part[along]).sum();
        let mut start = 0;
        let mut view = |part: &&[usize]| {
            start += part[along];
            View::whole(&dims).sliced(along, start - part[along], 1, part[along])
        };
        let views = parts.iter().map(&mut view).collect();
        Ok((dims, views))
    }

    fn join<E: Copy>(&self, parts: &[&Array<E>], default: E) -> Result<Array<E>, String> {
        let sizes: Vec<&[usize]> = parts.iter().map(|part| part.dims()).collect();
        let (dims, views) = self.views(&sizes)?;
        let mut out = Array::filled(&dims, default);
        let target = out.values_mut();
        parts.iter().zip(&views).for_each(|(part, view)| place(target, view, part.values()));
        Ok(out)
    }
}

impl<T: Scalar> Operator<T> for Concat {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let parts = (0..inputs.len()).map(|i| inputs.value(i)).collect::<Result<Vec<&Value<T>>, String>>()?;
        Ok(match parts.first() {
            Some(Value::Int(_)) => {
                let parts = parts.iter().map(|part| part.int()).collect::<Result<Vec<_>, String>>()?;
                Value::Int(self.join(&parts, 0)?).into()
            }
            Some(Value::Bool(_)) => {
                let parts = parts.iter().map(|part| part.bool()).collect::<Result<Vec<_>, String>>()?;
                Value::Bool(self.join(&parts, false)?).into()
            }
            _ => {
                let parts = parts.iter().map(|part| part.real()).collect::<Result<Vec<_>, String>>()?;
                self.join(&parts, T::zero())?.into()
            }
        })
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let inputs = call.inputs();
        let sizes = (0..inputs.len()).map(|i| Ok(inputs.value(i)?.dims())).collect::<Result<Vec<_>, String>>()?;
        let (gradient, (_, views)) = (first(gradients)?, self.views(&sizes)?);
        let part = |view: &View| Array::new(view.dims.clone(), collect(gradient.values(), view));
        views.iter().enumerate().map(|(i, view)| wanted.then(i, || part(view))).collect()
    }
}

/// From the second where the first is true, else from the third.
#[derive(Debug)]
struct Where;

fn chosen<E: Copy + Default + Send + Sync>(
    condition: &Array<bool>,
    yes: &Array<E>,
    no: &Array<E>,
    default: E,
) -> Result<Array<E>, String> {
    // In two steps of pairs: first what is chosen of the one, then the rest of the other.
    let from_yes = zip(condition, yes, |c, y| (c, if c { y } else { default }))?;
    zip(&from_yes, no, |(c, y), n| if c { y } else { n })
}

impl<T: Scalar> Operator<T> for Where {
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String> {
        let condition = inputs.value(0)?.bool()?;
        Ok(match (inputs.value(1)?, inputs.value(2)?) {
            (Value::Int(yes), Value::Int(no)) => Value::Int(chosen(condition, yes, no, 0)?).into(),
            (Value::Bool(yes), Value::Bool(no)) => Value::Bool(chosen(condition, yes, no, false)?).into(),
            (yes, no) => chosen(condition, yes.real()?, no.real()?, T::zero())?.into(),
        })
    }

    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String> {
        let (inputs, gradient) = (call.inputs(), first(gradients)?);
        let condition = inputs.value(0)?.bool()?;
        let by = |i: usize, taken: bool| {
            let part = zip(gradient, condition, |g, c| if c == taken { g } else { T::zero() })?;
            Ok(sum_to(part, inputs.value(i)?.dims()))
        };
        Ok(vec![None, wanted.then(1, || by(1, true))?, wanted.then(2, || by(2, false))?])
    }
}
