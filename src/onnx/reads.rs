//! What a node reads of the graph around it.

use std::collections::HashSet;

use super::cut::defined;
use super::proto::{GraphProto, NodeProto};

/// The tensors that a node takes, and those that its subgraphs (`If`, `Loop`, `Scan`) take from outside; inputs that are left out
/// are not among them.
pub(super) fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> = node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    for graph in subgraphs(node) {
        names.extend(captured(graph));
    }
    names
}

/// The graphs that are attributes of a node.
pub(super) fn subgraphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

/// What a subgraph takes from outside. The depth is bounded by the reader's limit of nested messages.
fn captured(graph: &GraphProto) -> Vec<&str> {
    let own: HashSet<&str> = defined(graph).collect();
    let given = graph.output.iter().map(|value| value.name());
    graph.node.iter().flat_map(reads).chain(given).filter(|name| !own.contains(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::build::{attr_graph, model, node};
    use super::*;

    #[test]
    fn subgraphs_read_what_they_do_not_define() {
        let value = |name: &str| super::super::build::value(name, super::super::DataType::Float, &[]);
        let inner = GraphProto {
            node: vec![node("Mul", &["k", "item"], &["p"], vec![]), node("Add", &["p", "outer"], &["q"], vec![])],
            input: vec![value("item")],
            output: vec![value("q"), value("through")],
            ..Default::default()
        };
        let scan = node("Scan", &["x", ""], &["y"], vec![attr_graph("body", model(inner))]);
        assert_eq!(reads(&scan), ["x", "k", "outer", "through"]);
    }
}
