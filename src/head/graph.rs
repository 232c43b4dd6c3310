//! A head as a graph of standard operators, and back.

mod calibration;
pub(super) mod detector;
mod knn;
mod linear;
mod mlp;

use ndarray::{Array1, Array2, ArrayView2};

use super::calibrator::Calibrator;
use super::detector::Detector;
use super::fitted::Head;
use super::head_onnx::HeadKind;
use super::linear::Input;
use super::link::{Link, THRESHOLD};
use super::standardize::MIN_LENGTH;
use crate::onnx::build::{Dim, attr_int, attr_ints};
use crate::onnx::{
    DataType, FloatTensor, GraphBuilder, Model, float_constant, int_constant, opset, raise, same_computation,
};

/// `embedding [n, d]` in; `logits [n, K]`, `probabilities [n, K]` and `label [n]` out, or `labels [n, K]` after sigmoids. The
/// logits are the head's, the probabilities and the label calibrated; `ood_score [n]` beside them
/// where there is a detector.
pub(super) fn write(head: &Head, link: Link, calibrator: Option<&Calibrator>, detector: Option<&Detector>) -> Model {
    let mut graph = GraphBuilder::new("engraft-head");
    graph.input("embedding", DataType::Float, &[Dim::Named("n"), Dim::Fixed(head.dimension() as i64)]);
    match head {
        Head::Linear(head) => linear::write(head, &mut graph),
        Head::Knn(head) => knn::write(head, &mut graph),
        Head::Mlp(head) => mlp::write(head, &mut graph),
    }
    let calibrated = calibration::write(calibrator, &mut graph);
    let all = [Dim::Named("n"), Dim::Fixed(head.classes() as i64)];
    for output in ["logits", "probabilities"] {
        graph.output(output, DataType::Float, &all);
    }
    match link {
        Link::Softmax => {
            graph.node("Softmax", &[&calibrated], "probabilities", vec![attr_int("axis", 1)]);
            graph.node("ArgMax", &[&calibrated], "label", vec![attr_int("axis", 1), attr_int("keepdims", 0)]);
            graph.output("label", DataType::Int64, &all[..1]);
        }
        Link::Sigmoid => {
            graph.node("Sigmoid", &[&calibrated], "probabilities", vec![]);
            graph.tensor_f32("threshold", &[1], &[THRESHOLD]);
            graph.node("GreaterOrEqual", &["probabilities", "threshold"], "labels", vec![]);
            graph.output("labels", DataType::Bool, &all);
        }
    }
    if let Some(detector) = detector {
        detector::write(detector, &mut graph);
    }
    graph.finish()
}

/// The head of a kind that is in the constants of a graph, or why there is none.
pub(super) fn read(kind: HeadKind, model: &Model) -> Result<Head, String> {
    Ok(match kind {
        HeadKind::Logistic | HeadKind::Ridge | HeadKind::Centroid => Head::Linear(linear::read(model)?),
        HeadKind::Knn => Head::Knn(knn::read(model)?),
        HeadKind::Mlp => Head::Mlp(mlp::read(model)?),
    })
}

/// Refuses a graph other than [`write`]'s: the weights alone do not say what a changed one would compute.
pub(super) fn check(
    head: &Head,
    link: Link,
    calibrator: Option<&Calibrator>,
    detector: Option<&Detector>,
    model: &Model,
) -> Result<(), String> {
    // In an exported model the backbone may have asked for newer operators.
    let expected = raise(write(head, link, calibrator, detector), opset(model), "head").map_err(|e| e.to_string())?;
    if !same_computation(model, &expected) {
        return Err("its graph is not the one that engraft writes for this kind of head".into());
    }
    if link == Link::Sigmoid {
        fixed(model, "threshold", &[THRESHOLD])?;
    }
    calibration::check(model, &expected)
}

/// What the embeddings are after `input`: the name of a tensor.
fn features(input: Input, graph: &mut GraphBuilder) -> String {
    match input {
        Input::Raw => "embedding".to_owned(),
        Input::UnitLength => unit_length("", graph),
    }
}

/// The embeddings of length 1, in tensors whose names begin with `prefix`: the name of the last.
fn unit_length(prefix: &str, graph: &mut GraphBuilder) -> String {
    let [least, norm, length, unit] = ["min_length", "norm", "length", "unit"].map(|name| format!("{prefix}{name}"));
    graph.tensor_f32(&least, &[1], &[MIN_LENGTH]);
    graph.node("ReduceL2", &["embedding"], &norm, vec![attr_ints("axes", &[1]), attr_int("keepdims", 1)]);
    graph.node("Max", &[&norm, &least], &length, vec![]);
    graph.node("Div", &["embedding", &length], &unit, vec![])
}

/// Adds a matrix to the constants of the graph.
fn add_matrix(name: &str, values: ArrayView2<f32>, graph: &mut GraphBuilder) {
    let dims = [values.nrows() as i64, values.ncols() as i64];
    graph.tensor_f32(name, &dims, &values.iter().copied().collect::<Vec<_>>());
}

fn input(model: &Model) -> Result<Input, String> {
    if float_constant(model, "min_length").is_err() {
        return Ok(Input::Raw);
    }
    fixed(model, "min_length", &[MIN_LENGTH])?;
    Ok(Input::UnitLength)
}

/// Refuses a constant of the graph that is not as [`write`] writes it.
fn fixed(model: &Model, name: &str, values: &[f32]) -> Result<(), String> {
    let got = float_constant(model, name)?;
    let same = got.dims == [values.len()] && got.values == values;
    same.then_some(()).ok_or_else(|| format!("tensor {name} is {:?}, not {values:?}", got.values))
}

/// A matrix of the graph.
fn matrix(model: &Model, name: &str) -> Result<Array2<f32>, String> {
    let FloatTensor { dims, values } = float_constant(model, name)?;
    match dims[..] {
        [rows, columns] => Array2::from_shape_vec((rows, columns), values).map_err(|e| e.to_string()),
        _ => Err(format!("tensor {name} has {} dimensions, not 2", dims.len())),
    }
}

/// A vector of the graph.
fn vector(model: &Model, name: &str) -> Result<Array1<f32>, String> {
    let tensor = float_constant(model, name)?;
    match tensor.dims[..] {
        [_] => Ok(tensor.values.into()),
        _ => Err(format!("tensor {name} has {} dimensions, not 1", tensor.dims.len())),
    }
}

/// The two tensors of a layer: weights, and one bias for each of their columns.
fn layer(model: &Model, weight: &str, bias: &str) -> Result<(Array2<f32>, Array1<f32>), String> {
    let (weights, biases) = (matrix(model, weight)?, vector(model, bias)?);
    let (rows, columns) = weights.dim();
    if biases.len() != columns {
        return Err(format!(
            "tensor {bias} is [{}], not [{columns}] as {weight} [{rows}, {columns}] asks for",
            biases.len()
        ));
    }
    Ok((weights, biases))
}

/// A constant of one whole number of dimensions `[1]`.
fn single(model: &Model, name: &str) -> Result<usize, String> {
    let tensor = int_constant(model, name)?;
    match (&tensor.dims[..], &tensor.values[..]) {
        ([1], &[value]) => usize::try_from(value).map_err(|_| format!("tensor {name} is {value}, below 0")),
        _ => Err(format!("tensor {name} is not one value")),
    }
}
