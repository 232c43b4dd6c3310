//! Weights that a model keeps in files beside it.

use std::collections::BTreeSet;

use super::proto::tensor_proto::DataLocation;
use super::proto::{GraphProto, ModelProto, TensorProto};

/// The files beside the model that hold its larger weights, as the model names them (relative to its folder),
/// sorted. The names come from the file: check them before opening.
pub fn external_files(model: &ModelProto) -> Vec<String> {
    let mut found = BTreeSet::new();
    if let Some(graph) = &model.graph {
        collect_external(graph, &mut found);
    }
    found.into_iter().collect()
}

fn collect_external(graph: &GraphProto, found: &mut BTreeSet<String>) {
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
    use crate::onnx::build;
    use crate::onnx::proto::tensor_proto::DataType;
    use crate::onnx::proto::{AttributeProto, StringStringEntryProto};

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
    fn external_files_are_found_in_initializers_and_inner_graphs() {
        let inner = GraphProto { initializer: vec![external("b", "z.bin")], ..Default::default() };
        let branch = AttributeProto { g: Some(inner), ..Default::default() };
        let graph = GraphProto {
            initializer: vec![external("a", "model.onnx_data"), external("c", "model.onnx_data")],
            node: vec![build::node("If", &["c"], &["y"], vec![branch])],
            ..Default::default()
        };
        assert_eq!(external_files(&build::model(graph)), ["model.onnx_data", "z.bin"]);
    }
}
