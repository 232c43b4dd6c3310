//! Two products with a nonlinearity between them. GELU is spelt out: the operator is newer than the operator set.

use super::super::mlp::{Activation, GELU, MlpHead};
use super::{add_matrix, features, fixed, input, layer};
use crate::onnx::{GraphBuilder, Model, float_constant};

/// The constants of GELU in the graph.
fn constants() -> [(&'static str, f32); 4] {
    [("gelu_root", GELU[0] as f32), ("gelu_cubic", GELU[1] as f32), ("gelu_one", 1.0), ("gelu_half", 0.5)]
}

pub(super) fn write(head: &MlpHead, graph: &mut GraphBuilder) {
    let layers = [("hidden_weight", "hidden_bias", head.hidden()), ("weight", "bias", head.output())];
    for (weight, bias, (weights, biases)) in layers {
        add_matrix(weight, weights.view(), graph);
        graph.tensor_f32(bias, &[biases.len() as i64], &biases.to_vec());
    }
    let features = features(head.input(), graph);
    graph.node("Gemm", &[&features, "hidden_weight", "hidden_bias"], "sum", vec![]);
    match head.activation() {
        Activation::Relu => {
            graph.node("Relu", &["sum"], "hidden", vec![]);
        }
        Activation::Gelu => {
            for (name, value) in constants() {
                graph.tensor_f32(name, &[1], &[value]);
            }
            graph.node("Mul", &["sum", "sum"], "square", vec![]);
            graph.node("Mul", &["square", "sum"], "cube", vec![]);
            graph.node("Mul", &["cube", "gelu_cubic"], "scaled_cube", vec![]);
            graph.node("Add", &["sum", "scaled_cube"], "polynomial", vec![]);
            graph.node("Mul", &["polynomial", "gelu_root"], "angle", vec![]);
            graph.node("Tanh", &["angle"], "tanh", vec![]);
            graph.node("Add", &["tanh", "gelu_one"], "gate", vec![]);
            graph.node("Mul", &["sum", "gelu_half"], "half_sum", vec![]);
            graph.node("Mul", &["half_sum", "gate"], "hidden", vec![]);
        }
    }
    graph.node("Gemm", &["hidden", "weight", "bias"], "logits", vec![]);
}

pub(super) fn read(model: &Model) -> Result<MlpHead, String> {
    let hidden = layer(model, "hidden_weight", "hidden_bias")?;
    let output = layer(model, "weight", "bias")?;
    let activation = match float_constant(model, "gelu_root").is_ok() {
        true => Activation::Gelu,
        false => Activation::Relu,
    };
    if activation == Activation::Gelu {
        constants().iter().try_for_each(|&(name, value)| fixed(model, name, &[value]))?;
    }
    MlpHead::new(hidden, output, input(model)?, activation).map_err(|e| e.to_string())
}
