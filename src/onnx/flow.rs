//! How values flow through a graph, and where it can be cut.

use std::collections::HashMap;

use super::every_tensor::values_of;
use super::proto::{GraphProto, ModelProto};
use super::reads::reads;
use super::signature::signature;

/// A tensor at which a model can be cut in two: whatever comes from its first input goes through here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutSite {
    /// The tensor.
    pub tensor: String,
    /// What the part behind takes besides, in the graph's order: masks and sizes, which come from other inputs or only from how
    /// large the first is; and outputs that do not depend on the tensor. Where there is none, the tensor alone separates the inputs from the outputs.
    pub companions: Vec<String>,
    /// For each node of the graph, whether it is above: whether the tensor or a companion needs it.
    pub above: Vec<bool>,
    /// How many values the constants above have.
    pub parameters: u64,
}

/// Tensors to cut at times nodes: what is above is told of each pair. The largest networks have some hundred times fewer.
const MOST_PAIRS: usize = 1 << 25;

/// Every inner tensor of `model` at which it can be cut, in the order in which they are computed. Nodes with subgraphs are
/// not looked into. `Shape` and `Size` tell nothing of values: a tensor made of them alone does not keep the graph together.
///
/// On a path from the first input to an output each tensor has a place in the order of the nodes. A tensor that is on all paths
/// is one over which no path leaps: none goes from a tensor of before to a node after the one that gives it (a dominator of a graph
/// without circles, found in one pass).
///
/// # Errors
/// The reason, when the graph is a chain of so many nodes that a list of what is above each tensor would fit into no memory.
pub fn cut_sites(model: &ModelProto) -> Result<Vec<CutSite>, String> {
    let Some(graph) = &model.graph else { return Ok(Vec::new()) };
    let Some(first) = signature(model).inputs.into_iter().next() else { return Ok(Vec::new()) };
    let flow = Flow::of(graph);
    let Some(&first) = flow.ids.get(first.name.as_str()) else { return Ok(Vec::new()) };
    let found = flow.separators(first);
    if found.len().saturating_mul(flow.nodes.len()) > MOST_PAIRS {
        return Err(format!(
            "it could be cut at {} tensors of {} nodes, which are too many to compare",
            found.len(),
            flow.nodes.len()
        ));
    }
    Ok(found.into_iter().map(|tensor| flow.site(tensor)).collect())
}

struct Flow<'a> {
    ids: HashMap<&'a str, usize>,
    names: Vec<&'a str>,
    nodes: Vec<Step>,
    /// The node that gives each tensor.
    producer: Vec<Option<usize>>,
    /// Values of each constant.
    sizes: Vec<Option<u64>>,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

struct Step {
    reads: Vec<usize>,
    gives: Vec<usize>,
    /// Whether what it gives depends on values and not only on sizes.
    of_values: bool,
}

impl<'a> Flow<'a> {
    fn of(graph: &'a GraphProto) -> Self {
        let mut flow = Self {
            ids: HashMap::new(),
            names: Vec::new(),
            nodes: Vec::new(),
            producer: Vec::new(),
            sizes: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        for tensor in &graph.initializer {
            let id = flow.id(tensor.name());
            flow.sizes[id] = Some(values_of(tensor));
        }
        for tensor in graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref()) {
            let id = flow.id(tensor.name());
            flow.sizes[id] = Some(values_of(tensor));
        }
        for (index, node) in graph.node.iter().enumerate() {
            let reads = reads(node).into_iter().map(|name| flow.id(name)).collect();
            let gives: Vec<usize> = node.output.iter().filter(|o| !o.is_empty()).map(|name| flow.id(name)).collect();
            gives.iter().for_each(|&tensor| flow.producer[tensor] = Some(index));
            let of_values = !(node.domain().is_empty() && matches!(node.op_type(), "Shape" | "Size"));
            flow.nodes.push(Step { reads, gives, of_values });
        }
        let inputs = graph.input.iter().map(|value| flow.id(value.name())).collect::<Vec<usize>>();
        flow.inputs = inputs.into_iter().filter(|&id| flow.sizes[id].is_none()).collect();
        flow.outputs = graph.output.iter().map(|value| flow.id(value.name())).collect();
        flow
    }

    fn id(&mut self, name: &'a str) -> usize {
        *self.ids.entry(name).or_insert_with(|| {
            self.names.push(name);
            self.producer.push(None);
            self.sizes.push(None);
            self.names.len() - 1
        })
    }

    fn tensors(&self) -> Vec<bool> {
        vec![false; self.names.len()]
    }

    /// The tensors that depend on these, themselves included; on their values alone, or on their sizes too.
    fn below(&self, from: &[usize], sizes_too: bool) -> Vec<bool> {
        let mut below = self.tensors();
        from.iter().for_each(|&tensor| below[tensor] = true);
        for step in self.nodes.iter().filter(|step| sizes_too || step.of_values) {
            if step.reads.iter().any(|&tensor| below[tensor]) {
                step.gives.iter().for_each(|&tensor| below[tensor] = true);
            }
        }
        below
    }

    /// The inner tensors that every path of values from `first` to an output goes through, in the order of the nodes.
    fn separators(&self, first: usize) -> Vec<usize> {
        let mut on_path = self.below(&[first], false);
        let mut leads = self.tensors();
        self.outputs.iter().for_each(|&tensor| leads[tensor] = true);
        for step in self.nodes.iter().rev().filter(|step| step.of_values) {
            if step.gives.iter().any(|&tensor| leads[tensor]) {
                step.reads.iter().for_each(|&tensor| leads[tensor] = true);
            }
        }
        on_path.iter_mut().zip(&leads).for_each(|(on, leads)| *on &= leads);
        // The last node that reads each tensor; an output of the graph is read at its very end.
        let mut last = vec![0; self.names.len()];
        for (index, step) in self.nodes.iter().enumerate().filter(|(_, step)| step.of_values) {
            if step.gives.iter().any(|&tensor| on_path[tensor]) {
                step.reads.iter().for_each(|&tensor| last[tensor] = index);
            }
        }
        self.outputs.iter().for_each(|&tensor| last[tensor] = usize::MAX);
        let mut found = Vec::new();
        let mut reach = last[first];
        for (index, step) in self.nodes.iter().enumerate() {
            let given: Vec<usize> = step.gives.iter().copied().filter(|&tensor| on_path[tensor]).collect();
            if let [tensor] = given[..]
                && reach <= index
                && last[tensor] != usize::MAX
            {
                found.push(tensor);
            }
            reach = given.iter().map(|&tensor| last[tensor]).fold(reach, usize::max);
        }
        found
    }

    fn site(&self, tensor: usize) -> CutSite {
        let changing = self.below(&self.inputs, true);
        let below = self.below(&[tensor], true);
        let mut travels = self.tensors();
        let needed = self.needed(&self.outputs);
        for (step, _) in self.nodes.iter().zip(&needed.0).filter(|(_, needed)| **needed) {
            if step.gives.iter().any(|&given| below[given] && given != tensor) {
                let others = step.reads.iter().filter(|&&read| changing[read] && !below[read]);
                others.for_each(|&read| travels[read] = true);
            }
        }
        // What is given without the tensor travels on as it is.
        self.outputs
            .iter()
            .filter(|&&output| changing[output] && !below[output])
            .for_each(|&output| travels[output] = true);
        let companions: Vec<usize> = (0..travels.len()).filter(|&other| travels[other]).collect();
        let (above, used) = self.needed(&[&[tensor], &companions[..]].concat());
        let parameters = used.iter().zip(&self.sizes).filter(|(used, _)| **used).filter_map(|(_, size)| *size);
        CutSite {
            tensor: self.names[tensor].to_owned(),
            companions: companions.into_iter().map(|other| self.names[other].to_owned()).collect(),
            above,
            parameters: parameters.fold(0, u64::saturating_add),
        }
    }

    /// The nodes and tensors that these tensors need.
    fn needed(&self, tensors: &[usize]) -> (Vec<bool>, Vec<bool>) {
        let mut nodes = vec![false; self.nodes.len()];
        let mut used = self.tensors();
        let mut open = tensors.to_vec();
        while let Some(tensor) = open.pop() {
            if std::mem::replace(&mut used[tensor], true) {
                continue;
            }
            if let Some(node) = self.producer[tensor]
                && !std::mem::replace(&mut nodes[node], true)
            {
                open.extend(&self.nodes[node].reads);
            }
        }
        (nodes, used)
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Dim, node, tensor_f32, value};
    use super::super::proto::NodeProto;
    use super::super::proto::tensor_proto::DataType;
    use super::*;

    fn sites(inputs: &[&str], nodes: Vec<NodeProto>, outputs: &[&str]) -> Vec<(String, String, u64)> {
        let value = |name: &&str| value(name, DataType::Float, &[Dim::Named("n")]);
        let model = build::model(GraphProto {
            input: inputs.iter().map(value).collect(),
            initializer: vec![tensor_f32("w", &[3], &[1.0; 3]), tensor_f32("v", &[2], &[1.0; 2])],
            node: nodes,
            output: outputs.iter().map(value).collect(),
            ..Default::default()
        });
        let told = |site: CutSite| (site.tensor, site.companions.join(","), site.parameters);
        cut_sites(&model).unwrap().into_iter().map(told).collect()
    }

    fn site(tensor: &str, companions: &str, parameters: u64) -> (String, String, u64) {
        (tensor.to_owned(), companions.to_owned(), parameters)
    }

    #[test]
    fn residual_blocks_are_cut_between_and_not_within() {
        let block = |i: &str, x: &str| {
            let [a, b, y] = ["a", "b", "y"].map(|part| format!("{part}{i}"));
            vec![
                node("Mul", &[x, "w"], &[&a], vec![]),
                node("Relu", &[&a], &[&b], vec![]),
                node("Add", &[&b, x], &[&y], vec![]),
            ]
        };
        let nodes = [block("1", "x"), block("2", "y1"), vec![node("Mul", &["y2", "v"], &["out"], vec![])]].concat();
        assert_eq!(sites(&["x"], nodes, &["out"]), [site("y1", "", 3), site("y2", "", 3)]);
    }

    #[test]
    fn masks_and_sizes_travel_along() {
        let nodes = vec![
            node("Cast", &["mask"], &["wide"], vec![]),
            node("Shape", &["x"], &["size"], vec![]),
            node("Mul", &["x", "w"], &["h1"], vec![]),
            node("Add", &["h1", "wide"], &["h2"], vec![]),
            node("Mul", &["h2", "wide"], &["h3"], vec![]),
            node("Reshape", &["h3", "size"], &["h4"], vec![]),
            node("Mul", &["h4", "v"], &["out"], vec![]),
        ];
        let expected =
            [site("h1", "wide,size", 3), site("h2", "wide,size", 3), site("h3", "size", 3), site("h4", "", 3)];
        assert_eq!(sites(&["x", "mask"], nodes, &["out"]), expected);
    }

    #[test]
    fn outputs_on_the_way_end_what_can_be_cut() {
        let nodes = vec![
            node("Relu", &["x"], &["a"], vec![]),
            node("Split", &["a"], &["b", "c"], vec![]),
            node("Add", &["b", "c"], &["d"], vec![]),
            node("Relu", &["d"], &["e"], vec![]),
            node("Relu", &["e"], &["f"], vec![]),
            node("Relu", &["f"], &["g"], vec![]),
        ];
        let tensors =
            |outputs: &[&str]| sites(&["x"], nodes.clone(), outputs).into_iter().map(|s| s.0).collect::<Vec<_>>();
        assert_eq!(tensors(&["g"]), ["a", "d", "e", "f"]);
        assert_eq!(tensors(&["e", "g"]), ["a", "d"]);
        assert_eq!(sites(&[], nodes, &["g"]), []);
    }

    #[test]
    fn a_chain_beyond_all_networks_is_refused_and_not_listed() {
        let names: Vec<String> = (0..=6000).map(|i| format!("t{i}")).collect();
        let model = build::model(GraphProto {
            input: vec![value("t0", DataType::Float, &[Dim::Named("n")])],
            node: names.windows(2).map(|pair| node("Relu", &[&pair[0]], &[&pair[1]], vec![])).collect(),
            output: vec![value("t6000", DataType::Float, &[Dim::Named("n")])],
            ..Default::default()
        });
        assert!(cut_sites(&model).unwrap_err().contains("5999 tensors of 6000 nodes"));
    }
}
