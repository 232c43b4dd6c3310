//! A case as a model, and as a program.

use engraft::onnx::build::{self, Dim};
use engraft::onnx::{DataType, GraphBuilder, GraphView, Model};
use engraft::tune::{Array, Program, Scalar, Value};

use super::cases::{Case, Feed};

fn input(i: usize) -> String {
    format!("x{i}")
}

pub fn outputs(case: &Case) -> Vec<String> {
    (0..case.outputs).map(|i| format!("y{i}")).collect()
}

/// The model of one node. Floats that are fed are inputs, everything else is constant.
pub fn model(case: &Case) -> Model {
    let mut graph = GraphBuilder::new(case.op);
    let names: Vec<String> =
        (0..case.feeds.len()).map(|i| if let Feed::None = case.feeds[i] { String::new() } else { input(i) }).collect();
    for (feed, name) in case.feeds.iter().zip(&names) {
        if let Feed::Real(dims, _) = feed {
            let dims: Vec<Dim> = dims.iter().map(|&d| Dim::Fixed(d as i64)).collect();
            graph.input(name, DataType::Float, &dims);
        }
    }
    let outputs = outputs(case);
    let (names, given): (Vec<&str>, Vec<&str>) =
        (names.iter().map(String::as_str).collect(), outputs.iter().map(String::as_str).collect());
    graph.node_of_many(case.op, &names, &given, case.attributes.clone());
    let mut model = graph.finish();
    model.opset_import[0].version = Some(case.opset);
    model.ir_version = Some(10);
    let graph = model.graph.as_mut().unwrap();
    for (feed, name) in case.feeds.iter().zip(&names) {
        let sizes = |dims: &[usize]| dims.iter().map(|&d| d as i64).collect::<Vec<i64>>();
        graph.initializer.extend(match feed {
            Feed::Constant(dims, values) => Some(build::tensor_f32(name, &sizes(dims), values)),
            Feed::Ints(dims, values) => Some(build::tensor_i64(name, &sizes(dims), values)),
            Feed::Bools(dims, values) => {
                let raw = values.iter().map(|&v| u8::from(v)).collect();
                Some(build::tensor(name, &sizes(dims), DataType::Bool, raw))
            }
            Feed::Real(..) | Feed::None => None,
        });
    }
    graph.output = given
        .iter()
        .map(|name| engraft::onnx::proto::ValueInfoProto { name: Some((*name).to_owned()), ..Default::default() })
        .collect();
    if !case.domain.is_empty() {
        graph.node[0].domain = Some(case.domain.to_owned());
        let own = engraft::onnx::proto::OperatorSetIdProto {
            domain: Some(case.domain.to_owned()),
            version: Some(1),
            ..Default::default()
        };
        model.opset_import.push(own);
    }
    model
}

/// Evenly spaced values in random order: no two are alike, and none is at a place where an operator has a kink.
fn drawn(dims: &[usize], [low, high]: [f64; 2], seed: u64) -> Vec<f64> {
    let n: usize = dims.iter().product();
    let mut places: Vec<usize> = (0..n).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut places);
    places.into_iter().map(|i| low + (high - low) * (i as f64 + 0.5) / n as f64).collect()
}

/// A name, sizes, and values.
pub type Fed = (String, Vec<usize>, Vec<f64>);

/// What is fed, in the order of the inputs.
pub fn fed(case: &Case) -> Vec<Fed> {
    let feeds = case.feeds.iter().enumerate();
    let real = |(i, feed): (usize, &Feed)| match feed {
        Feed::Real(dims, range) => Some((input(i), dims.clone(), drawn(dims, *range, i as u64 + 1))),
        _ => None,
    };
    feeds.filter_map(real).collect()
}

pub fn program<T: Scalar>(case: &Case, view: &GraphView) -> Program<T> {
    let inputs: Vec<String> = fed(case).into_iter().map(|(name, ..)| name).collect();
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let outputs = outputs(case);
    let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
    Program::compile(view, &inputs, &outputs, &inputs, case.op).unwrap()
}

pub fn values<T: Scalar>(fed: &[Fed]) -> Vec<Value<T>> {
    let value =
        |(_, dims, values): &Fed| Array::new(dims.clone(), values.iter().map(|&v| T::of(v)).collect()).unwrap().into();
    fed.iter().map(value).collect()
}
