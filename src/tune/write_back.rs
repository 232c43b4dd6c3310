//! Trained weights go back into the model they came from.

use super::program::Program;
use crate::error::{Error, Result};
use crate::onnx::{Model, replace_constant};

/// Gives the initializers of `model` (called `name` in errors) that `program` trained their new values. Nothing else changes.
///
/// # Errors
/// [`Error::Model`] when the model has no such initializer of that size, or a value is no finite number.
pub fn write_back(model: &mut Model, program: &Program<f32>, name: &str) -> Result<()> {
    for leaf in program.leaves() {
        let Some(values) = leaf.values() else { continue };
        if values.values().iter().any(|v| !v.is_finite()) {
            return Err(Error::model(
                name,
                format!("the trained tensor {} has values that are no numbers", leaf.name()),
            ));
        }
        replace_constant(model, leaf.name(), values.values()).map_err(|reason| Error::model(name, reason))?;
    }
    Ok(())
}
