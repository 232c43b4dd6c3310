//! Trained weights go back into the model they came from.

use super::adapter::{Adapter, merge};
use super::program::Program;
use crate::error::{Error, Result};
use crate::onnx::{Model, replace_constant};

/// Gives the initializers of `model` (called `name` in errors) that `program` trained their new values; where there are adapters,
/// their matrices are given what the factors add. Nothing else changes.
///
/// # Errors
/// [`Error::Model`] when the model has no such initializer of that size, or a value is no finite number.
pub fn write_back(model: &mut Model, program: &Program<f32>, adapters: &[Adapter], name: &str) -> Result<()> {
    let factor = |leaf: &str| adapters.iter().any(|adapter| adapter.factors.iter().any(|factor| factor == leaf));
    for leaf in program.leaves().iter().filter(|leaf| !factor(leaf.name())) {
        let Some(values) = leaf.values() else { continue };
        replace(model, leaf.name(), values.values(), name)?;
    }
    merge(model, program, adapters, name)
}

/// Gives one initializer its new values.
pub(super) fn replace(model: &mut Model, tensor: &str, values: &[f32], name: &str) -> Result<()> {
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::model(name, format!("the trained tensor {tensor} has values that are no numbers")));
    }
    replace_constant(model, tensor, values).map_err(|reason| Error::model(name, reason))
}
