//! Calibration between the logits and the softmax.

use super::super::calibrator::{Calibrator, FLOOR, Steps};
use crate::onnx::build::attr_int;
use crate::onnx::{GraphBuilder, Model, float_constant, int_constant};

/// What the names of all its constants begin with.
const PREFIX: &str = "calibration_";

/// From `logits` to a tensor whose softmax are the calibrated probabilities: its name.
pub(super) fn write(calibrator: Option<&Calibrator>, graph: &mut GraphBuilder) -> String {
    let Some(calibrator) = calibrator else { return "logits".to_owned() };
    match calibrator {
        Calibrator::Temperature { inverse } => {
            graph.tensor_f32("calibration_inverse_temperature", &[1], &[*inverse]);
            graph.node("Mul", &["logits", "calibration_inverse_temperature"], "calibrated", vec![])
        }
        Calibrator::Platt(pairs) => platt(pairs, graph),
        Calibrator::Isotonic(curves) => isotonic(curves, graph),
    }
}

fn platt(pairs: &[[f32; 2]], graph: &mut GraphBuilder) -> String {
    let columns = pairs.len() as i64;
    let of = |place: usize| pairs.iter().map(|pair| pair[place]).collect::<Vec<_>>();
    graph.tensor_f32("calibration_slope", &[columns], &of(0));
    graph.tensor_f32("calibration_intercept", &[columns], &of(1));
    let decision = decision(pairs.len(), graph);
    graph.node("Mul", &[&decision, "calibration_slope"], "sloped", vec![]);
    graph.node("Add", &["sloped", "calibration_intercept"], "decision", vec![]);
    if pairs.len() == 1 {
        graph.tensor_f32("calibration_half", &[1, 2], &[-0.5, 0.5]);
        return graph.node("Mul", &["decision", "calibration_half"], "calibrated", vec![]);
    }
    graph.node("Neg", &["decision"], "against", vec![]);
    graph.node("Softplus", &["against"], "loss", vec![]);
    graph.node("Neg", &["loss"], "calibrated", vec![])
}

fn isotonic(curves: &[Vec<[f32; 2]>], graph: &mut GraphBuilder) -> String {
    let steps = Steps::of(curves);
    let dims = [steps.starts.nrows() as i64, steps.starts.ncols() as i64];
    for (name, values) in [("start", &steps.starts), ("steepness", &steps.steepness), ("rise", &steps.rises)] {
        graph.tensor_f32(&format!("{PREFIX}{name}"), &dims, &values.iter().copied().collect::<Vec<_>>());
    }
    graph.tensor_f32("calibration_first", &[dims[0]], &steps.first);
    graph.tensor_f32("calibration_zero", &[], &[0.0]);
    graph.tensor_f32("calibration_one", &[], &[1.0]);
    graph.tensor_f32("calibration_floor", &[], &[FLOOR]);
    graph.tensor_i64("calibration_steps", &[1], &[2]);
    let decision = decision(curves.len(), graph);
    graph.node("Unsqueeze", &[&decision, "calibration_steps"], "decision", vec![]);
    graph.node("Sub", &["decision", "calibration_start"], "beyond", vec![]);
    graph.node("Mul", &["beyond", "calibration_steepness"], "way", vec![]);
    graph.node("Clip", &["way", "calibration_zero", "calibration_one"], "share", vec![]);
    graph.node("Mul", &["share", "calibration_rise"], "risen", vec![]);
    graph.node("ReduceSum", &["risen", "calibration_steps"], "rise", vec![attr_int("keepdims", 0)]);
    graph.node("Add", &["rise", "calibration_first"], "height", vec![]);
    let mut likely = graph.node("Min", &["height", "calibration_one"], "likely", vec![]);
    if curves.len() == 1 {
        graph.node("Sub", &["calibration_one", "likely"], "unlikely", vec![]);
        likely = graph.node("Concat", &["unlikely", "likely"], "both", vec![attr_int("axis", 1)]);
    }
    graph.node("Add", &[&likely, "calibration_floor"], "floored_likely", vec![]);
    graph.node("Log", &["floored_likely"], "calibrated", vec![])
}

/// What the curves see: the logits, or for two classes, which have one curve, their difference.
fn decision(curves: usize, graph: &mut GraphBuilder) -> String {
    if curves != 1 {
        return "logits".to_owned();
    }
    graph.tensor_f32("calibration_difference", &[2, 1], &[-1.0, 1.0]);
    graph.node("MatMul", &["logits", "calibration_difference"], "difference", vec![])
}

/// Refuses constants other than those that [`write`] gave `expected`.
pub(super) fn check(model: &Model, expected: &Model) -> Result<(), String> {
    let constants = expected.graph.iter().flat_map(|graph| &graph.initializer);
    for name in constants.map(|tensor| tensor.name()).filter(|name| name.starts_with(PREFIX)) {
        let same = match float_constant(expected, name) {
            Ok(want) => float_constant(model, name)? == want,
            Err(_) => int_constant(model, name)? == int_constant(expected, name)?,
        };
        if !same {
            return Err(format!("tensor {name} is not what the metadata says of the calibration"));
        }
    }
    Ok(())
}
