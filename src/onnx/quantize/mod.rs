//! Eight bits: weights and activations as integers, in the form that every runtime reads and fuses.
//!
//! Each tensor that a layer takes is put through `QuantizeLinear` and `DequantizeLinear`, and so is each constant in the form
//! of its codes: standard operators, so that the file runs anywhere, and where a runtime finds an operation between such pairs
//! it computes with the codes themselves. Activations have one scale and unsigned codes, weights signed ones with a scale
//! for each output: the pair that processors multiply at their fastest.

mod affine;
mod layers;
mod plan;
mod rewrite;

use std::collections::{HashMap, HashSet};

pub use affine::Affine;
pub use layers::{Layer, layers};
use plan::Plan;
use rewrite::Rewriter;

use super::opset::raise;
use super::plain::{check, lift_constants};
use super::proto::ModelProto;
use crate::error::{Error, Result};

/// The first operator set whose `DequantizeLinear` knows a scale for each index.
const OPSET: i64 = 13;

/// The tensors whose ranges [`quantize`] needs for these layers or any of them: what they take, and what they give.
///
/// # Errors
/// When the model has subgraphs or functions of its own, is quantised, or keeps weights in other files.
pub fn observed(model: &ModelProto, layers: &HashSet<&str>, name: &str) -> Result<Vec<String>> {
    let mut graph = model.graph.clone().unwrap_or_default();
    lift_constants(&mut graph);
    check(&graph, !model.functions.is_empty(), "int8").map_err(|reason| Error::model(name, reason))?;
    let plan = Plan::of(&graph, layers);
    Ok(plan.rounded.iter().filter(|(tensor, range)| tensor == range).map(|(tensor, _)| (*tensor).to_owned()).collect())
}

/// `model` (called `name` in errors) with these layers in eight bits, and what lies between them where they feed one another.
/// `ranges` holds the least and the greatest value of each tensor that [`observed`] names; what is beyond is cut off.
///
/// # Errors
/// As [`observed`]; when a range is missing or not finite, or a weight is not finite.
pub fn quantize(
    model: ModelProto,
    layers: &HashSet<&str>,
    ranges: &HashMap<String, [f32; 2]>,
    name: &str,
) -> Result<ModelProto> {
    let mut model = raise(model, OPSET, name)?;
    let mut graph = model.graph.take().unwrap_or_default();
    lift_constants(&mut graph);
    let functions = !model.functions.is_empty();
    let done = check(&graph, functions, "int8").and_then(|()| {
        let plan = Plan::of(&graph, layers);
        Rewriter::of(&graph, &plan, ranges)?.run()
    });
    let (nodes, constants) = done.map_err(|reason| Error::model(name, reason))?;
    graph.node = nodes;
    graph.initializer.extend(constants);
    let used: HashSet<&str> = graph.node.iter().flat_map(|n| &n.input).map(String::as_str).collect();
    let outputs: HashSet<&str> = graph.output.iter().map(|v| v.name()).collect();
    graph.initializer.retain(|t| used.contains(t.name()) || outputs.contains(t.name()));
    model.graph = Some(graph);
    Ok(model)
}
