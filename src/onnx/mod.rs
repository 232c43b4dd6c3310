//! ONNX graphs: read, write, describe, cut and build. The only code that knows the protobuf.

pub mod build;
mod cut;
mod every_tensor;
mod expose;
mod external;
mod float16;
mod graph;
mod model;
mod observe;
mod opset;
mod pixels;
mod plain;
#[allow(missing_docs, clippy::all)]
pub mod proto {
    //! The generated protobuf types of `onnx.proto`.
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}
mod quantize;
mod signature;
mod splice;
mod tensor;
mod view;

pub use cut::{CutPoint, check_tensors, cut, cut_between, outputs_of_nodes};
pub use expose::{Join, expose, has_tensor, joined_name, layer_candidates};
pub use external::{external_files, external_paths};
pub use float16::to_half;
pub use graph::GraphBuilder;
pub use model::{metadata, read_model, set_metadata, write_model};
pub use observe::{OBSERVED, observe_counts, observe_ranges};
pub use opset::{opset, raise};
pub use pixels::{PixelLayout, PixelScale, take_bytes};
pub use proto::AttributeProto as Attribute;
pub use proto::ModelProto as Model;
pub use proto::tensor_proto::DataType;
pub use quantize::{Affine, Layer, layers, observed, quantize};
pub use signature::{Dimension, Port, Signature, described, signature};
pub use splice::{rename_tensor, splice};
pub use tensor::{FloatTensor, IntTensor, float_constant, int_constant, replace_constant, same_computation};
pub use view::{AttributeView, Constant, GraphView, NodeView, view};
