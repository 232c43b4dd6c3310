//! Short constructors for nodes, tensors and models.

use prost::bytes::Bytes;

use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::type_proto;
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

/// The operator set that engraft's own graphs use.
pub const OPSET: i64 = 17;
/// The file format version that goes with [`OPSET`] and that ONNX Runtime 1.13 and newer reads.
pub const IR_VERSION: i64 = 8;

/// One dimension of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dim<'a> {
    /// A size known when the graph is built.
    Fixed(i64),
    /// A named size known when the graph runs.
    Named(&'a str),
    /// One that has no name.
    Unknown,
}

/// A node `op(inputs) -> outputs`, named after its first output.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.to_owned()),
        name: outputs.first().map(|o| format!("{o}/{op}")),
        input: inputs.iter().map(|s| (*s).to_owned()).collect(),
        output: outputs.iter().map(|s| (*s).to_owned()).collect(),
        attribute: attributes,
        ..Default::default()
    }
}

/// An integer attribute.
pub fn attr_int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, AttributeType::Int) }
}

/// A list of integers.
pub fn attr_ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, AttributeType::Ints) }
}

/// A text attribute.
pub fn attr_string(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(Bytes::copy_from_slice(value.as_bytes())), ..attribute(name, AttributeType::String) }
}

/// A tensor attribute.
pub fn attr_tensor(name: &str, value: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(value), ..attribute(name, AttributeType::Tensor) }
}

/// A float attribute.
pub fn attr_float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, AttributeType::Float) }
}

/// A graph attribute, such as a branch of an `If`: the graph of `model`.
pub fn attr_graph(name: &str, model: ModelProto) -> AttributeProto {
    AttributeProto { g: model.graph, ..attribute(name, AttributeType::Graph) }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..Default::default() }
}

/// A constant f32 tensor of the given shape.
pub fn tensor_f32(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    tensor(name, dims, DataType::Float, raw)
}

/// A constant f64 tensor of the given shape.
pub fn tensor_f64(name: &str, dims: &[i64], values: &[f64]) -> TensorProto {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    tensor(name, dims, DataType::Double, raw)
}

/// A constant i64 tensor of the given shape.
pub fn tensor_i64(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    tensor(name, dims, DataType::Int64, raw)
}

/// A constant tensor of texts of the given shape.
pub fn tensor_string(name: &str, dims: &[i64], values: &[String]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(DataType::String as i32),
        string_data: values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect(),
        ..Default::default()
    }
}

/// A constant tensor from the bytes of its values, little-endian.
pub fn tensor(name: &str, dims: &[i64], kind: DataType, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        dims: dims.to_vec(),
        data_type: Some(kind as i32),
        raw_data: Some(Bytes::from(raw)),
        ..Default::default()
    }
}

/// A graph input or output.
pub fn value(name: &str, kind: DataType, dims: &[Dim]) -> ValueInfoProto {
    let dim = dims
        .iter()
        .map(|d| Dimension {
            value: match d {
                Dim::Fixed(n) => Some(dimension::Value::DimValue(*n)),
                Dim::Named(s) => Some(dimension::Value::DimParam((*s).to_owned())),
                Dim::Unknown => None,
            },
            ..Default::default()
        })
        .collect();
    let shape = TensorShapeProto { dim, ..Default::default() };
    let tensor = type_proto::Tensor { elem_type: Some(kind as i32), shape: Some(shape), ..Default::default() };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}

/// The import of a version of an operator set; the standard one has an empty name.
pub fn operators(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version), ..Default::default() }
}

/// A key with its value, as metadata and the places of weights are told.
pub fn entry(key: &str, value: impl Into<String>) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.into()), ..Default::default() }
}

/// A model of one graph in engraft's operator set.
pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(IR_VERSION),
        producer_name: Some("engraft".to_owned()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        opset_import: vec![operators("", OPSET)],
        graph: Some(graph),
        ..Default::default()
    }
}

/// The bytes of a model that doubles its one-element input `x`: enough to try an execution provider with.
pub fn doubling_model() -> Vec<u8> {
    let graph = GraphProto {
        name: Some("doubling".to_owned()),
        node: vec![node("Add", &["x", "x"], &["y"], vec![])],
        input: vec![value("x", DataType::Float, &[Dim::Fixed(1)])],
        output: vec![value("y", DataType::Float, &[Dim::Fixed(1)])],
        ..Default::default()
    };
    prost::Message::encode_to_vec(&model(graph))
}
