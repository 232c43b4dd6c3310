//! Folding: what depends on constants alone becomes a constant.
//!
//! Nothing is computed here. [`constant_part`] gives what can be known as a model without inputs, whoever can run models runs
//! it, and [`fold`] puts the values in its place.

use std::collections::{HashMap, HashSet};

use super::cut::{CutPoint, cut};
use super::every_tensor::{every_tensor, raw_bytes};
use super::model::unlist_constants;
use super::proto::tensor_proto::DataType;
use super::proto::{FunctionProto, GraphProto, ModelProto, NodeProto};
use super::reads::{reads, subgraphs};
use super::signature::Port;
use super::value::Value;
use crate::error::Result;

/// A result of so many bytes is folded whatever it was made of.
const SMALL: u64 = 16 << 10;
/// Operator domains of which it is known that they give the same for the same.
const KNOWN: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// What of `model` (called `name` in errors) depends on constants alone, as a model without inputs that gives each tensor of it;
/// none where there is no such node.
///
/// Left out are random operators, nodes of operators that only their author knows, and what reads of either. A node with
/// subgraphs is taken or left as a whole.
///
/// # Errors
/// As [`cut`], which a sound model does not meet.
pub fn constant_part(model: &ModelProto, name: &str) -> Result<Option<ModelProto>> {
    let Some(graph) = &model.graph else { return Ok(None) };
    let nodes = constant_nodes(graph, &model.functions);
    let outputs = nodes.iter().flat_map(|node| &node.output).filter(|output| !output.is_empty());
    let point = |tensor: &String| CutPoint {
        tensor: tensor.clone(),
        token: None,
        output: Port { name: tensor.clone(), element: DataType::Undefined, shape: None },
    };
    let points: Vec<CutPoint> = outputs.map(point).collect();
    if points.is_empty() {
        return Ok(None);
    }
    cut(model.clone(), &points, name).map(Some)
}

/// `model` with the tensors of its [`constant_part`] as constants, whose `values` were computed; what has no value there stays
/// computed, and so does a node whose results are above 16 KiB and larger than what it is made of: they are cheaper to compute
/// than to store (weights kept in eight bits, constants spread over a shape). Nodes that give an output of the model stay.
pub fn fold(mut model: ModelProto, values: &HashMap<String, Value>) -> ModelProto {
    let Some(graph) = &model.graph else { return model };
    let folded = folded(graph, constant_nodes(graph, &model.functions), values);
    if folded.is_empty() {
        return model;
    }
    unlist_constants(&mut model);
    let Some(graph) = &mut model.graph else { return model };
    let gone = |node: &NodeProto| node.output.iter().any(|output| folded.contains(output));
    let (dropped, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.node).into_iter().partition(gone);
    graph.node = kept;
    let outputs = graph.output.iter().map(|value| value.name());
    let read: HashSet<&str> = graph.node.iter().flat_map(reads).chain(outputs).collect();
    let orphaned: HashSet<&str> = dropped.iter().flat_map(reads).filter(|name| !read.contains(name)).collect();
    graph.initializer.retain(|tensor| !orphaned.contains(tensor.name()));
    graph.sparse_initializer.retain(|s| s.values.as_ref().is_none_or(|values| !orphaned.contains(values.name())));
    graph.input.retain(|value| !orphaned.contains(value.name()));
    graph.value_info.retain(|value| !folded.contains(value.name()) || read.contains(value.name()));
    let mut new: Vec<&String> = folded.iter().filter(|name| read.contains(name.as_str())).collect();
    new.sort_unstable();
    let constants: Vec<_> = new.into_iter().filter_map(|name| Some(values.get(name)?.to_tensor(name))).collect();
    graph.initializer.extend(constants);
    model
}

/// How many bytes a result of a [`constant_part`] may have: [`fold`] need not be given larger ones, which are larger than all the
/// constants there are.
pub fn largest_folded(part: &ModelProto) -> u64 {
    every_tensor(part).into_iter().filter_map(raw_bytes).fold(0, u64::saturating_add).max(SMALL)
}

/// The outputs of the nodes that become constants.
fn folded(graph: &GraphProto, nodes: Vec<&NodeProto>, values: &HashMap<String, Value>) -> HashSet<String> {
    let given: HashSet<&str> = graph.output.iter().map(|value| value.name()).collect();
    let mut sizes: HashMap<&str, u64> = stored(graph).collect();
    let mut folded = HashSet::new();
    for node in nodes {
        let outputs: Vec<&String> = node.output.iter().filter(|output| !output.is_empty()).collect();
        let made: Option<Vec<u64>> = outputs.iter().map(|o| values.get(*o).map(|value| value.bytes() as u64)).collect();
        let taken: Option<u64> = reads(node).into_iter().map(|name| sizes.get(name).copied()).sum();
        let (Some(made), Some(taken)) = (made, taken) else { continue };
        let small = made.iter().sum::<u64>() <= SMALL.max(taken) || node.op_type() == "Constant";
        if small && !outputs.iter().any(|output| given.contains(output.as_str())) {
            sizes.extend(outputs.iter().map(|output| output.as_str()).zip(made));
            folded.extend(outputs.into_iter().cloned());
        }
    }
    folded
}

/// The constants of a graph, and how many bytes each has.
fn stored(graph: &GraphProto) -> impl Iterator<Item = (&str, u64)> {
    let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
    graph.initializer.iter().chain(sparse).map(|tensor| (tensor.name(), raw_bytes(tensor).unwrap_or(0)))
}

/// The nodes of a graph that depend on constants alone, in its order.
fn constant_nodes<'a>(graph: &'a GraphProto, functions: &[FunctionProto]) -> Vec<&'a NodeProto> {
    let steady = Steady::of(functions);
    let mut known: HashSet<&str> = stored(graph).map(|(name, _)| name).collect();
    let mut nodes = Vec::new();
    for node in &graph.node {
        if steady.gives_the_same(node) && reads(node).into_iter().all(|name| known.contains(name)) {
            known.extend(node.output.iter().map(String::as_str));
            nodes.push(node);
        }
    }
    nodes
}

/// Which functions of a model give the same for the same.
struct Steady<'a>(HashMap<(&'a str, &'a str), bool>);

impl<'a> Steady<'a> {
    /// A function that calls one that is not steady is not: until no further is found.
    fn of(functions: &'a [FunctionProto]) -> Self {
        let name = |function: &'a FunctionProto| (function.domain(), function.name());
        let mut steady = Self(functions.iter().map(|function| (name(function), true)).collect());
        loop {
            let same = |f: &FunctionProto| f.node.iter().all(|node| steady.gives_the_same(node));
            let believed = functions.iter().filter(|&f| steady.0.get(&name(f)) == Some(&true));
            let found: Vec<_> = believed.filter(|&f| !same(f)).map(name).collect();
            if found.is_empty() {
                return steady;
            }
            steady.0.extend(found.into_iter().map(|name| (name, false)));
        }
    }

    fn gives_the_same(&self, node: &NodeProto) -> bool {
        let (domain, operator) = (node.domain(), node.op_type());
        let own = self.0.get(&(domain, operator)).copied();
        own.unwrap_or_else(|| KNOWN.contains(&domain) && !is_random(operator))
            && subgraphs(node).all(|graph| graph.node.iter().all(|inner| self.gives_the_same(inner)))
    }
}

fn is_random(operator: &str) -> bool {
    operator.starts_with("Random") || operator.contains("Dropout") || matches!(operator, "Multinomial" | "Bernoulli")
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Dim, attr_graph, attr_int, attr_tensor, node, tensor_f32, tensor_i64};
    use super::super::value::Data;
    use super::*;

    /// `y = x · transpose(w) + noise`, of which w transposed is constant, and a spread constant that is too large.
    fn model() -> ModelProto {
        let wide = build::value("wide", DataType::Float, &[Dim::Fixed(8192)]);
        let branch = GraphProto {
            node: vec![node("Mul", &["turned", "x"], &["inner"], vec![])],
            output: vec![build::value("inner", DataType::Float, &[])],
            ..Default::default()
        };
        let constant = vec![attr_tensor("value", tensor_i64("", &[1], &[8192]))];
        build::model(GraphProto {
            input: vec![build::value("x", DataType::Float, &[Dim::Fixed(2)])],
            initializer: vec![tensor_f32("w", &[1, 2], &[1.0, 2.0]), tensor_f32("one", &[], &[1.0])],
            node: vec![
                node("Constant", &[], &["many"], constant),
                node("Expand", &["one", "many"], &["spread"], vec![]),
                node("Transpose", &["w"], &["turned"], vec![]),
                node("Neg", &["turned"], &["less"], vec![]),
                node("RandomNormalLike", &["w"], &["noise"], vec![]),
                node("Add", &["noise", "less"], &["sum"], vec![]),
                node("If", &["c"], &["chosen"], vec![attr_graph("then_branch", build::model(branch))]),
                node("Mul", &["x", "less"], &["y"], vec![]),
                node("Add", &["spread", "chosen"], &["wide"], vec![attr_int("unused", 0)]),
            ],
            output: vec![build::value("y", DataType::Float, &[]), wide],
            ..Default::default()
        })
    }

    fn operators(nodes: &[NodeProto]) -> Vec<&str> {
        nodes.iter().map(|n| n.op_type()).collect()
    }

    fn value(element: DataType, dims: &[usize], bytes: usize) -> Value {
        Value { element, dims: dims.to_vec(), data: Data::Numbers(vec![0; bytes]) }
    }

    #[test]
    fn what_depends_on_constants_alone_is_told_and_replaced() {
        let part = constant_part(&model(), "m").unwrap().unwrap().graph.unwrap();
        assert_eq!(operators(&part.node), ["Constant", "Expand", "Transpose", "Neg"]);
        assert!(part.input.is_empty());
        let outputs: Vec<&str> = part.output.iter().map(|v| v.name()).collect();
        assert_eq!(outputs, ["many", "spread", "turned", "less"]);

        let values = HashMap::from([
            ("many".to_owned(), value(DataType::Int64, &[1], 8)),
            ("spread".to_owned(), value(DataType::Float, &[8192], 32768)),
            ("turned".to_owned(), value(DataType::Float, &[2, 1], 8)),
            ("less".to_owned(), value(DataType::Float, &[2, 1], 8)),
        ]);
        let graph = fold(model(), &values).graph.unwrap();
        assert_eq!(operators(&graph.node), ["Expand", "RandomNormalLike", "Add", "If", "Mul", "Add"]);
        let constants: Vec<&str> = graph.initializer.iter().map(|t| t.name()).collect();
        // w is still read by what is random, and turned only inside the branch.
        assert_eq!(constants, ["w", "one", "less", "many", "turned"]);
        // What was not computed stays, and what it is made of.
        let graph = fold(model(), &HashMap::new()).graph.unwrap();
        assert_eq!(graph, model().graph.unwrap());
    }

    #[test]
    fn functions_are_looked_into() {
        let function = |name: &str, nodes: &[(&str, &str)]| FunctionProto {
            domain: Some("own".into()),
            name: Some(name.into()),
            node: nodes
                .iter()
                .map(|(op, domain)| NodeProto { domain: Some((*domain).into()), ..node(op, &["a"], &["b"], vec![]) })
                .collect(),
            ..Default::default()
        };
        let functions = [
            function("Plain", &[("Neg", "")]),
            function("Outer", &[("Plain", "own"), ("Noisy", "own")]),
            function("Noisy", &[("Bernoulli", "")]),
            function("Circle", &[("Circle", "own")]),
        ];
        let call = |name: &str, domain: &str| {
            let node = NodeProto { domain: Some(domain.into()), ..node(name, &["w"], &["b"], vec![]) };
            let graph =
                GraphProto { node: vec![node], initializer: vec![tensor_f32("w", &[1], &[1.0])], ..Default::default() };
            constant_nodes(&graph, &functions).len()
        };
        assert_eq!(["Plain", "Outer", "Noisy", "Circle", "Foreign"].map(|name| call(name, "own")), [1, 0, 0, 1, 0]);
        assert_eq!([call("FusedGemm", "com.microsoft"), call("Neg", "com.example")], [1, 0]);
    }
}
