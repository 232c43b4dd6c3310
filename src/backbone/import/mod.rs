//! Weights in other formats become ONNX files, in Rust.

mod pickle;
mod weights;
