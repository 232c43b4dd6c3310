//! What every operator is: a way forward, and a way back.

use std::fmt::Debug;

use super::array::{Array, Value};
use super::scalar::Scalar;

/// Gradients by place; none where nothing flows.
pub(super) type Gradients<T> = Vec<Option<Array<T>>>;

/// One node's computation, with its attributes read.
///
/// Reasons of errors name no node: whoever runs it does.
pub(super) trait Operator<T: Scalar>: Debug + Send + Sync {
    /// Computes the outputs.
    fn forward(&self, inputs: Inputs<T>) -> Result<Output<T>, String>;

    /// From the gradients of a sum by the outputs, at least one of which is there, to those by the inputs: of their sizes, in
    /// their order, and those alone that are wanted.
    fn backward(&self, call: &Call<T>, gradients: &[Option<Array<T>>], wanted: Wanted) -> Result<Gradients<T>, String>;

    /// Whether a change of floats that it reads changes floats that it gives, smoothly.
    fn flow(&self) -> Flow {
        Flow::Through
    }
}

/// Whether gradients flow through an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    Through,
    /// What it gives is piecewise constant.
    Ends,
}

/// The inputs of a node; those that are left out are none.
#[derive(Debug)]
pub(super) struct Inputs<'a, T>(pub(super) &'a [Option<Value<T>>]);

impl<T> Clone for Inputs<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Inputs<'_, T> {}

impl<'a, T: Clone> Inputs<'a, T> {
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    pub(super) fn get(self, i: usize) -> Option<&'a Value<T>> {
        self.0.get(i)?.as_ref()
    }

    pub(super) fn value(self, i: usize) -> Result<&'a Value<T>, String> {
        self.get(i).ok_or_else(|| format!("input {i} is missing"))
    }

    pub(super) fn real(self, i: usize) -> Result<&'a Array<T>, String> {
        self.value(i)?.real().map_err(|reason| format!("input {i}: {reason}"))
    }

    pub(super) fn real_if_any(self, i: usize) -> Result<Option<&'a Array<T>>, String> {
        if self.get(i).is_some() { self.real(i).map(Some) } else { Ok(None) }
    }

    pub(super) fn ints(self, i: usize) -> Result<&'a [i64], String> {
        Ok(self.value(i)?.int().map_err(|reason| format!("input {i}: {reason}"))?.values())
    }

    pub(super) fn ints_if_any(self, i: usize) -> Result<Option<&'a [i64]>, String> {
        if self.get(i).is_some() { self.ints(i).map(Some) } else { Ok(None) }
    }
}

/// What an operator gives.
#[derive(Debug)]
pub(super) struct Output<T> {
    pub(super) values: Vec<Value<T>>,
    /// What the way back would have to compute again.
    pub(super) saved: Vec<Array<T>>,
}

impl<T> From<Value<T>> for Output<T> {
    fn from(value: Value<T>) -> Self {
        Self { values: vec![value], saved: Vec::new() }
    }
}

impl<T> From<Array<T>> for Output<T> {
    fn from(array: Array<T>) -> Self {
        Value::Real(array).into()
    }
}

/// A node's run, as recorded.
#[derive(Debug)]
pub(super) struct Call<T> {
    inputs: Vec<Option<Value<T>>>,
    outputs: Vec<Value<T>>,
    saved: Vec<Array<T>>,
}

impl<T: Scalar> Call<T> {
    pub(super) fn new(inputs: Vec<Option<Value<T>>>, output: Output<T>) -> Self {
        Self { inputs, outputs: output.values, saved: output.saved }
    }

    pub(super) fn inputs(&self) -> Inputs<'_, T> {
        Inputs(&self.inputs)
    }

    /// The float output `i`.
    pub(super) fn output(&self, i: usize) -> Result<&Array<T>, String> {
        self.outputs.get(i).ok_or_else(|| format!("output {i} was not computed"))?.real()
    }

    pub(super) fn saved(&self, i: usize) -> Result<&Array<T>, String> {
        self.saved.get(i).ok_or_else(|| "nothing was kept for the way back".to_owned())
    }
}

/// Which inputs want a gradient.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a>(pub(super) &'a [bool]);

impl Wanted<'_> {
    pub(super) fn is(self, i: usize) -> bool {
        self.0.get(i).copied().unwrap_or(false)
    }

    /// The gradient by input `i`, if it is wanted.
    pub(super) fn then<T>(
        self,
        i: usize,
        f: impl FnOnce() -> Result<Array<T>, String>,
    ) -> Result<Option<Array<T>>, String> {
        if self.is(i) { f().map(Some) } else { Ok(None) }
    }
}

/// The gradient by the one output that counts.
pub(super) fn first<T>(gradients: &[Option<Array<T>>]) -> Result<&Array<T>, String> {
    gradients.first().and_then(Option::as_ref).ok_or_else(|| "only its first output has a gradient".to_owned())
}

/// An axis, counted from the end where it is negative.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let index = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(index).ok().filter(|&i| i < rank).ok_or_else(|| format!("there is no axis {axis} among {rank}"))
}

/// As [`axis`], of each.
pub(super) fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    axes.iter().map(|&a| axis(a, rank)).collect()
}
