//! Splicing: two models become one, the outputs of the first feeding inputs of the second.

use std::collections::{HashMap, HashSet};

use super::cut::defined;
use super::model::unlist_constants;
use super::opset::{opset, raise};
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
use super::unknown::Unknown;
use crate::error::{Error, Result};

/// Puts `second` behind `first`: each pair of `joins` is an output of `first` and the input of `second` that it feeds. What
/// `second` takes besides stays an input of the whole, and where `first` has an input of that name both read it.
///
/// The outputs are those of `second`, and then the outputs of `first` that feed nothing. The joined tensors have the names that `second`
/// knows them by, and all of `second` keeps its names; inner tensors of `first` whose names it uses get `/1` behind them. The older of two standard
/// operator sets is raised to the newer. Metadata of `first` is kept, and that of `second` besides, which wins where both have a
/// key. `name` is what errors call the whole.
///
/// # Errors
/// [`Error::Model`] when there is no such output or input, one is joined twice, an input or remaining output of `first` has the name of another
/// tensor of `second`, both import another version of a custom operator set or define functions of one name, or a model cannot be raised.
pub fn splice(first: ModelProto, second: ModelProto, joins: &[(&str, &str)], name: &str) -> Result<ModelProto> {
    let version = opset(&first).max(opset(&second));
    let (mut first, mut second) = (raise(first, version, name)?, raise(second, version, name)?);
    // The format of the whole may be newer than that of one of them.
    [&mut first, &mut second].into_iter().for_each(unlist_constants);
    let (mut front, back) = (first.graph.take().unwrap_or_default(), second.graph.take().unwrap_or_default());
    check(&front, &back, joins, name)?;

    let names = renamed(&front, &back, joins, name)?;
    rename(&mut front, &names);
    rename_nodes(&mut front.node, &back.node);
    let fed: HashSet<&str> = joins.iter().map(|(_, input)| *input).collect();
    let known: HashSet<String> = front.input.iter().map(|v| v.name().to_owned()).collect();
    front.output.retain(|v| !fed.contains(v.name()));
    front.output.splice(0..0, back.output);
    let (joined, open): (Vec<_>, Vec<_>) = back.input.into_iter().partition(|v| fed.contains(v.name()));
    front.input.extend(open.into_iter().filter(|v| !known.contains(v.name())));
    front.node.extend(back.node);
    front.initializer.extend(back.initializer);
    front.sparse_initializer.extend(back.sparse_initializer);
    front.quantization_annotation.extend(back.quantization_annotation);
    front.unknown = Unknown::join(front.unknown, back.unknown);
    front.value_info.retain(|v| !fed.contains(v.name()));
    // Now inner tensors, of which the types stay known.
    front.value_info.extend(joined.into_iter().chain(back.value_info));

    let opset_import = imports(&first.opset_import, &second.opset_import, name)?;
    let mut functions = first.functions;
    for function in second.functions {
        let same = |f: &super::proto::FunctionProto| (f.domain(), f.name()) == (function.domain(), function.name());
        match functions.iter().find(|f| same(f)) {
            Some(known) if *known == function => {}
            Some(_) => return Err(Error::model(name, format!("two functions are called {:?}", function.name()))),
            None => functions.push(function),
        }
    }
    let mut metadata_props = first.metadata_props;
    metadata_props.retain(|p| second.metadata_props.iter().all(|q| q.key() != p.key()));
    metadata_props.extend(second.metadata_props);
    let ir_version = first.ir_version.max(second.ir_version);
    let unknown = Unknown::join(first.unknown, second.unknown);
    Ok(ModelProto { graph: Some(front), functions, metadata_props, opset_import, ir_version, unknown, ..first })
}

fn check(front: &GraphProto, back: &GraphProto, joins: &[(&str, &str)], name: &str) -> Result<()> {
    for (i, (output, input)) in joins.iter().enumerate() {
        if joins.iter().take(i).any(|(other, fed)| other == output || fed == input) {
            return Err(Error::model(name, format!("{output:?} and {input:?} are not joined once")));
        }
        if !front.output.iter().any(|v| v.name() == *output) {
            return Err(Error::model(name, format!("the first part has no output {output:?}")));
        }
        if !back.input.iter().any(|v| v.name() == *input) {
            return Err(Error::model(name, format!("the second part has no input {input:?}")));
        }
    }
    Ok(())
}

/// The new names of tensors of `front`.
fn renamed(
    front: &GraphProto,
    back: &GraphProto,
    joins: &[(&str, &str)],
    name: &str,
) -> Result<HashMap<String, String>> {
    let (mut used, mut own) = (HashSet::new(), HashSet::new());
    every_name(back, &mut used);
    every_name(front, &mut own);
    let free = |name: &String| !used.contains(name.as_str()) && !own.contains(name.as_str());
    let joined = |tensor: &str| joins.iter().find(|(output, _)| *output == tensor).map(|(_, input)| *input);
    let named = |values: &[ValueInfoProto], tensor: &str| values.iter().any(|v| v.name() == tensor);
    // A constant that can be overridden is no port: it is listed under the name that it gets.
    let constant = |graph: &GraphProto, tensor: &str| graph.initializer.iter().any(|t| t.name() == tensor);
    let port = |graph: &GraphProto, tensor: &str| named(&graph.input, tensor) && !constant(graph, tensor);
    // What is not fed by the front, so that an input of the front may be the same.
    let open = |tensor: &str| port(back, tensor) && joins.iter().all(|(_, input)| *input != tensor);
    let mut names = HashMap::new();
    for &tensor in &own {
        if let Some(input) = joined(tensor) {
            if port(front, tensor) && input != tensor {
                return Err(Error::model(name, format!("its input {tensor:?} cannot be joined under another name")));
            }
            names.insert(tensor.to_owned(), input.to_owned());
        } else if used.contains(tensor) && !(port(front, tensor) && open(tensor)) {
            if port(front, tensor) || named(&front.output, tensor) {
                return Err(Error::model(name, format!("both of its parts have a tensor {tensor:?}")));
            }
            let new = (1..).map(|i| format!("{tensor}/{i}")).find(free).unwrap_or_default();
            names.insert(tensor.to_owned(), new);
        }
    }
    Ok(names)
}

/// Gives nodes of the front that are called as nodes of the back names of their own: no two of a graph may be called alike.
fn rename_nodes(front: &mut [NodeProto], back: &[NodeProto]) {
    let mut taken: HashSet<String> = front.iter().chain(back).map(|node| node.name().to_owned()).collect();
    let back: HashSet<&str> = back.iter().map(|node| node.name()).filter(|name| !name.is_empty()).collect();
    for node in front.iter_mut().filter(|node| back.contains(node.name())) {
        let new = (1..).map(|i| format!("{}/{i}", node.name())).find(|name| !taken.contains(name));
        taken.extend(new.clone());
        node.name = new;
    }
}

/// The names of all tensors of a graph, those inside its subgraphs too.
fn every_name<'a>(graph: &'a GraphProto, names: &mut HashSet<&'a str>) {
    names.extend(defined(graph));
    for attribute in graph.node.iter().flat_map(|node| &node.attribute) {
        attribute.g.iter().chain(&attribute.graphs).for_each(|inner| every_name(inner, names));
    }
}

/// Renames one tensor of a model wherever its graph names it. The new name must be free.
pub fn rename_tensor(model: &mut ModelProto, from: &str, to: &str) {
    if let Some(graph) = &mut model.graph {
        rename(graph, &HashMap::from([(from.to_owned(), to.to_owned())]));
    }
}

/// Renames tensors wherever a graph names them, in subgraphs too. The new names must be free.
pub(super) fn rename(graph: &mut GraphProto, names: &HashMap<String, String>) {
    let change = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()) {
            name.clone_from(new);
        }
    };
    let change_some = |name: &mut Option<String>| name.as_mut().map_or((), change);
    for value in graph.input.iter_mut().chain(&mut graph.output).chain(&mut graph.value_info) {
        change_some(&mut value.name);
    }
    graph.initializer.iter_mut().for_each(|t| change_some(&mut t.name));
    for tensor in graph.sparse_initializer.iter_mut().filter_map(|t| t.values.as_mut()) {
        change_some(&mut tensor.name);
    }
    for annotation in &mut graph.quantization_annotation {
        change_some(&mut annotation.tensor_name);
        annotation.quant_parameter_tensor_names.iter_mut().for_each(|entry| change_some(&mut entry.value));
    }
    for NodeProto { input, output, attribute, .. } in &mut graph.node {
        input.iter_mut().chain(output).for_each(change);
        for AttributeProto { g, graphs, .. } in attribute {
            g.iter_mut().chain(graphs).for_each(|inner| rename(inner, names));
        }
    }
}

fn imports(first: &[OperatorSetIdProto], second: &[OperatorSetIdProto], name: &str) -> Result<Vec<OperatorSetIdProto>> {
    let mut all = first.to_vec();
    for import in second {
        let domain =
            |i: &OperatorSetIdProto| if i.domain() == "ai.onnx" { String::new() } else { i.domain().to_owned() };
        match all.iter().find(|known| domain(known) == domain(import)) {
            None => all.push(import.clone()),
            Some(known) if known.version() == import.version() => {}
            Some(known) => {
                let (a, b, domain) = (known.version(), import.version(), import.domain());
                return Err(Error::model(
                    name,
                    format!("its parts use versions {a} and {b} of the operators {domain:?}"),
                ));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::build::{self, Dim};
    use super::super::model::{metadata, set_metadata};
    use super::super::proto::tensor_proto::DataType;
    use super::*;

    fn part(inputs: &[&str], nodes: &[(&str, &[&str], &str)], outputs: &[&str]) -> ModelProto {
        let value = |name: &&str| build::value(name, DataType::Float, &[Dim::Named("n")]);
        build::model(GraphProto {
            input: inputs.iter().map(value).collect(),
            initializer: vec![build::tensor_f32("w", &[1], &[inputs.len() as f32])],
            node: nodes.iter().map(|(op, from, to)| build::node(op, from, &[to], vec![])).collect(),
            output: outputs.iter().map(value).collect(),
            ..Default::default()
        })
    }

    fn names(values: &[ValueInfoProto]) -> Vec<&str> {
        values.iter().map(|v| v.name()).collect()
    }

    #[test]
    fn the_second_keeps_its_names_and_shared_inputs_are_one() {
        let first = part(&["x", "mask"], &[("Mul", &["x", "w"], "a"), ("Relu", &["a"], "b")], &["b", "a"]);
        let second = part(&["in", "mask"], &[("Mul", &["in", "w"], "c"), ("Add", &["c", "mask"], "y")], &["y"]);
        let graph = splice(first, second, &[("b", "in")], "m").unwrap().graph.unwrap();
        assert_eq!((names(&graph.input), names(&graph.output)), (vec!["x", "mask"], vec!["y", "a"]));
        let reads: Vec<String> = graph.node.iter().map(|n| format!("{}={}", n.output[0], n.input.join(","))).collect();
        assert_eq!(reads, ["a=x,w/1", "in=a", "c=in,w", "y=c,mask"]);
        assert_eq!(graph.initializer.iter().map(|t| t.name()).collect::<Vec<_>>(), ["w/1", "w"]);
        // What was an input stays described.
        assert_eq!(names(&graph.value_info), ["in"]);
    }

    #[test]
    fn listed_constants_are_constants_and_no_inputs() {
        let value = build::value("w", DataType::Float, &[Dim::Fixed(1)]);
        let spliced = |format| {
            let mut first = part(&["x"], &[("Mul", &["x", "w"], "a")], &["a"]);
            first.ir_version = Some(format);
            first.graph.as_mut().unwrap().input.push(value.clone());
            let second = part(&["in"], &[("Mul", &["in", "w"], "y")], &["y"]);
            splice(first, second, &[("a", "in")], "m").unwrap().graph.unwrap()
        };
        // In the oldest format they had to be listed; in later ones those that are can be overridden, and stay so.
        for (format, inputs) in [(3, vec!["x"]), (8, vec!["x", "w/1"])] {
            let graph = spliced(format);
            assert_eq!((names(&graph.input), graph.node[0].input[1].as_str()), (inputs, "w/1"));
        }
    }

    #[test]
    fn no_two_nodes_are_called_alike() {
        let same = |input, output| part(&[input], &[("Relu", &[input], "r"), ("Relu", &["r"], output)], &[output]);
        let graph = splice(same("x", "b"), same("in", "y"), &[("b", "in")], "m").unwrap().graph.unwrap();
        let called: Vec<&str> = graph.node.iter().map(|n| n.name()).collect();
        assert_eq!(called, ["r/Relu/1", "b/Relu", "r/Relu", "y/Relu"]);
        assert_eq!(graph.node[1].input, ["r/1"]);
    }

    #[test]
    fn metadata_is_joined_and_operators_become_the_newer() {
        let mut first = part(&["x"], &[("Relu", &["x"], "b")], &["b"]);
        let mut second = part(&["b"], &[("Relu", &["b"], "y")], &["y"]);
        for (model, value) in [(&mut first, "1"), (&mut second, "2")] {
            set_metadata(model, "both", value);
            set_metadata(model, value, value);
        }
        first.opset_import[0].version = Some(21);
        let whole = splice(first, second, &[("b", "b")], "m").unwrap();
        assert_eq!(["both", "1", "2"].map(|key| metadata(&whole, key)), [Some("2"), Some("1"), Some("2")]);
        assert_eq!(opset(&whole), 21);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let first = || part(&["x"], &[("Relu", &["x"], "b")], &["b"]);
        let second = |output: &str| part(&["in"], &[("Relu", &["in"], output)], &[output]);
        let reason = |joins: &[(&str, &str)], second| splice(first(), second, joins, "m").unwrap_err().to_string();
        assert!(reason(&[("z", "in")], second("y")).contains("no output \"z\""));
        assert!(reason(&[("b", "z")], second("y")).contains("no input \"z\""));
        assert!(reason(&[("b", "in")], second("x")).contains("both of its parts have a tensor \"x\""));
        let same = part(&["x"], &[("Relu", &["x"], "y")], &["y"]);
        assert!(reason(&[("b", "x")], same).contains("both of its parts have a tensor \"x\""));
        assert!(reason(&[("b", "in"), ("b", "in")], second("y")).contains("not joined once"));
        let mut other = second("y");
        let mut own = first();
        for (model, version) in [(&mut own, 1), (&mut other, 2)] {
            model.opset_import.push(build::operators("com.example", version));
        }
        let error = splice(own, other, &[("b", "in")], "m").unwrap_err().to_string();
        assert!(error.contains("versions 1 and 2"), "{error}");
    }
}
