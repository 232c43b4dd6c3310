//! The deployed model: one ONNX file from the backbone's inputs to labels, verified before it is kept.

mod agreement;
mod card;
mod exported;
mod fuse;
mod pooling;
mod record;
mod samples;

pub use agreement::{Agreement, Disagreement, TOLERANCE};
pub use card::{Metric, Metrics, card};
pub use exported::Exported;
pub use fuse::{Extra, fuse};
pub use record::{ExportInput, ExportRecord, TokenizerRecord};
pub use samples::built_in;
