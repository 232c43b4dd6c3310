//! Methods that carry the source rows, with their labels, onto the target rows.

mod coupling;
mod joint;
mod kernel;
mod sinkhorn;

pub use joint::JointTransport;
pub use sinkhorn::SinkhornTransport;

use crate::error::{Error, Result};

/// [`Error::Usage`] unless `value` is finite and above 0.
fn positive(name: &str, value: f64) -> Result<()> {
    let usable = value.is_finite() && value > 0.0;
    usable.then_some(()).ok_or_else(|| Error::Usage(format!("{name} of the transport must be above 0, got {value}")))
}
