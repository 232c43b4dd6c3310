//! One product.

use super::super::linear::LinearHead;
use super::{add_matrix, features, input, layer};
use crate::onnx::{GraphBuilder, Model};

pub(super) fn write(head: &LinearHead, graph: &mut GraphBuilder) {
    add_matrix("weight", head.weights(), graph);
    graph.tensor_f32("bias", &[head.classes() as i64], &head.intercepts().to_vec());
    let features = features(head.input(), graph);
    graph.node("Gemm", &[&features, "weight", "bias"], "logits", vec![]);
}

pub(super) fn read(model: &Model) -> Result<LinearHead, String> {
    let (weights, intercepts) = layer(model, "weight", "bias")?;
    LinearHead::new(weights, intercepts, input(model)?).map_err(|e| e.to_string())
}
