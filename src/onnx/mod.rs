//! ONNX graphs: read, write, find, cut and build. The only code that knows the protobuf.

pub mod build;
mod model;
#[allow(missing_docs, clippy::all)]
pub mod proto {
    //! The generated protobuf types of `onnx.proto`.
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}
mod signature;

pub use model::{metadata, read_model, set_metadata, write_model};
pub use signature::{Element, Port, Signature, Size, external_files, signature};
