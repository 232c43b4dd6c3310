//! ONNX graphs: read, write, find, cut and build. The only code that knows the protobuf.

pub mod build;
mod cut;
mod find;
mod graph;
mod model;
#[allow(missing_docs, clippy::all)]
pub mod proto {
    //! The generated protobuf types of `onnx.proto`.
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}
mod signature;
mod tensor;

pub use cut::{CutPoint, cut};
pub use find::{Dimension, TensorInfo, inputs, opset, outputs};
pub use graph::GraphBuilder;
pub use model::{metadata, read_model, set_metadata, write_model};
pub use proto::ModelProto as Model;
pub use proto::tensor_proto::DataType;
pub use signature::{Element, Port, Signature, Size, external_files, signature};
pub use tensor::{FloatTensor, float_constant, same_computation};
