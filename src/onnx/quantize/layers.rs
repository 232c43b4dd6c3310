//! What can be computed in eight bits.

use std::collections::HashMap;

use super::super::plain::lift_constants;
use super::super::proto::tensor_proto::DataType;
use super::super::proto::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Tables of fewer values are not worth the nodes.
const TABLE: i64 = 1 << 14;

/// An operation with weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The tensor that it gives.
    pub name: String,
    /// The operator.
    pub op: String,
    /// How many weights it has.
    pub weights: usize,
    /// Whether it can be had with ranges that each run finds: products and tables, not convolutions.
    pub dynamic: bool,
}

/// How a layer is quantised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Weights with a scale for each index of this axis, and codes for the activations: convolutions.
    Convolution,
    /// The same of matrix products, whose results may also be floats.
    Product {
        /// The weights' axis of the outputs.
        axis: usize,
    },
    /// A table that rows are taken from, with a scale for each row.
    Table,
}

impl Form {
    pub(super) fn is_dynamic(self) -> bool {
        matches!(self, Self::Product { .. } | Self::Table)
    }
}

/// The float constants of a graph by name; those without values are none.
pub(super) fn constants(graph: &GraphProto) -> HashMap<&str, &TensorProto> {
    let floats = graph.initializer.iter().filter(|t| t.data_type() == DataType::Float as i32);
    floats.filter(|t| t.dims.iter().all(|&size| size > 0)).map(|t| (t.name(), t)).collect()
}

/// How this node is quantised, if it can be.
pub(super) fn form(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<Form> {
    let constant = |place: usize| node.input.get(place).and_then(|input| constants.get(input.as_str())).copied();
    let computed = |place: usize| node.input.get(place).is_some_and(|input| !constants.contains_key(input.as_str()));
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name() == name);
    let is_one = |name: &str| attribute(name).is_none_or(|a| a.f() == 1.0);
    let bias = match node.input.get(2).filter(|input| !input.is_empty()) {
        None => true,
        Some(_) => constant(2).is_some_and(|bias| bias.dims.len() == 1),
    };
    if node.domain() != "" && node.domain() != "ai.onnx" {
        return None;
    }
    match node.op_type() {
        "Conv" if computed(0) && bias && constant(1)?.dims.len() >= 3 => Some(Form::Convolution),
        "Gemm" if computed(0) && bias && constant(1)?.dims.len() == 2 => {
            let plain = is_one("alpha") && is_one("beta") && attribute("transA").is_none_or(|a| a.i() == 0);
            let axis = if attribute("transB").is_some_and(|a| a.i() != 0) { 0 } else { 1 };
            let outputs = constant(1)?.dims.get(axis).copied();
            let fits = constant(2).is_none_or(|bias| bias.dims.first().copied() == outputs);
            (plain && fits).then_some(Form::Product { axis })
        }
        "MatMul" if computed(0) && constant(1)?.dims.len() == 2 => Some(Form::Product { axis: 1 }),
        "Gather" if computed(1) => {
            let table = constant(0)?;
            let rows = attribute("axis").is_none_or(|a| a.i() == 0);
            (rows && table.dims.len() == 2 && count(table) >= TABLE).then_some(Form::Table)
        }
        _ => None,
    }
}

/// The layers of a model that eight bits can be had for, in the order of the graph.
pub fn layers(model: &ModelProto) -> Vec<Layer> {
    let mut graph = model.graph.clone().unwrap_or_default();
    lift_constants(&mut graph);
    let constants = constants(&graph);
    let layer = |node: &NodeProto| {
        let form = form(node, &constants)?;
        let weights = match form {
            Form::Table => node.input.first(),
            Form::Convolution | Form::Product { .. } => node.input.get(1),
        };
        let weights = count(constants.get(weights?.as_str())?);
        let name = node.output.first()?.clone();
        let weights = usize::try_from(weights).ok()?;
        Some(Layer { name, op: node.op_type().to_owned(), weights, dynamic: form.is_dynamic() })
    };
    graph.node.iter().filter_map(layer).collect()
}

fn count(tensor: &TensorProto) -> i64 {
    tensor.dims.iter().fold(1_i64, |n, &d| n.saturating_mul(d))
}
