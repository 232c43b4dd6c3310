//! The deployed model: one ONNX file from the backbone's inputs to labels, verified before it is kept.

mod agreement;
mod card;
mod exported;
mod filter;
mod formula;
mod fuse;
mod images;
mod pixels;
mod pooling;
mod quantize;
mod record;
mod resample;
mod samples;

pub use agreement::{Agreement, Disagreement, ROUNDED, TOLERANCE};
pub use card::{Metric, Metrics, Verification, card, replaceable_card};
pub use exported::Exported;
pub use fuse::{Extra, fuse, with_preprocessing};
pub use images::take_images;
pub use pixels::{PixelAgreement, pixel_backbones};
pub use pooling::{EMBEDDING, TOKENS};
pub use quantize::{
    Accuracy, Calibration, Contract, Kept, LayerReport, Part, Run, Shrinker, Shrunk, adds_bytes_exactly, calibrate,
    search,
};
pub use record::{ExportInput, ExportPrecision, ExportRecord, TokenizerRecord};
pub use samples::built_in;
