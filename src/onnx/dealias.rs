//! Constants that nodes share: each reader gets its own.

use std::collections::{HashMap, HashSet};

use super::cut::defined;
use super::model::unlist_constants;
use super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};
use super::reads::{reads, subgraphs};
use super::splice::rename;

/// Gives every node that makes one of `tensors` constants of its own: what it reads that is a constant, or an `Identity` of one as
/// exporters write for equal constants, it reads from a copy (`<name>/1` and so on) unless nobody else reads it. To change what
/// such a node reads then changes no other node. What a node's subgraphs read from outside counts as read by it.
pub fn dealias(mut model: ModelProto, tensors: &HashSet<&str>) -> ModelProto {
    let Some(graph) = &mut model.graph else { return model };
    let shared = Shared::of(graph);
    let mut taken: HashSet<String> = defined(graph).map(str::to_owned).collect();
    let mut copies = Vec::new();
    let mut passed = HashSet::new();
    for node in &mut graph.node {
        if is_identity(node) || !node.output.iter().any(|output| tensors.contains(output.as_str())) {
            continue;
        }
        let mut captured = HashMap::new();
        let read: Vec<String> = reads(node).into_iter().map(str::to_owned).collect();
        for (place, name) in read.iter().enumerate() {
            let Some(constant) = shared.constant(name) else { continue };
            let own = shared.readers.get(name).copied().unwrap_or(0) == 1 && constant.name() == name;
            if own || captured.contains_key(name) {
                continue;
            }
            let Some(copy) = (1..).map(|i| format!("{}/{i}", constant.name())).find(|name| !taken.contains(name))
            else {
                continue;
            };
            taken.insert(copy.clone());
            copies.push(TensorProto { name: Some(copy.clone()), ..constant.clone() });
            passed.insert(name.clone());
            // Inputs come first among what is read; those that are left out are not among them.
            match node.input.iter_mut().filter(|input| !input.is_empty()).nth(place) {
                Some(input) => *input = copy,
                None => _ = captured.insert(name.clone(), copy),
            }
        }
        for graph in node.attribute.iter_mut().flat_map(|a| a.g.iter_mut().chain(&mut a.graphs)) {
            rename(graph, &captured);
        }
    }
    if copies.is_empty() {
        return model;
    }
    graph.initializer.extend(copies);
    drop_unread(graph, passed);
    unlist_constants(&mut model);
    model
}

/// The constants of a graph, by all names that lead to one.
struct Shared {
    constants: HashMap<String, TensorProto>,
    /// Names that are other constants under another name.
    names: HashMap<String, String>,
    /// How often each name is read, as an output of the graph too.
    readers: HashMap<String, usize>,
}

impl Shared {
    fn of(graph: &GraphProto) -> Self {
        let constants = graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), tensor.clone())).collect();
        let pairs = graph.node.iter().filter(|node| is_identity(node)).filter_map(|node| {
            let (input, output) = (node.input.first()?, node.output.first()?);
            Some((output.clone(), input.clone()))
        });
        let mut readers = HashMap::new();
        for name in graph.node.iter().flat_map(reads).chain(graph.output.iter().map(|value| value.name())) {
            *readers.entry(name.to_owned()).or_insert(0) += 1;
        }
        Self { constants, names: pairs.collect(), readers }
    }

    /// The constant that a name leads to. A hostile graph may go in circles.
    fn constant(&self, name: &str) -> Option<&TensorProto> {
        let mut name = name;
        for _ in 0..=self.names.len() {
            match self.names.get(name) {
                Some(next) => name = next,
                None => return self.constants.get(name),
            }
        }
        None
    }
}

fn is_identity(node: &NodeProto) -> bool {
    node.op_type() == "Identity" && node.domain().is_empty() && subgraphs(node).next().is_none()
}

/// Drops of these names, and of what they were another name for, those that nobody reads any more.
fn drop_unread(graph: &mut GraphProto, mut names: HashSet<String>) {
    while !names.is_empty() {
        let outputs = graph.output.iter().map(|value| value.name());
        let read: HashSet<&str> = graph.node.iter().flat_map(reads).chain(outputs).collect();
        names.retain(|name| !read.contains(name.as_str()));
        graph.initializer.retain(|tensor| !names.contains(tensor.name()));
        graph.input.retain(|value| !names.contains(value.name()));
        let unread = |node: &NodeProto| is_identity(node) && node.output.iter().all(|output| names.contains(output));
        let (dropped, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.node).into_iter().partition(unread);
        graph.node = kept;
        names = dropped.into_iter().flat_map(|node| node.input).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, attr_graph, node, tensor_f32, value};
    use super::super::proto::tensor_proto::DataType;
    use super::super::{float_constant, replace_constant};
    use super::*;

    /// Trunk: h = x · w. Tail: y = (h · w') + b, w' an Identity of w, and b read in a branch too.
    fn model() -> ModelProto {
        let branch = GraphProto {
            node: vec![node("Add", &["t", "b"], &["inner"], vec![])],
            output: vec![value("inner", DataType::Float, &[])],
            ..Default::default()
        };
        build::model(GraphProto {
            input: vec![value("x", DataType::Float, &[])],
            initializer: ["w", "b", "own"].map(|name| tensor_f32(name, &[1], &[2.0])).to_vec(),
            node: vec![
                node("Mul", &["x", "w"], &["h"], vec![]),
                node("Identity", &["w"], &["w1"], vec![]),
                node("Identity", &["w1"], &["w2"], vec![]),
                node("Mul", &["h", "w2"], &["t"], vec![]),
                node("Clip", &["t", "", "b"], &["u"], vec![]),
                node("If", &["c"], &["v"], vec![attr_graph("then_branch", build::model(branch))]),
                node("Mul", &["v", "own"], &["y"], vec![]),
            ],
            output: vec![value("y", DataType::Float, &[])],
            ..Default::default()
        })
    }

    #[test]
    fn chosen_readers_get_constants_of_their_own() {
        let tail = HashSet::from(["t", "u", "v", "y"]);
        let mut model = dealias(model(), &tail);
        let told = |model: &ModelProto| -> Vec<String> {
            model
                .graph
                .iter()
                .flat_map(|g| &g.node)
                .map(|n| format!("{}={}", n.output[0], reads(n).join(",")))
                .collect()
        };
        assert_eq!(told(&model), ["h=x,w", "t=h,w/1", "u=t,b/1", "v=c,t,b/2", "y=v,own"]);
        let constants: Vec<&str> = model.graph.iter().flat_map(|g| &g.initializer).map(|t| t.name()).collect();
        assert_eq!(constants, ["w", "own", "w/1", "b/1", "b/2"]);
        replace_constant(&mut model, "w/1", &[7.0]).unwrap();
        assert_eq!(float_constant(&model, "w").unwrap().values, [2.0]);
        // Once more changes nothing.
        assert_eq!(dealias(model.clone(), &tail), model);
    }

    #[test]
    fn nobody_else_is_touched() {
        assert_eq!(dealias(model(), &HashSet::new()), model());
        let mut circle = model();
        circle.graph.as_mut().unwrap().node.push(node("Identity", &["r"], &["r"], vec![]));
        circle.graph.as_mut().unwrap().node.push(node("Neg", &["r"], &["z"], vec![]));
        assert_eq!(dealias(circle.clone(), &HashSet::from(["z"])), circle);
    }
}
