//! What a model's file holds.

use std::collections::BTreeMap;

use super::every_tensor::{every_tensor, raw_bytes, values_of};
use super::proto::ModelProto;
use super::proto::tensor_proto::DataType;
use super::signature::{Signature, signature};

/// What stands in a model's file, without running it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Version of the file format.
    pub ir_version: i64,
    /// Each operator set that is imported, and its version; the standard one has an empty name.
    pub operator_sets: Vec<(String, i64)>,
    /// Who wrote the file, with the version.
    pub producer: String,
    /// What must be fed, and what can be asked for.
    pub signature: Signature,
    /// The keys of the metadata, in the file's order.
    pub metadata: Vec<String>,
    /// How many nodes of each operator there are, in subgraphs and functions too, the most frequent first. Operators that are not of the
    /// standard have their domain before them.
    pub operators: Vec<(String, usize)>,
    /// How many functions the file defines.
    pub functions: usize,
    /// How many values its constants have. Those of i64, bool and text, which are sizes and places, do not count.
    pub parameters: u64,
    /// How many bytes they take.
    pub parameter_bytes: u64,
}

/// Takes the inventory of a model.
pub fn inventory(model: &ModelProto) -> Inventory {
    let plumbing = [DataType::Int64, DataType::Bool, DataType::String].map(|element| element as i32);
    let weights: Vec<_> = every_tensor(model).into_iter().filter(|t| !plumbing.contains(&t.data_type())).collect();
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.fold(0, u64::saturating_add);
    Inventory {
        ir_version: model.ir_version(),
        operator_sets: model.opset_import.iter().map(|set| (set.domain().to_owned(), set.version())).collect(),
        producer: format!("{} {}", model.producer_name(), model.producer_version()).trim().to_owned(),
        signature: signature(model),
        metadata: model.metadata_props.iter().map(|entry| entry.key().to_owned()).collect(),
        operators: operators(model),
        functions: model.functions.len(),
        parameters: sum(&mut weights.iter().map(|tensor| values_of(tensor))),
        parameter_bytes: sum(&mut weights.iter().map(|tensor| raw_bytes(tensor).unwrap_or(0))),
    }
}

fn operators(model: &ModelProto) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let functions = model.functions.iter().flat_map(|function| &function.node);
    let mut open: Vec<_> = model.graph.iter().flat_map(|graph| &graph.node).chain(functions).collect();
    while let Some(node) = open.pop() {
        let name = match node.domain() {
            "" | "ai.onnx" => node.op_type().to_owned(),
            domain => format!("{domain}.{}", node.op_type()),
        };
        *counts.entry(name).or_default() += 1;
        open.extend(super::reads::subgraphs(node).flat_map(|graph| &graph.node));
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, attr_graph, node, tensor_f32, tensor_i64};
    use super::super::model::set_metadata;
    use super::super::proto::{GraphProto, NodeProto};
    use super::*;

    #[test]
    fn what_is_in_branches_counts_too() {
        let branch = GraphProto {
            initializer: vec![tensor_f32("k", &[3], &[1.0; 3])],
            node: vec![node("Add", &["x", "k"], &["b"], vec![])],
            ..Default::default()
        };
        let own = NodeProto { domain: Some("com.example".into()), ..node("Own", &["y"], &["z"], vec![]) };
        let mut model = build::model(GraphProto {
            initializer: vec![tensor_f32("w", &[2, 2], &[1.0; 4]), tensor_i64("shape", &[9], &[1; 9])],
            node: vec![
                node("Add", &["x", "w"], &["a"], vec![]),
                node("If", &["c"], &["y"], vec![attr_graph("then_branch", build::model(branch))]),
                own,
            ],
            ..Default::default()
        });
        set_metadata(&mut model, "key", "value");
        let found = inventory(&model);
        assert_eq!((found.parameters, found.parameter_bytes, found.functions), (7, 28, 0));
        let operators = [("Add", 2), ("If", 1), ("com.example.Own", 1)].map(|(op, n)| (op.to_owned(), n));
        assert_eq!((&found.operators[..], &found.metadata[..]), (&operators[..], &["key".to_owned()][..]));
        assert_eq!((found.ir_version, &found.operator_sets[..]), (8, &[(String::new(), 17)][..]));
        assert!(found.producer.starts_with("engraft "));
    }
}
