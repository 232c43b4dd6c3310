//! Cutting: keep only what some inner tensors need.

use std::collections::{HashMap, HashSet};

use super::build::{self, Dim};
use super::proto::tensor_proto::DataType;
use super::proto::{GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::reads::reads;
use super::signature::Port;
use crate::error::{Error, Result};

/// Names longer than this are compared by their beginning only when a near one is looked for.
const COMPARED: usize = 200;

/// A place to cut: an inner tensor that becomes an output.
#[derive(Debug, Clone, PartialEq)]
pub struct CutPoint {
    /// The tensor's name in the graph.
    pub tensor: String,
    /// Take only this index of the tensor's axis 1, which then disappears: `[b, tokens, d]` becomes `[b, d]`.
    pub token: Option<i64>,
    /// The output that it becomes.
    pub output: Port,
}

/// Replaces the outputs of `model` (called `name` in errors) by `points` and drops every node, constant and input that
/// they do not need. What a node's subgraphs (`If`, `Loop`, `Scan`) use from outside counts as needed.
///
/// An output under a new name is an `Identity` node: nothing inside the graph is renamed.
///
/// # Errors
/// When a tensor does not exist (near names are listed), or an output's name is taken by another tensor or twice.
pub fn cut(model: ModelProto, points: &[CutPoint], name: &str) -> Result<ModelProto> {
    cut_between(model, &[], points, name)
}

/// As [`cut`], and the inner tensors `starts` become inputs: what only they need goes too. Inputs and constants that the
/// points need besides stay.
///
/// # Errors
/// As [`cut`], for the tensors of `starts` too.
pub fn cut_between(model: ModelProto, starts: &[Port], points: &[CutPoint], name: &str) -> Result<ModelProto> {
    let mut graph = model.graph.unwrap_or_default();
    check(&graph, points, name)?;
    let known: HashSet<&str> = defined(&graph).collect();
    if let Some(start) = starts.iter().find(|start| !known.contains(start.name.as_str())) {
        return Err(unknown(&graph, &start.name, name));
    }
    let starting: HashSet<&str> = starts.iter().map(|start| start.name.as_str()).collect();
    let needed = needed(&graph, points.iter().map(|p| p.tensor.as_str()), &starting);

    let mut keep = needed.nodes.iter();
    graph.node.retain(|_| keep.next().copied().unwrap_or(false));
    let names = needed.names;
    graph.initializer.retain(|t| names.contains(t.name()));
    graph.sparse_initializer.retain(|t| t.values.as_ref().is_some_and(|v| names.contains(v.name())));
    graph.input.retain(|v| names.contains(v.name()));
    graph.value_info.retain(|v| names.contains(v.name()) && !starting.contains(v.name()));
    graph.quantization_annotation.retain(|a| names.contains(a.tensor_name()));
    let inputs: Vec<&str> = graph.input.iter().map(|v| v.name()).collect();
    let new: Vec<ValueInfoProto> =
        starts.iter().filter(|start| !inputs.contains(&start.name.as_str())).map(declared).collect();
    // Whoever reads the inputs by their order expects what was cut first.
    graph.input.splice(0..0, new);

    graph.output.clear();
    for point in points {
        let output = point.output.name.as_str();
        if let Some(token) = point.token {
            let index = format!("{output}/index");
            graph.initializer.push(build::tensor_i64(&index, &[], &[token]));
            let axis = vec![build::attr_int("axis", 1)];
            graph.node.push(build::node("Gather", &[&point.tensor, &index], &[output], axis));
        } else if output != point.tensor {
            graph.node.push(build::node("Identity", &[&point.tensor], &[output], Vec::new()));
        }
        graph.output.push(declared(&point.output));
    }
    Ok(ModelProto { graph: Some(graph), ..model })
}

/// What is not known of an output is left to whoever loads the model, who can infer it.
fn declared(port: &Port) -> ValueInfoProto {
    match &port.shape {
        Some(shape) if port.element != DataType::Undefined => {
            build::value(&port.name, port.element, &shape.iter().map(Dim::from).collect::<Vec<Dim>>())
        }
        _ => ValueInfoProto { name: Some(port.name.clone()), ..Default::default() },
    }
}

/// Every tensor name that a graph defines at its top level: inputs, initializers and what nodes give.
pub(super) fn defined(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().map(|v| v.name());
    let dense = graph.initializer.iter().map(|t| t.name());
    let sparse = graph.sparse_initializer.iter().filter_map(|t| t.values.as_ref()).map(|t| t.name());
    let computed = graph.node.iter().flat_map(|n| &n.output).map(String::as_str);
    inputs.chain(dense).chain(sparse).chain(computed).filter(|name| !name.is_empty())
}

/// The first output of each node at the top level, in the order of the graph.
pub fn outputs_of_nodes(model: &ModelProto) -> impl Iterator<Item = &str> {
    let nodes = model.graph.iter().flat_map(|graph| &graph.node);
    nodes.filter_map(|node| node.output.first()).map(String::as_str)
}

/// Checks that `model` (called `name` in errors) defines each of `tensors` at its top level.
///
/// # Errors
/// When it does not; near names are listed.
pub fn check_tensors(model: &ModelProto, tensors: &[&str], name: &str) -> Result<()> {
    let none = GraphProto::default();
    let graph = model.graph.as_ref().unwrap_or(&none);
    let known: HashSet<&str> = defined(graph).collect();
    match tensors.iter().find(|tensor| !known.contains(**tensor)) {
        Some(tensor) => Err(unknown(graph, tensor, name)),
        None => Ok(()),
    }
}

fn unknown(graph: &GraphProto, tensor: &str, name: &str) -> Error {
    let near = near(tensor, defined(graph)).join(", ");
    Error::model(name, format!("no tensor {tensor}; the nearest names are {near}"))
}

fn check(graph: &GraphProto, points: &[CutPoint], name: &str) -> Result<()> {
    let known: HashSet<&str> = defined(graph).collect();
    let mut given = HashSet::new();
    for CutPoint { tensor, token, output } in points {
        if !known.contains(tensor.as_str()) {
            return Err(unknown(graph, tensor, name));
        }
        let itself = token.is_none() && *tensor == output.name;
        if !given.insert(&output.name) || (known.contains(output.name.as_str()) && !itself) {
            return Err(Error::model(name, format!("the name {} of an output is already taken", output.name)));
        }
    }
    Ok(())
}

/// What some tensors need of a graph.
struct Needed {
    /// For each node of the graph, whether it must run.
    nodes: Vec<bool>,
    /// The names of all tensors that are used.
    names: HashSet<String>,
}

fn needed<'a>(graph: &'a GraphProto, tensors: impl Iterator<Item = &'a str>, starts: &HashSet<&str>) -> Needed {
    let outputs = |(i, node): (usize, &'a NodeProto)| node.output.iter().map(move |o| (o.as_str(), i));
    let producer: HashMap<&str, usize> = graph.node.iter().enumerate().flat_map(outputs).collect();
    let mut nodes = vec![false; graph.node.len()];
    let mut names = HashSet::new();
    let mut open: Vec<&str> = tensors.collect();
    while let Some(name) = open.pop() {
        if name.is_empty() || !names.insert(name.to_owned()) {
            continue;
        }
        let Some(&i) = producer.get(name).filter(|_| !starts.contains(name)) else { continue };
        if let (Some(node), Some(seen @ false)) = (graph.node.get(i), nodes.get_mut(i)) {
            *seen = true;
            open.extend(reads(node));
        }
    }
    Needed { nodes, names }
}

/// The five names most like `wanted`.
fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut ranked: Vec<(usize, &str)> = names.map(|name| (edits(wanted, name), name)).collect();
    ranked.sort_unstable();
    ranked.into_iter().take(5).map(|(_, name)| name).collect()
}

/// Levenshtein's distance in bytes, row by row.
fn edits(a: &str, b: &str) -> usize {
    let (a, b) = (a.bytes().take(COMPARED), b.bytes().take(COMPARED).collect::<Vec<u8>>());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let up = *cell;
            left = (diagonal + usize::from(x != *y)).min(up + 1).min(left + 1);
            (*cell, diagonal) = (left, up);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::proto::AttributeProto;
    use super::*;

    /// x → a → b → y; x2 → dead; `choose` is an `If` whose branch reads `a` and the constant `k`.
    fn model() -> ModelProto {
        let branch = GraphProto {
            node: vec![build::node("Mul", &["a", "k"], &["inner"], vec![])],
            output: vec![build::value("inner", DataType::Float, &[])],
            ..Default::default()
        };
        let branch = AttributeProto { g: Some(branch), ..build::attr_int("then_branch", 0) };
        build::model(GraphProto {
            input: ["x", "x2", "c"].map(|n| build::value(n, DataType::Float, &[Dim::Named("n")])).to_vec(),
            initializer: ["w", "k", "unused"].map(|n| build::tensor_f32(n, &[1], &[2.0])).to_vec(),
            value_info: ["a", "b"].map(|n| build::value(n, DataType::Float, &[])).to_vec(),
            node: vec![
                build::node("Relu", &["x"], &["a"], vec![]),
                build::node("Mul", &["a", "w"], &["b"], vec![]),
                build::node("Relu", &["x2"], &["dead"], vec![]),
                build::node("If", &["c"], &["choose"], vec![branch]),
                build::node("Relu", &["b"], &["y"], vec![]),
            ],
            output: vec![build::value("y", DataType::Float, &[Dim::Named("n")])],
            ..Default::default()
        })
    }

    fn point(tensor: &str, output: &str) -> CutPoint {
        let output = Port { name: output.to_owned(), element: DataType::Float, shape: None };
        CutPoint { tensor: tensor.to_owned(), token: None, output }
    }

    fn names<T>(items: &[T], name: impl Fn(&T) -> &str) -> Vec<&str> {
        items.iter().map(name).collect()
    }

    #[test]
    fn only_what_is_needed_remains() {
        let graph = cut(model(), &[point("b", "features")], "m").unwrap().graph.unwrap();
        assert_eq!(names(&graph.node, |n| n.op_type()), ["Relu", "Mul", "Identity"]);
        assert_eq!(names(&graph.input, |v| v.name()), ["x"]);
        assert_eq!(names(&graph.initializer, |t| t.name()), ["w"]);
        assert_eq!(names(&graph.value_info, |v| v.name()), ["a", "b"]);
        assert_eq!(names(&graph.output, |v| v.name()), ["features"]);
    }

    #[test]
    fn what_a_subgraph_captures_is_kept() {
        let graph = cut(model(), &[point("choose", "choose")], "m").unwrap().graph.unwrap();
        assert_eq!(names(&graph.node, |n| n.op_type()), ["Relu", "If"]);
        assert_eq!(names(&graph.input, |v| v.name()), ["x", "c"]);
        assert_eq!(names(&graph.initializer, |t| t.name()), ["k"]);
    }

    #[test]
    fn one_token_is_gathered_beside_the_whole() {
        let first = CutPoint { token: Some(0), ..point("b", "cls") };
        let graph = cut(model(), &[first, point("b", "tokens")], "m").unwrap().graph.unwrap();
        assert_eq!(names(&graph.node, |n| n.op_type()), ["Relu", "Mul", "Gather", "Identity"]);
        assert_eq!(names(&graph.output, |v| v.name()), ["cls", "tokens"]);
    }

    #[test]
    fn a_wrong_name_lists_near_ones_and_a_taken_name_is_refused() {
        let error = cut(model(), &[point("chose", "z")], "m").unwrap_err().to_string();
        assert!(error.contains("no tensor chose; the nearest names are choose,"), "{error}");
        for points in [vec![point("b", "a")], vec![point("a", "z"), point("b", "z")]] {
            let error = cut(model(), &points, "m").unwrap_err().to_string();
            assert!(error.contains("already taken"), "{error}");
        }
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(["", "kitten", "sitting", "kitte"].map(|b| edits("kitten", b)), [6, 0, 3, 1]);
    }
}
