//! Exposing: inner tensors as the one output of a model.

use std::collections::HashSet;

use super::build;
use super::cut::{CutPoint, cut};
use super::proto::tensor_proto::DataType;
use super::proto::{ModelProto, ValueInfoProto};
use super::signature::{Port, signature};
use crate::error::Result;

/// How several tensors become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// `[batch, d]` each, joined along `d`.
    Vectors,
    /// `[batch, tokens, d]` each, joined along `d`: to pool them then is the same as to join what is pooled.
    Tokens,
    /// `[batch, channels, height, width]` each, of whatever size: averaged over the places, then joined as vectors.
    Maps,
}

/// Cuts `model` (called `name` in errors) down to one output, which is called what [`joined_name`] gives: the tensor
/// itself, or several that are joined.
///
/// # Errors
/// As [`cut`]. Tensors that are not as `join` says fail when the graph is loaded or run.
pub fn expose(model: ModelProto, tensors: &[&str], join: Join, name: &str) -> Result<ModelProto> {
    let known = signature(&model).outputs;
    let port = |tensor: &&str| {
        let unknown = Port { name: (*tensor).to_owned(), element: DataType::Undefined, shape: None };
        known.iter().find(|port| port.name == **tensor).cloned().unwrap_or(unknown)
    };
    let point = |tensor| CutPoint { tensor: str::to_owned(tensor), token: None, output: port(&tensor) };
    let points: Vec<CutPoint> = tensors.iter().copied().map(point).collect();
    let mut model = cut(model, &points, name)?;
    let Some(graph) = model.graph.as_mut().filter(|_| tensors.len() > 1) else { return Ok(model) };

    let output = joined_name(tensors);
    let mut parts: Vec<String> = tensors.iter().map(|tensor| (*tensor).to_owned()).collect();
    if join == Join::Maps {
        for (i, part) in parts.iter_mut().enumerate() {
            let name = |step: &str| format!("{output}/{i}/{step}");
            let (turned, mean, vector) = (name("turned"), name("mean"), name("vector"));
            // Changes no mean, and fails on what is no map: a mean over [batch, tokens, d] would be one of features.
            let order = vec![build::attr_ints("perm", &[0, 1, 3, 2])];
            graph.node.push(build::node("Transpose", &[part], &[&turned], order));
            graph.node.push(build::node("GlobalAveragePool", &[&turned], &[&mean], vec![]));
            graph.node.push(build::node("Flatten", &[&mean], &[&vector], vec![build::attr_int("axis", 1)]));
            *part = vector;
        }
    }
    let axis = if join == Join::Tokens { 2 } else { 1 };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    graph.node.push(build::node("Concat", &parts, &[&output], vec![build::attr_int("axis", axis)]));
    graph.output = vec![ValueInfoProto { name: Some(output), ..Default::default() }];
    Ok(model)
}

/// `model` with every inner tensor of its graph as an output besides.
pub fn expose_all(mut model: ModelProto) -> ModelProto {
    let Some(graph) = &mut model.graph else { return model };
    let mut given: HashSet<String> = graph.output.iter().map(|value| value.name().to_owned()).collect();
    for tensor in graph.node.iter().flat_map(|node| &node.output) {
        if !tensor.is_empty() && given.insert(tensor.clone()) {
            graph.output.push(ValueInfoProto { name: Some(tensor.clone()), ..Default::default() });
        }
    }
    model
}

/// The name of an output that joins these tensors: their names with commas between.
pub fn joined_name(tensors: &[&str]) -> String {
    tensors.join(",")
}

/// Whether the top level of the graph defines this tensor.
pub fn has_tensor(model: &ModelProto, tensor: &str) -> bool {
    let Some(graph) = &model.graph else { return false };
    super::cut::defined(graph).any(|name| name == tensor)
}

/// Inner tensors that may be the output of a layer, in the graph's order: what normalisations give, and where nothing
/// is normalised sums of two computed tensors, as residual blocks end with.
pub fn layer_candidates(model: &ModelProto) -> Vec<&str> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let given = |wanted: fn(&str) -> bool| {
        graph.node.iter().filter(move |n| wanted(n.op_type())).filter_map(|n| Some((n, n.output.first()?.as_str())))
    };
    let normalised: Vec<&str> = given(|op| op.ends_with("LayerNormalization")).map(|(_, output)| output).collect();
    if !normalised.is_empty() {
        return normalised;
    }
    let fixed = |name: &String| {
        graph.initializer.iter().any(|t| t.name() == name)
            || graph.node.iter().any(|n| n.op_type() == "Constant" && n.output.contains(name))
    };
    given(|op| op == "Add").filter(|(node, _)| !node.input.iter().any(fixed)).map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::super::build::Dim;
    use super::super::proto::GraphProto;
    use super::*;

    /// x → a → b → y, of which b is a sum of computed tensors.
    fn model() -> ModelProto {
        build::model(GraphProto {
            input: vec![build::value("x", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)])],
            initializer: vec![build::tensor_f32("w", &[1], &[2.0])],
            node: vec![
                build::node("Add", &["x", "w"], &["a"], vec![]),
                build::node("Add", &["a", "x"], &["b"], vec![]),
                build::node("Relu", &["b"], &["y"], vec![]),
            ],
            output: vec![build::value("y", DataType::Float, &[Dim::Named("n"), Dim::Fixed(2)])],
            ..Default::default()
        })
    }

    #[test]
    fn one_tensor_is_the_output_under_its_own_name() {
        let graph = expose(model(), &["b"], Join::Tokens, "m").unwrap().graph.unwrap();
        assert_eq!(graph.node.len(), 2);
        let [output] = &graph.output[..] else { panic!("{:?}", graph.output) };
        // What is known of no inner tensor is not claimed.
        assert_eq!((output.name(), &output.r#type), ("b", &None));
        let whole = expose(model(), &["y"], Join::Vectors, "m").unwrap().graph.unwrap();
        assert_eq!(whole, model().graph.unwrap());
    }

    #[test]
    fn several_are_joined_in_their_order() {
        for (join, nodes, axis) in [(Join::Vectors, 4, 1), (Join::Tokens, 4, 2), (Join::Maps, 10, 1)] {
            let graph = expose(model(), &["y", "a"], join, "m").unwrap().graph.unwrap();
            assert_eq!((graph.node.len(), graph.output.len(), graph.output[0].name()), (nodes, 1, "y,a"));
            let last = graph.node.last().unwrap();
            assert_eq!((last.op_type(), last.attribute[0].i()), ("Concat", axis));
        }
    }

    #[test]
    fn an_unknown_tensor_is_answered_with_near_ones() {
        let error = expose(model(), &["bb"], Join::Tokens, "m").unwrap_err().to_string();
        assert!(error.contains("no tensor bb; the nearest names are b,"), "{error}");
        assert!(has_tensor(&model(), "a") && has_tensor(&model(), "w") && !has_tensor(&model(), "bb"));
    }

    #[test]
    fn candidates_are_normalisations_before_residual_sums() {
        let mut model = model();
        assert_eq!(layer_candidates(&model), ["b"]);
        let graph = model.graph.as_mut().unwrap();
        graph.node.push(build::node("SkipLayerNormalization", &["a", "b"], &["n"], vec![]));
        assert_eq!(layer_candidates(&model), ["n"]);
    }
}
