//! Graphs that are plain enough to be converted to another precision.

use super::build;
use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::{GraphProto, NodeProto, TensorProto};

/// Only in graphs of integers.
const QUANTIZED: [&str; 7] = [
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "ConvInteger",
    "QLinearMatMul",
    "QLinearConv",
];

/// Fails unless every node can be told from what stands in the graph; `form` is what the model shall be converted to.
pub(super) fn check(graph: &GraphProto, functions: bool, form: &str) -> Result<(), String> {
    let refused = |what: &str| Err(format!("{form} is not to be had for {what}"));
    if functions || graph.node.iter().any(|n| n.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty())) {
        return refused("a model with subgraphs or functions of its own");
    }
    if let Some(node) = graph.node.iter().find(|n| QUANTIZED.contains(&n.op_type())) {
        return refused(&format!("a quantised model ({})", node.op_type()));
    }
    if graph.initializer.iter().any(|t| t.data_location() == DataLocation::External) {
        return refused("a model that keeps weights in other files");
    }
    Ok(())
}

/// Float `Constant` nodes become initializers: one form of constants is enough.
pub(super) fn lift_constants(graph: &mut GraphProto) {
    let mut lifted = Vec::new();
    graph.node.retain(|node| match constant(node) {
        Some(tensor) => {
            lifted.push(tensor);
            false
        }
        None => true,
    });
    graph.initializer.extend(lifted);
}

fn constant(node: &NodeProto) -> Option<TensorProto> {
    let (["Constant"], [output], [attribute]) = ([node.op_type()], &node.output[..], &node.attribute[..]) else {
        return None;
    };
    match attribute.name() {
        "value" => {
            let tensor = attribute.t.as_ref().filter(|t| t.data_type() == DataType::Float as i32)?;
            Some(TensorProto { name: Some(output.clone()), ..tensor.clone() })
        }
        "value_float" => Some(build::tensor_f32(output, &[], &[attribute.f()])),
        "value_floats" => {
            let length = i64::try_from(attribute.floats.len()).ok()?;
            Some(build::tensor_f32(output, &[length], &attribute.floats))
        }
        _ => None,
    }
}
