//! Every operator of `tune`: forward against ONNX Runtime, and back against finite differences.

mod cases;
#[path = "../support/close.rs"]
mod close;
mod forward;
mod gradients;
mod model;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
