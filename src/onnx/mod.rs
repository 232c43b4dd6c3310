//! ONNX graphs: read, write, describe, cut and build. The only code that knows the protobuf.

mod blocks;
pub mod build;
mod cut;
mod dealias;
mod every_tensor;
mod expose;
mod external;
mod float16;
mod flops;
mod flow;
mod fold;
mod graph;
mod inventory;
mod model;
mod observe;
mod opset;
mod outside;
mod pixels;
mod plain;
#[allow(missing_docs, clippy::all)]
pub mod proto {
    //! The generated protobuf types of `onnx.proto`.
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}
mod quantize;
mod reads;
mod signature;
mod splice;
mod tensor;
mod unknown;
mod value;
mod view;

pub use blocks::blocks;
pub use cut::{CutPoint, check_tensors, cut, cut_between, outputs_of_nodes};
pub use dealias::dealias;
pub use expose::{Join, expose, expose_all, has_tensor, joined_name, layer_candidates};
pub use external::{external_files, external_paths, stored_bytes};
pub use float16::to_half;
pub use flops::{Flops, flops};
pub use flow::{CutSite, cut_sites};
pub use fold::{constant_part, fold, largest_folded};
pub use graph::GraphBuilder;
pub use inventory::{Inventory, inventory};
pub use model::{encoded, metadata, read_model, read_whole_model, set_metadata, write_model, write_model_within};
pub use observe::{OBSERVED, observe_counts, observe_ranges};
pub use opset::{opset, raise};
pub use outside::weights_beside;
pub use pixels::{PixelLayout, PixelScale, take_bytes};
pub use proto::AttributeProto as Attribute;
pub use proto::ModelProto as Model;
pub use proto::tensor_proto::DataType;
pub use quantize::{Activations, Affine, Layer, WeightRange, layers, observed, quantize};
pub use signature::{Dimension, Port, Signature, described, signature};
pub use splice::{rename_tensor, splice};
pub use tensor::{FloatTensor, IntTensor, float_constant, int_constant, replace_constant, same_computation};
pub use value::{Data, Value};
pub use view::{AttributeView, Constant, GraphView, NodeView, view};
