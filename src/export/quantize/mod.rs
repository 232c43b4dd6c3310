//! Smaller and faster: the backbone in eight or sixteen bits, as long as the labels stay.
//!
//! The head, which is everything behind `embedding`, stays as it is.

mod calibrate;
mod contract;
mod entropy;
mod processor;
mod search;
mod shrinker;

pub use calibrate::{Calibration, calibrate};
pub use contract::{Accuracy, Contract, Kept};
pub use processor::adds_bytes_exactly;
pub use search::{LayerReport, Part, Run, Shrunk, search};
pub use shrinker::Shrinker;
