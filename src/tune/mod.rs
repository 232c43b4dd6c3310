//! Fine-tuning the last layers of an ONNX model: the tail is run and differentiated here, the trunk before it stays frozen.
//!
//! Gradients are those of the operators as ONNX defines them, taken backwards through a recorded run. Training is done in
//! f32; everything is generic over f32 and f64, so that gradients can be held against finite differences.

mod activations;
mod adapter;
mod array;
mod attributes;
mod average;
mod broadcast;
mod checkpoint;
mod loss;
mod mixup;
mod operator;
mod ops;
mod optimiser;
mod product;
mod program;
mod roles;
mod scalar;
mod schedule;
mod strided;
mod tail;
mod training;
mod trunk;
mod write_back;

pub use activations::{ActivationWriter, Activations, Kept, bytes_per_sample};
pub use adapter::Adapter;
pub use array::{Array, Value};
pub use loss::{cross_entropy, smoothed};
pub use mixup::Mixup;
pub use optimiser::{Optimiser, Pace, clip};
pub use program::{Leaf, Program, Trace, supported};
pub use roles::{Role, Weight};
pub use scalar::Scalar;
pub use schedule::Schedule;
pub use tail::{FACTOR, MIXING, Tail};
pub use training::{Dropout, End, Epoch, Examples, Training, Tuned};
pub use trunk::{AGREEMENT, Also, Passed, Trunk, check_agreement};
pub use write_back::write_back;
