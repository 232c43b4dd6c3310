//! What a graph takes and gives: names, element types and shapes.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::build::Dim;
use super::proto::tensor_proto::DataType;
use super::proto::tensor_shape_proto::dimension;
use super::proto::{ModelProto, ValueInfoProto, type_proto};

/// The inputs and outputs of a graph, in its own order. Initializers that old files list among the inputs are left out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// What must be fed.
    pub inputs: Vec<Port>,
    /// What can be asked for.
    pub outputs: Vec<Port>,
}

/// One input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Type of the elements; `Undefined` when the file does not say, or when it is no tensor at all.
    pub element: DataType,
    /// Its dimensions; `None` when the file does not even say how many there are.
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

/// A number, a name, or `?`.
impl std::fmt::Display for Dimension {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Dimension::Fixed(n) => write!(f, "{n}"),
            Dimension::Named(name) => f.write_str(name),
            Dimension::Unknown => f.write_str("?"),
        }
    }
}

impl<'a> From<&'a Dimension> for Dim<'a> {
    fn from(dimension: &'a Dimension) -> Self {
        match dimension {
            Dimension::Fixed(n) => Dim::Fixed(*n),
            Dimension::Named(name) => Dim::Named(name),
            Dimension::Unknown => Dim::Unknown,
        }
    }
}

impl Port {
    /// The number of dimensions, if the file says it.
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// The size of dimension `axis` if the file fixes it.
    pub fn fixed(&self, axis: usize) -> Option<i64> {
        match self.shape.as_ref()?.get(axis)? {
            Dimension::Fixed(n) => Some(*n),
            Dimension::Named(_) | Dimension::Unknown => None,
        }
    }
}

/// The signature of a model; empty when the model has no graph.
pub fn signature(model: &ModelProto) -> Signature {
    let Some(graph) = &model.graph else { return Signature::default() };
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name()).collect();
    Signature {
        inputs: graph.input.iter().filter(|v| !constants.contains(v.name())).map(port).collect(),
        outputs: graph.output.iter().map(port).collect(),
    }
}

/// What the model says of one of its tensors, an inner one too.
pub fn described(model: &ModelProto, tensor: &str) -> Option<Port> {
    let graph = model.graph.as_ref()?;
    let values = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    values.into_iter().find(|v| v.name() == tensor).map(port)
}

fn port(value: &ValueInfoProto) -> Port {
    let tensor = match value.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    };
    let shape = tensor.and_then(|t| t.shape.as_ref()).map(|shape| {
        let dimension = |value: &Option<dimension::Value>| match value {
            // Some exporters write 0 or -1 for a size that they do not know.
            Some(dimension::Value::DimValue(n)) if *n > 0 => Dimension::Fixed(*n),
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Dimension::Named(name.clone()),
            _ => Dimension::Unknown,
        };
        shape.dim.iter().map(|d| dimension(&d.value)).collect()
    });
    Port {
        name: value.name().to_owned(),
        element: tensor.and_then(|t| DataType::try_from(t.elem_type()).ok()).unwrap_or(DataType::Undefined),
        shape,
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Dim};
    use super::super::proto::GraphProto;
    use super::*;

    #[test]
    fn ports_are_reported_and_initializers_are_not_inputs() {
        let x = [Dim::Named("batch"), Dim::Fixed(3), Dim::Unknown, Dim::Fixed(-1)];
        let graph = GraphProto {
            input: vec![
                build::value("x", DataType::Float, &x),
                build::value("w", DataType::Float, &[Dim::Fixed(3)]),
                ValueInfoProto { name: Some("bare".into()), ..Default::default() },
            ],
            output: vec![build::value("y", DataType::Int64, &[])],
            initializer: vec![build::tensor_f32("w", &[3], &[1.0, 2.0, 3.0])],
            ..Default::default()
        };
        let Signature { inputs, outputs } = signature(&build::model(graph));
        let shape = vec![Dimension::Named("batch".into()), Dimension::Fixed(3), Dimension::Unknown, Dimension::Unknown];
        let x = Port { name: "x".into(), element: DataType::Float, shape: Some(shape) };
        assert_eq!((x.rank(), x.fixed(1), x.fixed(0), x.fixed(9)), (Some(4), Some(3), None, None));
        let bare = Port { name: "bare".into(), element: DataType::Undefined, shape: None };
        assert_eq!(bare.rank(), None);
        assert_eq!(inputs, [x, bare]);
        assert_eq!(outputs, [Port { name: "y".into(), element: DataType::Int64, shape: Some(vec![]) }]);
    }
}
