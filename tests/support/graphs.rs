//! Models that are run as they are and after surgery, whatever their inputs and outputs.
#![allow(dead_code)]

use std::collections::HashMap;

use engraft::backbone::{Evaluator, Runtime};
use engraft::onnx::{
    CutPoint, CutSite, Data, DataType, Dimension, Model, Port, Value, cut, cut_between, signature, splice,
};

use crate::close::{Tolerance, assert_close};

/// Values by the names of tensors; nothing for what is no tensor.
pub type Values = HashMap<String, Option<Value>>;

pub fn runtime() -> &'static Runtime {
    Runtime::load(None, &crate::support::home()).unwrap()
}

/// Everything that a model gives; those of `inputs` that it takes are fed.
pub fn run(model: &Model, inputs: &Values) -> engraft::Result<Values> {
    let taken = signature(model).inputs;
    let fed: Vec<(&str, &Value)> =
        taken.iter().filter_map(|port| Some((port.name.as_str(), inputs.get(&port.name)?.as_ref()?))).collect();
    Evaluator::of(runtime(), model, "the model", 1)?.run(&fed)
}

/// Fails unless both gave the same: floats within the tolerance (of 16 bits, a thousandth), all else to the bit.
#[track_caller]
pub fn assert_same(got: &Values, want: &Values, tolerance: Tolerance) {
    assert_eq!(sorted(got), sorted(want));
    for (name, want) in want {
        let (Some(want), Some(got)) = (want, &got[name]) else { continue };
        assert_eq!((got.element, &got.dims), (want.element, &want.dims), "{name}");
        match (floats(got), floats(want)) {
            (Some(g), Some(w)) if !matches!(tolerance, Tolerance::Exact) => {
                assert_eq!(g.len(), w.len(), "{name}");
                // What is not a number must be the same; the helper is for numbers.
                let (special, plain): (Vec<_>, Vec<_>) = g.into_iter().zip(w).partition(|(_, w)| !w.is_finite());
                assert!(special.iter().all(|(g, w)| g == w || (g.is_nan() && w.is_nan())), "{name}: {special:?}");
                let tolerance = if want.element == DataType::Float16 { Tolerance::Within(1e-3) } else { tolerance };
                assert_close(plain.iter().map(|(g, _)| *g), plain.iter().map(|(_, w)| *w), tolerance);
            }
            _ => assert!(got.data == want.data, "{name} has other values"),
        }
    }
}

fn sorted(values: &Values) -> Vec<(&String, bool)> {
    let mut names: Vec<_> = values.iter().map(|(name, value)| (name, value.is_some())).collect();
    names.sort();
    names
}

fn floats(value: &Value) -> Option<Vec<f64>> {
    match (value.element, &value.data) {
        (DataType::Float, Data::Numbers(bytes)) => {
            Some(bytes.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect())
        }
        (DataType::Float16, Data::Numbers(bytes)) => {
            let value = |bytes: &[u8; 2]| half::f16::from_le_bytes(*bytes).to_f64();
            Some(bytes.as_chunks::<2>().0.iter().map(value).collect())
        }
        (DataType::Double, Data::Numbers(bytes)) => {
            Some(bytes.as_chunks::<8>().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
        }
        _ => None,
    }
}

pub fn point(tensor: &str) -> CutPoint {
    CutPoint { tensor: tensor.to_owned(), token: None, output: port(tensor) }
}

pub fn port(name: &str) -> Port {
    Port { name: name.to_owned(), element: DataType::Undefined, shape: None }
}

/// Cuts a model at a site; fails unless the part behind takes nothing but what the site names, both run after each other and spliced
/// give `want`. Returns whether it could: a sequence is no tensor.
pub fn assert_cut(whole: &Model, site: &CutSite, inputs: &Values, want: &Values, tolerance: Tolerance) -> bool {
    let tensors: Vec<&str> = [&site.tensor].into_iter().chain(&site.companions).map(String::as_str).collect();
    let front = cut(whole.clone(), &tensors.iter().map(|t| point(t)).collect::<Vec<_>>(), "m").unwrap();
    let given = run(&front, inputs).unwrap();
    if given.values().any(Option::is_none) {
        return false;
    }
    let start = |tensor: &str, fixed: bool| {
        let value = given[tensor].as_ref().unwrap_or_else(|| panic!("{tensor} is no tensor"));
        let size = |&size: &usize| if fixed { Dimension::Fixed(size as i64) } else { Dimension::Unknown };
        Port { name: tensor.to_owned(), element: value.element, shape: Some(value.dims.iter().map(size).collect()) }
    };
    let ends: Vec<CutPoint> = signature(whole)
        .outputs
        .into_iter()
        .map(|output| CutPoint { tensor: output.name.clone(), token: None, output })
        .collect();
    let behind = |fixed: bool| {
        let starts: Vec<Port> = tensors.iter().map(|tensor| start(tensor, fixed)).collect();
        cut_between(whole.clone(), &starts, &ends, "m").unwrap()
    };
    // With fixed sizes ONNX Runtime finds fault with branches of an If that are never taken, without them with sizes it cannot infer.
    let back = [true, false].map(behind).into_iter().find(|back| run(back, &given).is_ok()).unwrap();
    let taken: Vec<String> = signature(&back).inputs.into_iter().map(|input| input.name).collect();
    assert!(taken.iter().all(|name| tensors.contains(&name.as_str())), "{taken:?} is not only {tensors:?}");
    assert_same(&run(&back, &given).unwrap(), want, tolerance);
    let joins: Vec<(&str, &str)> =
        tensors.iter().filter(|t| taken.iter().any(|name| name == *t)).map(|t| (*t, *t)).collect();
    let joined = splice(front, back, &joins, "m").unwrap();
    let mut got = run(&joined, inputs).unwrap();
    got.retain(|name, _| want.contains_key(name));
    assert_same(&got, want, tolerance);
    true
}
