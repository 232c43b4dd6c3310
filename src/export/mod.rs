//! The deployed model: one ONNX file from the backbone's inputs to labels, verified before it is kept.

mod exported;
mod fuse;
mod pooling;
mod record;

pub use exported::Exported;
pub use fuse::{Extra, fuse};
pub use record::{ExportRecord, TokenizerRecord};
