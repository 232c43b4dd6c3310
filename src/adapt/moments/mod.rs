//! Methods that make the first and second moments of the source those of the target.

mod coral;
mod gaussian;
mod shrinkage;
mod standardize;
mod statistics;

pub use coral::Coral;
pub use gaussian::LinearTransport;
pub use shrinkage::Shrinkage;
pub(super) use standardize::fit as standardize;
pub(super) use statistics::Moments;
