//! What a graph takes and gives: names, element types, shapes, operator set.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension;
use super::proto::{GraphProto, ModelProto, ValueInfoProto, type_proto};

/// A tensor at the edge of a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// Type of its elements; `Undefined` when the file does not say, or when it is no tensor at all.
    pub element: DataType,
    /// Its dimensions; none when the file does not even give their number.
    pub shape: Option<Vec<Dimension>>,
}

/// One dimension of a shape. In text forms a number or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dimension {
    /// A size fixed by the file.
    Fixed(i64),
    /// A named size that is known when the graph runs; equal names are equal sizes.
    Named(String),
    /// Unnamed, and known only when the graph runs.
    Unknown,
}

/// What the caller of the model must give, in the file's order. Initializers that old files list among the inputs are
/// left out.
pub fn inputs(model: &ModelProto) -> Vec<TensorInfo> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name()).collect();
    graph.input.iter().filter(|v| !constants.contains(v.name())).map(tensor_info).collect()
}

/// What the model gives, in the file's order.
pub fn outputs(model: &ModelProto) -> Vec<TensorInfo> {
    model.graph.iter().flat_map(|g| &g.output).map(tensor_info).collect()
}

/// The version of the standard operator set that the model uses; 1 when the file does not say, as ONNX defines.
pub fn opset(model: &ModelProto) -> i64 {
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    model.opset_import.iter().find(|o| standard(o.domain())).map_or(1, |o| o.version())
}

/// Every tensor name that a graph defines at its top level: inputs, initializers and what nodes give.
pub(super) fn defined(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().map(|v| v.name());
    let dense = graph.initializer.iter().map(|t| t.name());
    let sparse = graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref()).map(|t| t.name());
    let computed = graph.node.iter().flat_map(|n| &n.output).map(String::as_str);
    inputs.chain(dense).chain(sparse).chain(computed).filter(|name| !name.is_empty())
}

fn tensor_info(value: &ValueInfoProto) -> TensorInfo {
    let tensor = match value.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    };
    let shape = tensor.and_then(|t| t.shape.as_ref()).map(|shape| {
        let dimension = |value: &Option<dimension::Value>| match value {
            Some(dimension::Value::DimValue(n)) => Dimension::Fixed(*n),
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Dimension::Named(name.clone()),
            _ => Dimension::Unknown,
        };
        shape.dim.iter().map(|d| dimension(&d.value)).collect()
    });
    TensorInfo {
        name: value.name().to_owned(),
        element: tensor.and_then(|t| DataType::try_from(t.elem_type()).ok()).unwrap_or(DataType::Undefined),
        shape,
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Dim};
    use super::*;

    #[test]
    fn edges_are_reported_and_initializers_are_not_inputs() {
        let graph = GraphProto {
            input: vec![
                build::value("x", DataType::Float, &[Dim::Named("batch"), Dim::Fixed(3)]),
                build::value("w", DataType::Float, &[Dim::Fixed(3)]),
                ValueInfoProto { name: Some("untyped".to_owned()), ..Default::default() },
            ],
            initializer: vec![build::tensor_f32("w", &[3], &[1.0, 2.0, 3.0])],
            output: vec![build::value("ids", DataType::Int64, &[])],
            ..Default::default()
        };
        let model = build::model(graph);
        let x = TensorInfo {
            name: "x".to_owned(),
            element: DataType::Float,
            shape: Some(vec![Dimension::Named("batch".to_owned()), Dimension::Fixed(3)]),
        };
        let untyped = TensorInfo { name: "untyped".to_owned(), element: DataType::Undefined, shape: None };
        assert_eq!(inputs(&model), [x, untyped]);
        let ids = TensorInfo { name: "ids".to_owned(), element: DataType::Int64, shape: Some(vec![]) };
        assert_eq!(outputs(&model), [ids]);
        assert_eq!(opset(&model), build::OPSET);
    }
}
