//! What a graph takes and gives: names, element types and shapes.

use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::tensor_shape_proto::dimension;
use super::proto::{GraphProto, ModelProto, TensorProto, ValueInfoProto, type_proto};

/// The inputs and outputs of a graph, in its own order. Initializers that are listed as inputs too are left out.
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
    /// Type of the elements.
    pub kind: Element,
    /// One size a dimension; `None` when the file does not even say how many there are.
    pub dims: Option<Vec<Size>>,
}

/// The element types that matter to a backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 16-bit float.
    F16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// Anything else, by ONNX's number in `TensorProto.DataType`; 0 when it is not a tensor or not said.
    Other(i32),
}

/// The size of one dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Size {
    /// Fixed in the file.
    Fixed(i64),
    /// Known only when the graph runs; the name, if it has one.
    Dynamic(Option<String>),
}

impl Port {
    /// The number of dimensions, if the file says it.
    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    /// The size of dimension `axis` if the file fixes it.
    pub fn fixed(&self, axis: usize) -> Option<i64> {
        match self.dims.as_ref()?.get(axis)? {
            Size::Fixed(n) => Some(*n),
            Size::Dynamic(_) => None,
        }
    }
}

/// The signature of a model; empty when the model has no graph.
pub fn signature(model: &ModelProto) -> Signature {
    let Some(graph) = &model.graph else { return Signature::default() };
    let weights: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name()).collect();
    Signature {
        inputs: graph.input.iter().filter(|v| !weights.contains(v.name())).map(port).collect(),
        outputs: graph.output.iter().map(port).collect(),
    }
}

fn port(value: &ValueInfoProto) -> Port {
    let tensor = match value.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) => Some(tensor),
        _ => None,
    };
    let number = tensor.map_or(0, |t| t.elem_type());
    let kind = match DataType::try_from(number) {
        Ok(DataType::Float) => Element::F32,
        Ok(DataType::Float16) => Element::F16,
        Ok(DataType::Int64) => Element::I64,
        Ok(DataType::Int32) => Element::I32,
        _ => Element::Other(number),
    };
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|shape| {
        let size = |value: &Option<dimension::Value>| match value {
            Some(dimension::Value::DimValue(n)) if *n > 0 => Size::Fixed(*n),
            Some(dimension::Value::DimParam(name)) if !name.is_empty() => Size::Dynamic(Some(name.clone())),
            _ => Size::Dynamic(None),
        };
        shape.dim.iter().map(|d| size(&d.value)).collect()
    });
    Port { name: value.name().to_owned(), kind, dims }
}

/// The files beside the model that hold its larger weights, as the model names them (relative to its folder),
/// sorted. The names come from the file: check them before opening.
pub fn external_files(model: &ModelProto) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    if let Some(graph) = &model.graph {
        collect_external(graph, &mut found);
    }
    found.into_iter().collect()
}

fn collect_external(graph: &GraphProto, found: &mut std::collections::BTreeSet<String>) {
    graph.initializer.iter().filter_map(external_location).for_each(|l| {
        found.insert(l);
    });
    for attribute in graph.node.iter().flat_map(|n| &n.attribute) {
        attribute.t.iter().filter_map(external_location).for_each(|l| {
            found.insert(l);
        });
        attribute.g.iter().chain(&attribute.graphs).for_each(|inner| collect_external(inner, found));
    }
}

fn external_location(tensor: &TensorProto) -> Option<String> {
    if tensor.data_location() != DataLocation::External {
        return None;
    }
    tensor.external_data.iter().find(|p| p.key() == "location").map(|p| p.value().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::build::{self, Dim};
    use crate::onnx::proto::StringStringEntryProto;

    fn external(name: &str, location: &str) -> TensorProto {
        TensorProto {
            name: Some(name.into()),
            data_type: Some(DataType::Float as i32),
            dims: vec![1],
            data_location: Some(DataLocation::External as i32),
            external_data: vec![StringStringEntryProto { key: Some("location".into()), value: Some(location.into()) }],
            ..Default::default()
        }
    }

    #[test]
    fn initializers_are_not_inputs_and_dims_keep_their_kind() {
        let graph = GraphProto {
            input: vec![
                build::value(
                    "x",
                    DataType::Float,
                    &[Dim::Named("batch"), Dim::Fixed(3), Dim::Named(""), Dim::Fixed(-1)],
                ),
                build::value("w", DataType::Float, &[Dim::Fixed(3)]),
                ValueInfoProto { name: Some("bare".into()), ..Default::default() },
            ],
            output: vec![build::value("y", DataType::Int64, &[])],
            initializer: vec![build::tensor_f32("w", &[3], &[1.0, 2.0, 3.0])],
            ..Default::default()
        };
        let got = signature(&build::model(graph));
        let names: Vec<&str> = got.inputs.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["x", "bare"]);
        let x = &got.inputs[0];
        let dynamic = Size::Dynamic(None);
        let want = vec![Size::Dynamic(Some("batch".into())), Size::Fixed(3), dynamic.clone(), dynamic];
        assert_eq!(x.dims.as_ref(), Some(&want));
        assert_eq!(
            (x.kind, x.rank(), x.fixed(1), x.fixed(0), x.fixed(9)),
            (Element::F32, Some(4), Some(3), None, None)
        );
        assert_eq!((got.inputs[1].kind, got.inputs[1].rank()), (Element::Other(0), None));
        assert_eq!((got.outputs[0].kind, got.outputs[0].rank()), (Element::I64, Some(0)));
    }

    #[test]
    fn external_files_are_found_in_initializers_and_inner_graphs() {
        let inner = GraphProto { initializer: vec![external("b", "z.bin")], ..Default::default() };
        let branch = crate::onnx::proto::AttributeProto { g: Some(inner), ..Default::default() };
        let graph = GraphProto {
            initializer: vec![external("a", "model.onnx_data"), external("c", "model.onnx_data")],
            node: vec![build::node("If", &["c"], &["y"], vec![branch])],
            ..Default::default()
        };
        assert_eq!(external_files(&build::model(graph)), ["model.onnx_data", "z.bin"]);
    }
}
